"""A ZIP or tar of images: its folders are the classes, as in a folder. WebDataset shards are such tars, too.

In a shard `KEY.cls` beside `KEY.jpg` gives the number of the class, and `KEY.json` or `KEY.txt` its name.
"""

import json
import tarfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath

from jepa_core import folders, images
from jepa_core.errors import DatasetError
from jepa_core.items import NO_CLASS, DatasetSpec
from jepa_core.readers.words import all_in_words

MOST = 2_000_000  # entries
LARGEST = 256 * 2**20  # bytes of one entry, unpacked
_READ_ERRORS = (OSError, tarfile.TarError, zipfile.BadZipFile, EOFError, KeyError, NotImplementedError, RuntimeError)


def open_archive(path: Path) -> DatasetSpec:
    """The images of an archive; `DatasetError` for a damaged one, one without images, or one beyond the limits.

    Nothing is unpacked to the disk, so an entry's path can lead nowhere.
    """
    try:
        entries = _zip_entries(path) if zipfile.is_zipfile(path) else _tar_entries(path)
    except _READ_ERRORS as error:
        raise _unreadable(path, error) from error
    if len(entries) > MOST:
        raise DatasetError(
            f"The archive {path} has {len(entries)} entries; up to {MOST} are accepted; divide it into several."
        )
    pictures = [name for name in entries if PurePosixPath(name).suffix.lower() in images.SUFFIXES]
    if not pictures:
        raise DatasetError(
            f"The archive {path} has no images; files that end in {', '.join(sorted(images.SUFFIXES))} are accepted; "
            "choose another."
        )
    marks = _shard_marks(path, entries, pictures)
    labels = [marks.get(str(PurePosixPath(name).with_suffix("")), _folder_of(name)) for name in pictures]
    found = tuple(sorted(set(labels)))
    words = dict(zip(found, all_in_words(found), strict=True))
    named = tuple(words[label] for label in labels)
    return DatasetSpec(
        name=str(path),
        title=folders.readable(path.name),
        description=f"The images of the archive {folders.readable(str(path))}. Its folders are the classes.",
        source="archive",
        licence="that of its owner",
        held_out=True,
        classes=tuple(dict.fromkeys(named)),
        size=len(pictures),
        label_of=named.__getitem__,
        name_of=tuple(folders.readable(name) for name in pictures).__getitem__,
        reader_of=partial(_reader, path, tuple(entries[name] for name in pictures)),
        fingerprint=folders.fingerprint([path]),
    )


Entry = tuple[str, int, int]  # name; where its bytes start and how many there are (plain tar), or -1


def _zip_entries(path: Path) -> dict[str, Entry]:
    with zipfile.ZipFile(path) as archive:
        return {info.filename: (info.filename, -1, info.file_size) for info in archive.infolist() if not info.is_dir()}


def _tar_entries(path: Path) -> dict[str, Entry]:
    # In a tar that is not compressed each file can be read where it lies.
    plain = path.suffix == ".tar"
    with tarfile.open(path) as archive:
        return {
            member.name: (member.name, member.offset_data if plain else -1, member.size)
            for member in archive
            if member.isfile()
        }


def _folder_of(name: str) -> str:
    parts = PurePosixPath(name).parts
    return folders.readable(parts[-2]) if len(parts) > 1 else NO_CLASS


def _shard_marks(path: Path, entries: dict[str, Entry], pictures: list[str]) -> dict[str, str]:
    """Class by key, where a shard's files beside its pictures name it."""
    marks = {}
    for picture in pictures:
        key = str(PurePosixPath(picture).with_suffix(""))
        for suffix in (".cls", ".txt", ".json"):
            entry = entries.get(key + suffix)
            if entry is None:
                continue
            text = _read(path, entry).decode("utf-8", "replace").strip()
            if suffix == ".json":
                found = json.loads(text) if text.startswith("{") else {}
                text = str(found.get("label", found.get("cls", "")))
            if text:
                marks[key] = text
                break
    return marks


def _reader(path: Path, entries: tuple[Entry, ...], position: int) -> Callable[[], bytes]:
    return partial(_read, path, entries[position])


def _read(path: Path, entry: Entry) -> bytes:
    name, start, size = entry
    if size > LARGEST:
        raise DatasetError(
            f"{name} in {path} is {size / 2**20:.0f} MiB; up to {LARGEST / 2**20:.0f} are accepted; leave it out."
        )
    try:
        if start >= 0:
            with path.open("rb") as whole:
                whole.seek(start)
                return whole.read(size)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed, packed.open(name) as file:
                return file.read(LARGEST)
        with tarfile.open(path) as archive:
            unpacked = archive.extractfile(name)
            assert unpacked is not None
            return unpacked.read(LARGEST)
    except _READ_ERRORS as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: BaseException) -> DatasetError:
    why = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
    return DatasetError(
        f"The archive {path} cannot be read ({why}); a whole ZIP or tar is accepted; make or download it again."
    )
