"""An archive of images, or several: a ZIP or tar whose folders are the classes, as in a folder, or WebDataset shards.

In a shard `KEY.cls` beside `KEY.jpg` gives the number of the class, and `KEY.json` or `KEY.txt` its name. webdataset
says which files belong together. Its own reader only streams, and a gallery has to reach any picture, so pictures are
read where they lie.
"""

import json
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from jepa_core import folders, images
from jepa_core.errors import DatasetError
from jepa_core.items import NO_CLASS, DatasetSpec
from jepa_core.readers.words import all_in_words

MOST = 2_000_000  # entries, of all archives together
LARGEST = 256 * 2**20  # bytes of one entry, unpacked
_MARKS = ("cls", "txt", "json")  # suffixes of files that name a class, the first that there is counts
_LARGEST_MARK = 2**20  # bytes
READ_ERRORS = (
    OSError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


class Entry(NamedTuple):
    """A file in an archive."""

    archive: Path
    name: str
    size: int  # of its bytes, unpacked
    start: int = -1  # where they lie, in a tar that is not compressed
    mark: bytes = b""  # what it says, where its name is that of a mark


def open_archives(paths: Sequence[Path], name: str, name_of: Callable[[Entry], str]) -> DatasetSpec:
    """The images of archives as a dataset of that name; `name_of` gives each picture's.

    Nothing is unpacked to the disk, so an entry's path can lead nowhere.

    Raises `DatasetError` for a damaged archive, for none with an image, and for more entries than the limit.
    """
    title = folders.readable(Path(name).name)
    pictures: list[Entry] = []
    labels: list[str] = []
    for path in paths:
        for picture, label in _listed(path, folders.fingerprint([path])):
            pictures.append(picture)
            labels.append(label)
        if len(pictures) > MOST:
            raise _too_many(name, len(pictures))
    if not pictures:
        raise DatasetError(
            f"The archive {name} has no images; files that end in {', '.join(sorted(images.SUFFIXES))} are accepted; "
            "choose another."
        )
    different = tuple(sorted(set(labels)))
    words = dict(zip(different, all_in_words(different), strict=True))
    named = tuple(words[label] for label in labels)
    many = f", {len(paths)} shards" if len(paths) > 1 else ""
    return DatasetSpec(
        name=name,
        title=f"{title}{many}",
        description=f"The images of the archive {folders.readable(name)}{many}. Its folders are the classes.",
        source="archive",
        licence="that of its owner",
        held_out=True,
        classes=tuple(dict.fromkeys(named)),
        size=len(pictures),
        label_of=named.__getitem__,
        name_of=tuple(folders.readable(name_of(entry)) for entry in pictures).__getitem__,
        reader_of=partial(_reader, tuple(pictures)),
        fingerprint=folders.fingerprint(paths),
    )


def open_archive(path: Path) -> DatasetSpec:
    """The images of one archive. Errors: those of `open_archives`."""
    return open_archives([path], str(path), lambda entry: entry.name)


def open_shards(paths: Sequence[Path], pattern: str) -> DatasetSpec:
    """The images of several archives, which a pattern names. Errors: those of `open_archives`."""
    above = os.path.commonpath([path.parent for path in paths])
    return open_archives(paths, pattern, lambda entry: f"{entry.archive.relative_to(above)}/{entry.name}")


@lru_cache(maxsize=4096)
def _listed(path: Path, fingerprint: str) -> tuple[tuple[Entry, str], ...]:  # noqa: ARG001
    """The pictures of an archive and their classes; gone through again only after the file was written."""
    entries = _entries(path)
    marked = _marked(path, entries)
    pictures = [entry for entry in entries if PurePosixPath(entry.name).suffix.lower() in images.SUFFIXES]
    return tuple((entry, marked.get(entry.name) or _folder_of(entry.name)) for entry in pictures)


def _entries(path: Path) -> list[Entry]:
    """The files of an archive by their names, of two with one name the last; hidden ones are left out."""
    try:
        everything = _zip_entries(path) if zipfile.is_zipfile(path) else _tar_entries(path)
        found = {entry.name: entry for entry in everything if not is_hidden(entry.name)}
    except READ_ERRORS as error:
        raise _unreadable(path, error) from error
    if len(found) > MOST:
        raise _too_many(str(path), len(found))
    return list(found.values())


def _zip_entries(path: Path) -> Iterator[Entry]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                mark = archive.read(info) if _is_mark(info.filename, info.file_size) else b""
                yield Entry(path, info.filename, info.file_size, mark=mark)


def _tar_entries(path: Path) -> Iterator[Entry]:
    # In a tar that is not compressed each file can be read where it lies. Marks are read in passing: a compressed tar
    # has to be unpacked up to a file to read it.
    plain = path.suffix == ".tar"
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isreg():
                file = archive.extractfile(member) if _is_mark(member.name, member.size) else None
                mark = file.read() if file else b""
                yield Entry(path, member.name, member.size, member.offset_data if plain else -1, mark)
    if plain:  # cut between two files, it would read like a whole one that holds less
        with path.open("rb") as file:
            file.seek(-tarfile.BLOCKSIZE, os.SEEK_END)
            if any(file.read()):
                raise tarfile.ReadError("its end is missing")


def _is_mark(name: str, size: int) -> bool:
    return name.endswith(tuple(f".{suffix}" for suffix in _MARKS)) and size <= _LARGEST_MARK


def is_hidden(name: str) -> bool:
    """Such as the .DS_Store and __MACOSX/._1.png that a Mac adds."""
    return any(part.startswith(".") and part != ".." for part in PurePosixPath(name).parts)


def _folder_of(name: str) -> str:
    parts = PurePosixPath(name).parts
    return folders.readable(parts[-2]) if len(parts) > 1 else NO_CLASS


def _marked(path: Path, entries: Sequence[Entry]) -> dict[str, str]:
    """The class of each picture beside which a file names it."""
    if not any(entry.mark for entry in entries):
        return {}
    from webdataset.handlers import ignore_and_continue  # brings torch along
    from webdataset.tariterators import group_by_keys

    files = [{"fname": entry.name, "data": entry, "__url__": str(path)} for entry in entries]
    labels: dict[str, str] = {}
    try:
        for sample in group_by_keys(files, handler=ignore_and_continue):  # where a sample has two of a kind
            label = next((said for suffix in _MARKS if suffix in sample and (said := _said(sample[suffix]))), "")
            labels |= {entry.name: label for entry in sample.values() if isinstance(entry, Entry)}
    except ValueError as error:  # JSON that is none
        raise _unreadable(path, error) from error
    return labels


def _said(entry: Entry) -> str:
    """The class that a file names; "" if it names none."""
    text = entry.mark.decode("utf-8", "replace").strip()
    if not entry.name.endswith(".json"):
        return text
    found = json.loads(text) if text.startswith("{") else {}
    return str(found.get("label", found.get("cls", "")))


def _reader(entries: tuple[Entry, ...], position: int) -> Callable[[], bytes]:
    return partial(_read, entries[position])


def _read(entry: Entry) -> bytes:
    path, name = entry.archive, entry.name
    folders.check_still_allowed(path)
    if entry.size > LARGEST:
        raise DatasetError(
            f"{name} in {path} is {entry.size / 2**20:.0f} MiB; up to {LARGEST / 2**20:.0f} are accepted; leave it out."
        )
    try:
        if entry.start >= 0:
            with path.open("rb") as whole:
                whole.seek(entry.start)
                return whole.read(entry.size)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed, packed.open(name) as file:
                return file.read(LARGEST)
        with tarfile.open(path) as archive:
            unpacked = archive.extractfile(name)
            assert unpacked is not None
            return unpacked.read(LARGEST)
    except READ_ERRORS as error:
        raise _unreadable(path, error) from error


def _too_many(name: str, count: int) -> DatasetError:
    return DatasetError(f"The archive {name} has {count} entries; up to {MOST} are accepted; divide it into several.")


def _unreadable(path: Path, error: BaseException) -> DatasetError:
    why = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
    return DatasetError(
        f"The archive {path} cannot be read ({why}); a whole ZIP or tar is accepted; make or download it again."
    )
