"""An archive of images, or several: a ZIP or tar as the folder it was made of, or WebDataset shards.

An archive and the folder it was made of are the same dataset: the same pictures, names, classes and order. In a shard
the files beside a picture name its class (`marks`). Pictures are read where they lie; nothing is unpacked to the disk.
"""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from jepa_core.config import hosted
from jepa_core.datasets import folders
from jepa_core.datasets.readers import decompression, file_types, sidecar_files, tar_files, zip_files
from jepa_core.datasets.readers.archive_contents import Contents, listed, top_of
from jepa_core.datasets.readers.decompression import READ_ERRORS, reason
from jepa_core.datasets.readers.wordnet import folder_classes, labels_in_words
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.decoding import file_headers
from jepa_core.errors import DatasetError

MOST_ENTRIES = 2_000_000  # entries, of all archives together
MOST_ENTRY_BYTES = 256 * 2**20  # bytes of one entry, unpacked
_MOST_FOR_VISITORS = 200_000
_LARGEST_FOR_VISITORS = 64 * 2**20


class Entry(NamedTuple):
    """A picture in an archive."""

    archive: Path
    name: str
    place: zip_files.Place | tar_files.Place


class _Found(NamedTuple):
    """The pictures of some archives, in order, and what is to be said of the rest."""

    entries: list[Entry]
    labels: tuple[str, ...]
    left_out: list[str]
    remarks: str


def open_archive(path: Path) -> DatasetSpec:
    """The images of one archive.

    Raises `DatasetError` for a damaged archive, for one without images, and for more entries than the limit.
    """
    return _opened((path,), str(path), None, folders.fingerprint([path]), most())


def open_shards(paths: Sequence[Path], pattern: str) -> DatasetSpec:
    """The images of several archives, which a pattern names. Errors: those of `open_archive`."""
    above = Path(os.path.commonpath([path.parent for path in paths]))
    return _opened(tuple(paths), pattern, above, folders.fingerprint(paths), most())


@lru_cache(maxsize=8)
def _opened(paths: tuple[Path, ...], name: str, above: Path | None, fingerprint: str, limit: int) -> DatasetSpec:
    """The spec of archives; gone through again only after one was written. `above` is the folder of several."""
    found = _find(paths, name, limit)
    many = f", {len(paths)} shards" if len(paths) > 1 else ""
    names = tuple(
        folders.readable(f"{entry.archive.relative_to(above)}/{entry.name}" if above else entry.name)
        for entry in found.entries
    )
    return DatasetSpec(
        name=name,
        title=f"{folders.readable(Path(name).name)}{many}",
        description=f"The images of the archive {folders.readable(name)}{many}. Its folders are the classes.",
        source="archive",
        licence="that of its owner",
        held_out=True,
        classes=tuple(dict.fromkeys(found.labels)),
        size=len(found.entries),
        label_of=found.labels.__getitem__,
        name_of=names.__getitem__,
        reader_of=partial(_reader, tuple(found.entries)),
        fingerprint=fingerprint,
        left_out=tuple(found.left_out),
        remarks=found.remarks,
    )


def _find(paths: Sequence[Path], name: str, limit: int) -> _Found:
    archives = [_contents(path, folders.fingerprint([path])) for path in paths]
    count = sum(len(archive.files) for archive in archives)
    if count > limit:
        raise _too_many(name, count)
    top = top_of(archives, [path.name for path in paths])
    entries: list[Entry] = []
    parts: list[tuple[str, ...]] = []
    beside: list[dict[str, sidecar_files.Mark]] = []
    left_out: list[str] = []
    class_names: tuple[str, ...] = ()
    for path, archive in zip(paths, archives, strict=True):
        try:
            pictures = listed(archive, top)
            known = sidecar_files.Marks(archive.marks, top)
            beside += [known.of(one) for one in pictures.parts]
        except ValueError as error:
            raise _unreadable(path, error) from error
        class_names = class_names or known.names
        entries += [Entry(path, "/".join(one), at) for one, at in zip(pictures.parts, pictures.found, strict=True)]
        parts += pictures.parts
        left_out += pictures.left_out
    if not entries:
        raise _empty(name, archives)
    by_folder = folder_classes(parts)
    said = sidecar_files.labels(beside, [len(one) == 1 for one in parts], class_names)
    labels = tuple(mark or folder for mark, folder in zip(labels_in_words(said), by_folder, strict=True))
    return _Found(entries, labels, left_out, _remarks(archives))


@lru_cache(maxsize=4096)
def _contents(path: Path, fingerprint: str) -> Contents:  # noqa: ARG001
    """What an archive holds; gone through again only after the file was written."""
    try:
        if file_types.kind_of(path) == file_types.ZIP:
            with path.open("rb") as file:
                found = zip_files.contents(file, most())
        else:
            found = tar_files.contents(path, most())
        found.finish()
    except decompression.TooMany as error:
        raise _too_many(str(path), error.count) from error
    except READ_ERRORS as error:
        raise _unreadable(path, error) from error
    return found


def _remarks(archives: Sequence[Contents]) -> str:
    why = Counter(why for archive in archives for why in archive.left_out.values())
    left_out = ", ".join(f"{count} {one}" for one, count in why.items())
    twice = sum(file_headers.is_picture(name) for archive in archives for name in archive.twice)
    again = f"{twice} came again under the same name; the last counts." if twice else ""
    return " ".join(filter(None, (f"Left out: {left_out}." if left_out else "", again)))


def _reader(entries: tuple[Entry, ...], position: int) -> Callable[[], bytes]:
    return partial(_read, entries[position])


def _read(entry: Entry) -> bytes:
    path, place = entry.archive, entry.place
    folders.check_still_allowed(path)
    if place.size > largest():
        raise DatasetError(
            f"{entry.name} in {path} is {place.size / 2**20:.0f} MiB; up to {largest() / 2**20:.0f} are accepted; "
            "leave it out."
        )
    try:
        if isinstance(place, tar_files.Place):
            return tar_files.read(path, place)
        with path.open("rb") as file:
            return zip_files.read(file, place, place.size)
    except READ_ERRORS as error:
        raise _unreadable(path, error) from error


def largest() -> int:
    """Bytes that one entry may become."""
    return min(MOST_ENTRY_BYTES, _LARGEST_FOR_VISITORS) if hosted() else MOST_ENTRY_BYTES


def most() -> int:
    """Entries that archives may have together."""
    return min(MOST_ENTRIES, _MOST_FOR_VISITORS) if hosted() else MOST_ENTRIES


def _empty(name: str, archives: Sequence[Contents]) -> DatasetError:
    return DatasetError(
        f"The archive {name} has no images; files that end in {', '.join(sorted(file_headers.SUFFIXES))} are accepted; "
        f"choose another. {_remarks(archives)}".rstrip()
    )


def _too_many(name: str, count: int) -> DatasetError:
    return DatasetError(f"The archive {name} has {count} entries; up to {most()} are accepted; divide it into several.")


def _unreadable(path: Path, error: BaseException) -> DatasetError:
    return DatasetError(
        f"The archive {path} cannot be read ({reason(error)}); a whole ZIP or tar is accepted; make or download it "
        "again."
    )
