"""Packed bytes, unpacked forward and piece by piece: what they become is in memory only as far as it was asked for.

The readers of ZIPs and tars share this. The libraries' own give back all that a piece of bzip2 or LZMA becomes, which
may be gigabytes for a kilobyte.
"""

import bz2
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import BinaryIO, Protocol

from jepa_core.config import hosted

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
    OverflowError,
    MemoryError,
)


class TooMany(ValueError):
    """An archive with more entries than are accepted."""

    def __init__(self, count: int) -> None:
        super().__init__(f"it has {count} entries or more")
        self.count = count


class TooLarge(ValueError):
    """What becomes more bytes than are accepted."""


_INPUT = 2**16  # bytes that are read at once
_OUTPUT = 2**17  # bytes that are unpacked at once
_MOST_IN_VAIN = 1000
_MOST_MEMORY = 192 * 2**20  # bytes of an LZMA dictionary
_FREE = 2**30, 256 * 2**20  # bytes that any archive may become while it is listed, at home and for visitors
_RATIO = 100, 20  # and those that each of its own bytes may become


def most_unpacked(packed: int) -> int:
    """How many bytes an archive of that many may become while it is listed; for pictures they are about as many."""
    return _FREE[hosted()] + _RATIO[hosted()] * packed


def reason(error: BaseException) -> str:
    """What one of `READ_ERRORS` says, in a few words."""
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(":")


class Decoder(Protocol):
    """What `bz2` and `lzma` call a decompressor."""

    @property
    def eof(self) -> bool:
        """Whether its end was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether it can go on only with more data."""

    @property
    def unused_data(self) -> bytes:
        """What followed the end."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """At most `max_length` bytes of what the data become."""


class _Inflater:
    """zlib's decompressor with the face of the others'."""

    def __init__(self, bits: int) -> None:
        self._inflate = zlib.decompressobj(bits)

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def needs_input(self) -> bool:
        return not self._inflate.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)


def deflated() -> Decoder:
    """A decoder for a ZIP's deflate."""
    return _Inflater(-zlib.MAX_WBITS)


def zipped() -> Decoder:
    """A decoder for zlib's own form of deflate."""
    return _Inflater(zlib.MAX_WBITS)


def lzma_of_zip(head: bytes, size: int) -> Decoder:
    """A decoder for a ZIP's LZMA: `head` is its first 9 bytes, `size` that of the entry, -1 where its end is marked."""
    if len(head) < 9 or struct.unpack("<H", head[2:4])[0] != 5:
        raise lzma.LZMAError("its LZMA header is damaged")
    decoder = lzma.LZMADecompressor(lzma.FORMAT_ALONE, _MOST_MEMORY)
    decoder.decompress(head[4:9] + struct.pack("<q", size), 0)
    return decoder


# What a packed tar begins with, and how it is unpacked.
_PACKED: dict[bytes, Callable[[], Decoder]] = {
    b"\x1f\x8b": lambda: _Inflater(16 + zlib.MAX_WBITS),
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\0": lambda: lzma.LZMADecompressor(lzma.FORMAT_AUTO, _MOST_MEMORY),
    b"\x5d\0\0": lambda: lzma.LZMADecompressor(lzma.FORMAT_AUTO, _MOST_MEMORY),
}
_ZSTANDARD = b"\x28\xb5\x2f\xfd"


class Packed(Protocol):
    """A stream that is unpacked as it is read."""

    def read(self, most: int, /) -> bytes:
        """The next bytes, fewer than `most` only at the end. Raises one of `READ_ERRORS` for damaged ones."""


class Unpacked:
    """A packed stream. `read` gives no more than it is asked for, and holds no more than that."""

    def __init__(
        self, source: BinaryIO, new: Callable[[], Decoder], packed: int | None = None, magic: bytes = b""
    ) -> None:
        self._source, self._new, self._magic = source, new, magic
        self._left = packed  # bytes of the source that belong to it; None for all
        self._decoder = new()
        self._input = self._output = b""  # read and not unpacked yet; unpacked and not given yet
        self._ended = False
        self._in_vain = 0  # streams one behind the other that held nothing

    def read(self, most: int, /) -> bytes:
        """As `Packed` says."""
        found = io.BytesIO()
        while (missing := most - found.tell()) > 0 and (self._output or self._unpack()):
            found.write(self._output[:missing])
            self._output = self._output[missing:]
        return found.getvalue()

    def _unpack(self) -> bool:
        """Whether there is more; then it is in `_output`."""
        while not self._output and not self._ended:
            data, self._input = self._input, b""
            if not data and self._decoder.needs_input:
                data = self._read_input()
                starved = not data
            else:
                starved = False
            self._output = self._decoder.decompress(data, _OUTPUT)
            if self._decoder.eof:
                self._next_stream()
            elif starved and not self._output:
                raise EOFError("it is cut off")
        return bool(self._output)

    def _read_input(self) -> bytes:
        data = self._source.read(_INPUT if self._left is None else min(_INPUT, self._left))
        if self._left is not None:
            self._left -= len(data)
        return data

    def _next_stream(self) -> None:
        """Packed files may stand one behind the other, with zeros between them; whatever else follows is no part."""
        rest = self._decoder.unused_data.lstrip(b"\0")
        while self._magic and len(rest) < len(self._magic) and (more := self._read_input()):
            rest = (rest + more).lstrip(b"\0")
        self._ended = not self._magic or not rest.startswith(self._magic)
        self._in_vain = 0 if self._output else self._in_vain + 1
        if self._in_vain > _MOST_IN_VAIN:
            raise ValueError("it is many packed files that are empty")
        if not self._ended:
            self._decoder, self._input = self._new(), rest


def unpacked(source: BinaryIO, head: bytes) -> Packed | None:
    """The stream that a packed file holds, by its first bytes; None for one that is not packed."""
    for magic, new in _PACKED.items():
        if head.startswith(magic):
            return Unpacked(source, new, magic=magic)
    if head.startswith(_ZSTANDARD):
        import pyarrow  # Python itself has it from 3.14 on

        return pyarrow.CompressedInputStream(source, "zstd")
    return None
