"""Pixels deeper than 8 bits to 8: one rule for the range of every type, whichever way a picture comes in.

What a file declares comes first (the maxval of a PNM file, the 12 bits of a TIFF). Else, and where it only names the
container that the values lie in (16 or 32 bits):

- 8 bits are 0 to 255, and truth values black and white;
- whole numbers from 0 on are 0 to the smallest of 255, 1023, 4095, 16383 and 65535 (8, 10, 12, 14 and 16 bits) that
  holds the largest of them;
- fractions are 0 to 1 where that holds them, but for what rounding adds; else as whole numbers;
- all others (negative, or larger than 65535) lie in their own range, the smallest to the largest;
- what is no number, or infinite, counts as 0.

Colours share one range; transparency has its own. Grey is rounded; colours that fill 16 bits keep their upper 8, as
Pillow reads them.
"""

from collections.abc import Iterator

import numpy as np
from numpy import ndarray
from PIL import Image

RUNGS = (255, 1023, 4095, 16383, 65535)
_STRIP = 2**20  # values that are handled at once
_SLACK = 1e-3  # of a range, by which rounding may leave it


class Range:
    """The values that become 0 and 255."""

    def __init__(self, low: float, high: float, *, fractions: bool, declared: int | None = None) -> None:
        """Of a picture whose values are `low` to `high`."""
        rungs = (declared,) if declared else (1, *RUNGS) if fractions else RUNGS
        slack = _SLACK if fractions else 0.0
        held = (rung for rung in rungs if low >= -slack * rung and high <= (1 + slack) * rung)
        top = next(held, None)
        self.own = top is None
        self.bottom = 0.0 if top is not None else low
        self.top = float(top) if top is not None else max(high, low + 1)

    def __str__(self) -> str:
        if self.own:
            return f"{self.bottom:g} to {self.top:g}, its own range,"
        return f"0 to {self.top:.0f}"

    def scaled(self, values: ndarray) -> ndarray:
        """Values in float64 as uint8, rounded."""
        scaled = (values - self.bottom) * (255.0 / (self.top - self.bottom))
        return np.rint(np.clip(scaled, 0.0, 255.0)).astype(np.uint8)


def _strips(rows: int, row: int) -> Iterator[slice]:
    """Slices of `rows` rows of `row` values each, about `_STRIP` values at once."""
    step = max(1, _STRIP // max(row, 1))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def _finite(values: ndarray) -> ndarray:
    return np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)


def _extremes(parts: Iterator[ndarray]) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for part in parts:
        values = _finite(part) if part.dtype.kind == "f" else part
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    return low, high


def grey(picture: Image.Image, notes: list[str], declared: int | None = None) -> Image.Image:
    """A picture of mode I, I;16 or F in mode L. `convert("L")` would clip at 255 and turn most of it white."""
    width, height = picture.size

    def parts() -> Iterator[tuple[slice, ndarray]]:
        for rows in _strips(height, width):
            yield rows, np.asarray(picture.crop((0, rows.start, width, rows.stop)))

    fractions = picture.mode == "F"
    span = Range(*_extremes(part for _rows, part in parts()), fractions=fractions, declared=declared)
    table = None if fractions or span.own else span.scaled(np.arange(int(span.top) + 1))
    made = np.empty((height, width), np.uint8)
    for rows, part in parts():
        made[rows] = table[part] if table is not None else span.scaled(_finite(part))
    notes.append(f"Its grey values of more than 8 bits were scaled: {span} became 0 to 255.")
    return Image.fromarray(made)


def eight_bits(array: ndarray, notes: list[str]) -> ndarray:
    """An array (H, W) or (H, W, C) of booleans, whole numbers or fractions in uint8; the fourth channel is opacity."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * 255
    if array.ndim == 3 and array.shape[2] == 4:
        return np.dstack([eight_bits(array[..., :3], notes), eight_bits(array[..., 3], [])])
    rows = array.shape[0]
    row = array[0].size
    fractions = array.dtype.kind == "f"
    span = Range(*_extremes(array[part] for part in _strips(rows, row)), fractions=fractions)
    made = np.empty(array.shape, np.uint8)
    upper = array.ndim == 3 and span.top == RUNGS[-1] and not fractions and not span.own
    for part in _strips(rows, row):
        made[part] = array[part] >> 8 if upper else span.scaled(_finite(array[part]))
    what = "grey" if array.ndim == 2 else "colour"
    notes.append(f"Its {what} values of more than 8 bits were scaled: {span} became 0 to 255.")
    return made


def is_full(upper: Image.Image) -> bool:
    """Whether the colours fill 16 bits, told by their upper bytes (RGB, RGBA or CMYK)."""
    return max(high for _low, high in _bands(upper)) > RUNGS[-2] >> 8


def _bands(picture: Image.Image) -> tuple[tuple[int, int], ...]:
    colours = 4 if picture.mode == "CMYK" else 3
    return picture.getextrema()[:colours]  # type: ignore[return-value]


def joined(upper: Image.Image, lower: Image.Image, notes: list[str]) -> Image.Image:
    """Colours of less than 16 bits that are kept in 16, from the upper and the lower bytes of their values."""
    highest = max(
        int(_sixteen(band, other).max())
        for band, other in list(zip(upper.split(), lower.split(), strict=True))[: len(_bands(upper))]
    )
    span = Range(0, highest, fractions=False)
    table = span.scaled(np.arange(int(span.top) + 1))
    bands = [
        Image.fromarray(table[_sixteen(band, other)]) if place < len(_bands(upper)) else _opacity(band, other)
        for place, (band, other) in enumerate(zip(upper.split(), lower.split(), strict=True))
    ]
    notes.append(f"Its colour values of more than 8 bits were scaled: {span} became 0 to 255.")
    return Image.merge(upper.mode, bands)


def _sixteen(upper: Image.Image, lower: Image.Image) -> ndarray:
    return (np.asarray(upper).astype(np.uint16) << 8) | np.asarray(lower)


def _opacity(upper: Image.Image, lower: Image.Image) -> Image.Image:
    values = _sixteen(upper, lower)
    span = Range(0, int(values.max()), fractions=False)
    return upper if span.top == RUNGS[-1] else Image.fromarray(span.scaled(values))
