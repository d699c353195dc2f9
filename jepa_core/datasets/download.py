"""Sets of the catalog, brought to this machine once, into the caches that their readers use.

A download can be watched, stopped at any time, and gone on with; it says what it needs before it starts, and what does
not fit or does not arrive whole is one sentence. Archives are unpacked beside their place and moved there whole.
"""

import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from jepa_core.config import hosted
from jepa_core.datasets import catalog, fetching, unpacking
from jepa_core.datasets.readers import hub_files, torchvision_files
from jepa_core.datasets.readers.names import TORCHVISION
from jepa_core.errors import DatasetError
from jepa_core.progress import Cancelled, Progress, never, silent

_PATIENCE = 1.0  # seconds for another program at the same set


def is_here(name: str) -> bool:
    """Whether a set of the catalog was downloaded. Asks no server and opens nothing."""
    if name.startswith(TORCHVISION):
        which, _, split = name.removeprefix(TORCHVISION).partition("/")
        return torchvision_files.is_here(which, split)
    return hub_files.is_here(name)


def download(name: str, progress: Progress = silent, cancelled: Cancelled = never) -> bool:
    """Download a set of the catalog; whether it is whole, or was stopped before. `progress` counts bytes.

    Raises `UnknownName` for a name that the catalog lacks, and `DatasetError` where the server has visitors, without a
    network, for a disk without room, for a file that is not what its checksum says, and without a log-in where the set
    needs one.
    """
    entry, split = catalog.find(name)
    _check_allowed(name)
    title = catalog.title_of(entry, split)
    try:
        if entry.origin == "torchvision":
            _from_torchvision(entry.key, split.name, title, progress, cancelled)
        else:
            hub_files.download(entry.named(split), title, progress, cancelled)
    except fetching.Stopped:
        return False
    return True


def ask_size(name: str) -> int | None:
    """Bytes of a set's download as its server says; None where it does not say. Errors: those of `download`."""
    entry, split = catalog.find(name)
    _check_allowed(name)
    if entry.origin == "hub":
        return hub_files.size_of(entry.named(split))
    sizes = [fetching.length(_source(file)) for file in torchvision_files.files_of(entry.key, split.name)]
    return None if None in sizes else sum(size for size in sizes if size)


def _check_allowed(name: str) -> None:
    if hosted():
        raise DatasetError(
            f"{name!r} was given, but this server downloads nothing for its visitors; a bundled dataset or a folder of "
            "its own is accepted; choose one."
        )


def _source(file: torchvision_files.RemoteFile) -> fetching.Source:
    return fetching.Source(file.urls, ("md5", file.md5))


def _from_torchvision(which: str, split: str, title: str, progress: Progress, cancelled: Cancelled) -> None:
    files = torchvision_files.files_of(which, split)
    root = torchvision_files.folder(which)
    aside = root.with_name(f"{which}.part")
    with _alone(root.with_name(f"{which}.lock"), title):
        _bring(files, root, aside, title, progress, cancelled)


@contextmanager
def _alone(lock: Path, title: str) -> Iterator[None]:
    """Have no other program at the same set."""
    from huggingface_hub.utils import WeakFileLock

    lock.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(WeakFileLock(lock, timeout=_PATIENCE))
        except TimeoutError as error:
            raise DatasetError(
                f"{title} is being downloaded by another program; one at a time is accepted; wait for it, or stop it."
            ) from error
        yield
    lock.unlink(missing_ok=True)


def _bring(
    files: list[torchvision_files.RemoteFile],
    root: Path,
    aside: Path,
    title: str,
    progress: Progress,
    cancelled: Cancelled,
) -> None:
    """The files into a folder beside the set's, and what is in them into the set's."""
    sources = [(_source(file), aside / "files" / file.path) for file in files]
    fetching.fetch_all(sources, aside, title, progress, cancelled)
    try:
        made = _unpacked(files, aside, progress, cancelled)
        unpacking.move_in(made, root)
        shutil.rmtree(aside)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DatasetError(
            f"{title} cannot be unpacked ({error}); a whole archive is accepted; remove {aside} and download it again."
        ) from error
    except OSError as error:
        raise DatasetError(
            f"{title} cannot be unpacked into {root} ({error.strerror or error}); a folder with room for it is "
            "accepted; make room and try again. What has arrived is kept."
        ) from error


def _unpacked(files: list[torchvision_files.RemoteFile], aside: Path, progress: Progress, cancelled: Cancelled) -> Path:
    """A folder with what the files hold, made anew."""
    made = aside / "unpacked"
    if made.exists():
        shutil.rmtree(made)
    made.mkdir(parents=True)
    total = sum((aside / "files" / file.path).stat().st_size for file in files)
    done = 0
    for file in files:
        archive = aside / "files" / file.path
        size, target = archive.stat().st_size, made / Path(file.path).parent
        if file.unpack:
            unpacking.unpack(archive, target, partial(_told, progress, done, total), cancelled)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(archive, target / archive.name)
        done += size
        progress(done, total)
    return made


def _told(progress: Progress, before: int, total: int, read: int) -> None:
    progress(before + read, total)
