"""Tars, plain or packed: their members, and what one holds.

`tarfile` reads the headers, through a stream that only goes forward and limits what a header may be: a long name, or a
record of pax, may say that it has gigabytes.
"""

import os
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

from jepa_core.datasets.readers import decompression
from jepa_core.datasets.readers.archive_contents import Contents, cleaned
from jepa_core.datasets.readers.sidecar_files import is_mark, read_mark
from jepa_core.decoding import file_headers

_LARGEST_HEADER = 2**18  # bytes that say what one member is
_LONGEST_NUMBER = 128  # digits in a pax header, over which some Pythons take quadratic time
_MOST_SHARED = 1000  # fields that hold for all members
_FREE_MEMBERS = 100_000  # of any packed tar
_SMALLEST_MEMBER = 128  # bytes that one takes when packed, on average of more than those
_MOST_HOLES = 1_000_000
_PIECE = 2**18  # bytes


class Place(NamedTuple):
    """Where a member lies."""

    start: int  # in the tar, unpacked
    size: int  # bytes, with holes filled
    parts: tuple[tuple[int, int], ...] | None = None  # of a file with holes: where each part belongs, its bytes


class _Stream:
    """A tar as `tarfile` reads it: forward, and within the limits. `body` gives what a member holds."""

    def __init__(self, source: Any, plain: bool, length: int) -> None:
        self._source, self.plain = source, plain
        self._end = length if plain else decompression.most_unpacked(length)
        self.most_members = length if plain else _FREE_MEMBERS + length // _SMALLEST_MEMBER
        self._place = 0
        self._header = 0  # bytes that were read of this member's
        self.last = b""  # what was read last

    def begin_member(self) -> None:
        """From here on the headers of another member are read."""
        self._header = 0

    def tell(self) -> int:
        """The place in the tar."""
        return self._place

    def read(self, size: int) -> bytes:
        """Bytes of a header."""
        self._header += size
        if size < 0 or self._header > _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of more than {_LARGEST_HEADER // 1024} KiB")
        self.last = self._read(size)
        if (
            size > tarfile.BLOCKSIZE
            and len(max(re.findall(rb"\d+", self.last), key=len, default=b"")) > _LONGEST_NUMBER
        ):
            raise tarfile.ReadError("a header has a number that is none")
        return self.last

    def seek(self, place: int) -> None:
        """Go on to a place."""
        if place < self._place:
            raise tarfile.ReadError("its headers lead backwards")
        self._check(place)
        if self.plain:
            self._source.seek(place)
            self._place = place
        while self._place < place and self._read(min(_PIECE, place - self._place)):
            pass

    def body(self, place: Place) -> bytes:
        """What a member holds. Raises ReadError where it is cut off."""
        self.seek(place.start)
        if place.parts is None:
            return self._whole(place.size)
        found = bytearray(place.size)
        for start, size in place.parts:
            if start < 0 or start + size > place.size:
                raise tarfile.ReadError("its holes are not where they can be")
            found[start : start + size] = self._whole(size)
        return bytes(found)

    def _whole(self, size: int) -> bytes:
        self._check(self._place + size)
        data = self._read(size)
        if len(data) < size:
            raise tarfile.ReadError("unexpected end of data")
        return data

    def _read(self, size: int) -> bytes:
        data = self._source.read(size)
        self._place += len(data)
        return data

    def _check(self, place: int) -> None:
        if place > self._end:
            raise tarfile.ReadError("unexpected end of data" if self.plain else "it becomes too large when unpacked")


@contextmanager
def _opened(path: Path) -> Iterator[_Stream]:
    with path.open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        head = file.read(8)
        file.seek(0)
        stream = decompression.unpacked(file, head)
        yield _Stream(file if stream is None else stream, stream is None, length)


def contents(path: Path, most: int) -> Contents:
    """All members of a tar. Raises `TooMany` for more than `most`, one of `READ_ERRORS` for a damaged one."""
    found, holes = Contents(), 0
    with _opened(path) as stream:
        for count, member in enumerate(_members(stream)):
            if count >= most:
                raise decompression.TooMany(count + 1)
            if count >= stream.most_members:
                raise tarfile.ReadError(f"it has more than {count} entries, far more than its bytes can be")
            holes += len(_parts(member) or ())
            if holes > _MOST_HOLES:
                raise tarfile.ReadError(f"its files have more than {_MOST_HOLES} holes")
            _add(found, member, stream)
    return found


def _members(stream: _Stream) -> Iterator[tarfile.TarInfo]:
    whole: Any = tarfile.TarFile(fileobj=cast(Any, stream))  # reads the first member
    while True:
        stream.begin_member()
        member = whole.next()
        if member is None:
            break
        whole.members.clear()  # it would keep them all
        if len(whole.pax_headers) > _MOST_SHARED:
            raise tarfile.ReadError(f"more than {_MOST_SHARED} fields are said to hold for all its entries")
        yield member
    # tarfile takes a damaged header for the end, as it takes a file that is cut between two members.
    if any(stream.last):
        raise tarfile.ReadError("a header is damaged")
    if not stream.last and stream.plain:
        raise tarfile.ReadError("its end is missing")


def _add(found: Contents, member: tarfile.TarInfo, stream: _Stream) -> None:
    if member.isdir():
        found.add_folder(member.name)
        return
    name = found.name(member.name)
    if not name:
        return
    if member.isreg():
        place = Place(member.offset_data, member.size, _parts(member))
        found.add_file(name, place)
        found.sniff(name, lambda: stream.body(place._replace(size=min(place.size, file_headers.SNIFFED), parts=None)))
        if is_mark(name, member.size):
            found.add_mark(name, read_mark(name, stream.body(place)))
    elif member.issym():
        found.add_link(name, member.linkname)
    elif member.islnk():
        _add_hard_link(found, name, member.linkname)
    else:
        found.leave_out(name, "of a kind that is no file")


def _parts(member: Any) -> tuple[tuple[int, int], ...] | None:
    """Of a file with holes what `Place.parts` is, else None."""
    return tuple(member.sparse) if member.issparse() else None


def _add_hard_link(found: Contents, name: str, target: str) -> None:
    """Another name of an entry that came before."""
    same = cleaned(target)[0]
    if same in found.files:
        found.add_file(name, found.files[same])
        if same in found.marks:
            found.marks[name] = found.marks[same]
    elif same in found.links:
        found.add_link(name, found.links[same])
    else:
        found.leave_out(name, "a link to what is not in it")


def read(path: Path, place: Place) -> bytes:
    """What a member holds. Raises one of `READ_ERRORS` for a damaged one."""
    with _opened(path) as stream:
        return stream.body(place)
