"""PPM and PGM files that Pillow reads number by number, in Python: those in plain text, and those of an odd maxval.

The values are those that Pillow gives, thousands of times as fast.
"""

import re
from collections.abc import Iterator

import numpy as np
from numpy import ndarray
from PIL import Image

_HEADER = re.compile(rb"P([2356])" + rb"(?:\s|#[^\r\n]*[\r\n])+(\d{1,9})" * 3 + rb"(?:\s|#[^\r\n]*[\r\n](?=\s))")
_PLAIN = re.compile(rb"[0-9\s]*")
_LONG = re.compile(rb"[0-9]{11}")
_BLOCK = 2**20  # bytes of text at once


class Header:
    """Of a file that is read here."""

    def __init__(self, found: "re.Match[bytes]") -> None:
        self.kind, self.width, self.height, self.maxval = (int(part) for part in found.groups())
        self.start = found.end()
        self.channels = 3 if self.kind in (3, 6) else 1
        self.deep = self.channels == 1 and self.maxval > 255  # Pillow keeps 16 bits of grey, and 8 of colours
        self.top = 65535 if self.deep else 255


def header_of(data: bytes) -> Header | None:
    """The header of a file that is to be read here; None for one that Pillow reads well, or that is none."""
    found = _HEADER.match(data[:4096])
    header = Header(found) if found else None
    if header is None or not 0 < header.maxval < 65536:
        return None
    binary = header.kind in (5, 6)
    whole = header.maxval == 255 or (header.maxval == 65535 and header.channels == 1)
    return None if binary and whole else header


def read(data: bytes, header: Header) -> Image.Image:
    """The picture in mode L, RGB or, for grey of more than 8 bits, I;16 from 0 to 65535.

    Raises ValueError for too few numbers, and in plain text for what is none or is larger than maxval.
    """
    # As Pillow divides and rounds, for each value that there can be.
    kind = np.uint16 if header.deep else np.uint8
    table = np.rint(np.arange(header.maxval + 1) / header.maxval * header.top).astype(kind)
    picture = Image.new(
        "RGB" if header.channels == 3 else "I;16" if header.deep else "L", (header.width, header.height)
    )
    row, top, waiting = header.width * header.channels, 0, np.empty(0, kind)
    for values in _plain(data, header) if header.kind in (2, 3) else _binary(data, header):
        waiting = np.concatenate([waiting, table[values]])
        rows = min(len(waiting) // row, header.height - top)
        strip = waiting[: rows * row].reshape((rows, header.width, 3) if header.channels == 3 else (rows, header.width))
        if rows:
            picture.paste(Image.fromarray(strip), (0, top))  # in strips: an array of all would be held beside it
        waiting, top = waiting[rows * row :], top + rows
        if top == header.height:
            return picture
    raise ValueError(f"{top} of its {header.height} rows are there")


def _binary(data: bytes, header: Header) -> Iterator[ndarray]:
    kind = np.dtype(np.uint8 if header.maxval < 256 else ">u2")
    everything = np.frombuffer(data, kind, (len(data) - header.start) // kind.itemsize, header.start)
    for start in range(0, len(everything), _BLOCK):
        yield np.minimum(everything[start : start + _BLOCK], header.maxval)


def _plain(data: bytes, header: Header) -> Iterator[ndarray]:
    place = header.start
    while place < len(data):
        end = place + _BLOCK
        while end < len(data) and not data[end : end + 1].isspace():  # not within a number
            end += 1
        comment = data.rfind(b"#", place, end)
        if comment > max(data.rfind(b"\n", place, end), data.rfind(b"\r", place, end)):  # nor within a comment
            end = min(len(data), (data.find(b"\n", end) + 1) or len(data))
        text = re.sub(rb"#[^\r\n]*", b"", data[place:end])
        place = end
        if not _PLAIN.fullmatch(text) or _LONG.search(text):
            raise ValueError("a value is no number")
        values = np.array(text.split(), dtype="S10").astype(np.int64)
        if values.size and values.max() > header.maxval:
            raise ValueError(f"the value {values.max()} is larger than its maxval, {header.maxval}")
        yield values
