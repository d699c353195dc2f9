"""ZIPs: their directory, entry by entry, and what one entry holds.

Python's `zipfile` reads a whole directory before it says how large it is, and unpacks bzip2 and LZMA without a limit:
a few kilobytes of a stranger's cost gigabytes. So the directory and the streams are read here.
"""

import os
import stat
import struct
import zipfile
import zlib
from bz2 import BZ2Decompressor
from collections.abc import Iterator, Mapping
from functools import partial
from typing import BinaryIO, NamedTuple

import numpy as np

from jepa_core.datasets.readers import decompression
from jepa_core.datasets.readers.archive_contents import Contents
from jepa_core.datasets.readers.sidecar_files import Mark, is_mark, read_mark
from jepa_core.decoding import file_headers

_END = struct.Struct("<4s4H2LH")
_WIDE_END = struct.Struct("<4sQ2H2L4Q")
_WIDE_PLACE = struct.Struct("<4sLQL")
_RECORD = struct.Struct("<4s2BHHHHH3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 2**16
_LONGEST_TARGET = 4096  # bytes of where a link leads
_ENCRYPTED, _MARKED_END, _UTF8 = 0x1, 0x2, 0x800
_UNIX = 3
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


class Place(NamedTuple):
    """Where an entry lies and how it is packed."""

    start: int  # of its header
    packed: int  # bytes
    size: int  # bytes unpacked, as it says
    method: int
    flags: int
    crc: int


class Record(NamedTuple):
    """An entry of the directory."""

    name: str
    place: Place
    kind: int  # as `stat` has it, 0 where the writer's system has none

    @property
    def is_folder(self) -> bool:
        """Whether it is that of a folder."""
        return self.name.endswith(("/", "\\")) or stat.S_ISDIR(self.kind)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link, whose target is what it holds."""
        return stat.S_ISLNK(self.kind)

    @property
    def why_not(self) -> str:
        """Why it cannot be unpacked; "" if it can."""
        if self.place.flags & _ENCRYPTED:
            return "encrypted"
        return "" if self.place.method in _METHODS else f"packed by method {self.place.method}"


def contents(file: BinaryIO, most: int) -> Contents:
    """All entries of a ZIP. Raises `TooMany` for more than `most`, one of `READ_ERRORS` for a damaged one."""
    found = Contents()
    left = decompression.most_unpacked(file.seek(0, os.SEEK_END))
    waiting: list[tuple[str, Place, bool]] = []  # links and marks, which are read once the directory was
    for record in directory(file, most):
        if record.is_folder:
            found.add_folder(record.name)
            continue
        name = found.name(record.name)
        if record.why_not or not name:
            found.leave_out(name, record.why_not)
            continue
        found.add_file(name, record.place)
        if record.is_link or is_mark(name, record.place.size) or "." not in name.rpartition("/")[2]:
            waiting.append((name, record.place, record.is_link))
    for name, place, is_link in waiting:
        if is_link:
            found.add_link(name, _target(file, place))
        elif is_mark(name, place.size):
            found.add_mark(name, _mark(file, name, place))
            left -= place.size
        else:
            found.sniff(name, partial(_start, file, place))
        if left < 0:
            raise decompression.TooLarge("the files beside its pictures are larger than is accepted")
    for name in _overlapping(found.files):
        found.leave_out(name, "overlapping another")
    return found


def _target(file: BinaryIO, place: Place) -> str:
    """Where a link leads; "" for a damaged one, which leads nowhere."""
    try:
        return os.fsdecode(read(file, place, _LONGEST_TARGET))
    except decompression.READ_ERRORS:
        return ""


def _start(file: BinaryIO, place: Place) -> bytes:
    """The first bytes of an entry; none of a damaged one."""
    try:
        return _stream(file, place).read(file_headers.SNIFFED)
    except decompression.READ_ERRORS:
        return b""


def _mark(file: BinaryIO, name: str, place: Place) -> Mark:
    try:
        return read_mark(name, read(file, place, place.size))
    except decompression.READ_ERRORS as error:
        return Mark("", f"{name}: {decompression.reason(error)}")


def directory(file: BinaryIO, most: int) -> Iterator[Record]:
    """The entries of a ZIP, in its order; read one by one, so that no more are held than are asked for.

    Raises `TooMany` where its end says so, or as soon as there are, and one of `READ_ERRORS` for a damaged one.
    """
    start, size, count, shift = _find_directory(file)
    if count > most:
        raise decompression.TooMany(count)
    file.seek(start)
    end, number = start + size, 0
    while start < end:
        head = file.read(_RECORD.size)
        if len(head) < _RECORD.size or not head.startswith(b"PK\1\2"):
            raise zipfile.BadZipFile("Bad magic number for central directory")
        fields = _RECORD.unpack(head)
        lengths = fields[11:14]
        rest = file.read(sum(lengths))
        if len(rest) < sum(lengths):
            raise zipfile.BadZipFile("Truncated central directory")
        number += 1
        if number > most:
            raise decompression.TooMany(max(count, number))
        yield _record(fields, rest, shift)
        start += _RECORD.size + len(rest)


def _find_directory(file: BinaryIO) -> tuple[int, int, int, int]:
    """Where the directory begins, its bytes, its entries, and by how much a file put before it moved all places."""
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - _END.size - _LONGEST_COMMENT))
    tail = file.read()
    place = tail.rfind(b"PK\5\6")
    while place >= 0 and place + _END.size > len(tail):
        place = tail.rfind(b"PK\5\6", 0, place)
    if place < 0:
        raise zipfile.BadZipFile("File is not a zip file")
    _, disk, first_disk, here, count, size, start, _ = _END.unpack_from(tail, place)
    end = length - len(tail) + place
    if (disk, first_disk) not in ((0, 0), (0xFFFF, 0xFFFF), (0, 0xFFFF), (0xFFFF, 0)) or here != count:
        raise zipfile.BadZipFile("it is one of several parts")
    wide = _wide_end(file, end)
    if wide:
        end, count, size, start = wide
    begins = end - size
    if begins < 0:
        raise zipfile.BadZipFile("Bad offset for central directory")
    return begins, size, count, begins - start


def _wide_end(file: BinaryIO, end: int) -> tuple[int, int, int, int] | None:
    """What ZIP64's own record says: where it lies, the entries, the directory's bytes and its place."""
    if end < _WIDE_PLACE.size + _WIDE_END.size:
        return None
    file.seek(end - _WIDE_PLACE.size)
    signature, _, _, disks = _WIDE_PLACE.unpack(file.read(_WIDE_PLACE.size))
    if signature != b"PK\6\7":
        return None
    if disks > 1:
        raise zipfile.BadZipFile("it is one of several parts")
    place = end - _WIDE_PLACE.size - _WIDE_END.size
    file.seek(place)
    signature, *_, count, size, start = _WIDE_END.unpack(file.read(_WIDE_END.size))
    return (place, count, size, start) if signature == b"PK\6\6" else None


def _record(fields: tuple, rest: bytes, shift: int) -> Record:
    _, _, system, _, flags, method, _, _, crc, packed, size, name_length, extra_length, _, disk, _, mode, start = fields
    name, extra = rest[:name_length], rest[name_length : name_length + extra_length]
    own_name = b""
    for tag, data in _extras(extra):
        if tag == 1:
            size, packed, start = _widened(data, size, packed, start)
        elif tag == 0x7075 and data[:5] == b"\1" + struct.pack("<L", zlib.crc32(name)):
            own_name = data[5:]
    if disk not in (0, 0xFFFF):
        raise zipfile.BadZipFile("it is one of several parts")
    kind = stat.S_IFMT(mode >> 16) if system == _UNIX else 0
    text = _text(own_name or name, system == _UNIX or bool(flags & _UTF8))
    return Record(text, Place(start + shift, packed, size, method, flags, crc), kind)


def _extras(extra: bytes) -> Iterator[tuple[int, bytes]]:
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        yield kind, extra[4 : 4 + length]
        extra = extra[4 + length :]


def _widened(data: bytes, *numbers: int) -> list[int]:
    """The numbers of an entry, with those from ZIP64's field that did not fit."""
    wide = iter(struct.unpack(f"<{len(data) // 8}Q", data[: len(data) // 8 * 8]))
    found = [next(wide, -1) if number == 0xFFFFFFFF else number for number in numbers]
    if -1 in found:
        raise zipfile.BadZipFile("Corrupt zip64 extra field")
    return found


def _text(name: bytes, as_unix: bool) -> str:
    """A name; many writers give UTF-8 without saying so. Else it is bytes as Unix has them, or code page 437."""
    name = name.partition(b"\0")[0]
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("utf-8", "surrogateescape") if as_unix else name.decode("cp437")


def _overlapping(files: Mapping[str, Place]) -> list[str]:
    """The names of entries that share bytes with another, which none does but those of a bomb."""
    names = list(files)
    starts = np.array([place.start for place in files.values()], np.float64)
    ends = starts + np.array([_LOCAL.size + place.packed for place in files.values()], np.float64)
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], ends[order]
    farthest = np.maximum.accumulate(ends)
    reaching = np.maximum.accumulate(np.where(ends == farthest, np.arange(len(ends)), 0))  # whose end that is
    over = np.flatnonzero(starts[1:] < farthest[:-1])
    return [names[order[place]] for place in sorted({*(over + 1).tolist(), *reaching[over].tolist()})]


def read(file: BinaryIO, place: Place, most: int) -> bytes:
    """What an entry holds. Its header is not believed: nothing beyond `most` bytes is unpacked.

    Raises `TooLarge` for more, and one of `READ_ERRORS` for a damaged one.
    """
    data = _stream(file, place).read(most + 1)
    if len(data) > most:
        raise decompression.TooLarge(f"it becomes more than {most} bytes")
    if zlib.crc32(data) != place.crc:
        raise zipfile.BadZipFile("Bad CRC-32: it is damaged")
    return data


class _Part(NamedTuple):
    """What is not packed, as a stream."""

    file: BinaryIO
    size: int

    def read(self, most: int) -> bytes:
        """The first bytes."""
        data = self.file.read(min(self.size, most))
        if len(data) < min(self.size, most):
            raise EOFError("it is cut off")
        return data


def _stream(file: BinaryIO, place: Place) -> decompression.Packed:
    """What an entry holds, from its begin; its header says how far away that is."""
    file.seek(place.start)
    head = file.read(_LOCAL.size)
    if len(head) < _LOCAL.size or not head.startswith(b"PK\3\4"):
        raise zipfile.BadZipFile("Bad magic number for file header")
    file.seek(sum(_LOCAL.unpack(head)[-2:]), os.SEEK_CUR)
    if place.method == zipfile.ZIP_STORED:
        return _Part(file, place.packed)
    if place.method == zipfile.ZIP_DEFLATED:
        return decompression.Unpacked(file, decompression.deflated, place.packed)
    if place.method == zipfile.ZIP_BZIP2:
        return decompression.Unpacked(file, BZ2Decompressor, place.packed)
    size = -1 if place.flags & _MARKED_END else place.size
    new = partial(decompression.lzma_of_zip, file.read(min(9, place.packed)), size)
    return decompression.Unpacked(file, new, max(0, place.packed - 9))
