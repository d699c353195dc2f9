"""An archive to a folder, member by member, so that it can be watched and stopped."""

import gzip
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from jepa_core.datasets.fetching import Stopped
from jepa_core.progress import Cancelled

_BLOCK = 2**20


def unpack(archive: Path, folder: Path, read: Callable[[int], None], cancelled: Cancelled) -> None:
    """A tar, ZIP or gzipped file into a folder; `read` is told how many bytes of the archive are done.

    Raises `Stopped` once `cancelled` says so, and whatever the libraries raise for a damaged archive.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with archive.open("rb") as file:
        for _member in _members(archive, file, folder):
            read(file.tell())
            if cancelled():
                raise Stopped


def _members(archive: Path, file: BinaryIO, folder: Path) -> Iterator[object]:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(file) as packed:
            for entry in packed.infolist():
                yield packed.extract(entry, folder)
    elif archive.suffix == ".gz" and not archive.stem.endswith(".tar"):
        with gzip.open(file) as inner, (folder / archive.stem).open("wb") as out:
            while block := inner.read(_BLOCK):
                yield out.write(block)
    else:
        with tarfile.open(fileobj=file) as tar:
            # No member leaves the folder; Python has it from 3.11.4 on, and the checksum was compared before.
            tar.extraction_filter = getattr(tarfile, "data_filter", lambda member, _path: member)
            for member in tar:
                tar.extract(member, folder)
                yield member


def move_in(made: Path, root: Path) -> None:
    """Everything of a folder into another on the same disk, files first, each whole or not at all."""
    root.mkdir(parents=True, exist_ok=True)
    for child in sorted(made.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        target = root / child.name
        if child.is_dir() and target.exists():
            shutil.rmtree(target)
        child.replace(target)
