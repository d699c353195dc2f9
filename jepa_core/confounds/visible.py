"""What a person can see of a picture without knowing what it shows: dark, without colour, blurred, in a border.

Unlike the measures of `jepa_core.confounds.image_stats` these hardly hang on a picture's history: whether it was
resized or packed as a JPEG on its way says nothing of what it shows, but doubles the size of a PNG. So most are taken
on the crop at half its size, packed once as a JPEG of Pillow's standard quality (75), which makes pictures of all
histories alike.
"""

import io
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image

from jepa_core.confounds import image_stats
from jepa_core.confounds.image_stats import Seen
from jepa_core.keys import make_key

VERSION = 1
"""To be raised when a formula changes, so that kept values are not mixed with new ones."""

_LEAST_SIDE = 32  # px: a smaller crop is not halved
_BLOCK = 8  # px of a JPEG's blocks
_HARMONICS = 3
_EVEN = 4.0  # grey levels that the lines of a border differ by at most, what a JPEG leaves of an even one


@dataclass(frozen=True)
class Visible:
    """A measure: its name and unit, what a picture is that has less of it than others, and more ("" for nothing
    seen); {} stands for those others.

    `least` is the least difference from the references that a person can see, in its unit.
    """

    name: str
    unit: str
    low: str
    high: str
    least: float


VISIBLE = (
    Visible("border", "share of its area", "", "has an even border", 0.05),
    Visible("noise", "grey levels, as log10(1 + s)", "", "is noisy", 0.2),
    Visible("colour noise", "levels, as log10(1 + s)", "", "is noisy", 0.2),
    Visible("blocks", "share of its edges", "", "shows the blocks of a JPEG", 0.03),
    Visible("detail", "log10 of a share", "is blurred", "is sharper than {}", 0.1),
    Visible(
        "colourfulness", "Hasler and Suesstrunk's scale", "has less colour than {}", "has more colour than {}", 5.0
    ),
    Visible("contrast", "grey levels", "has less contrast than {}", "has more contrast than {}", 5.0),
    Visible("brightness", "grey levels", "is darker than {}", "is brighter than {}", 10.0),
    Visible("even area", "share of its area", "has fewer even areas than {}", "has more even areas than {}", 0.05),
    Visible("complexity", "bits a pixel", "is simpler than {}", "is more complex than {}", 0.1),
)
"""All of them, those with one cause before those that several things change."""


def space_of(transform: str) -> str:
    """The key of the measures under a transform (canonical JSON of a data config)."""
    return make_key("visible measures", VERSION, transform)


def measured(crop: Image.Image, scale: float) -> Float[ndarray, "visible"]:
    """`VISIBLE` of a crop ("RGB" or "L", as it is scored), float32; `scale` is `images.scale` of its picture."""
    plain = _alike(crop)
    seen, grey = Seen(plain, 1.0), np.asarray(crop.convert("L"), dtype=np.float64)
    values = (
        _border(np.asarray(crop, dtype=np.float64)),
        np.log10(1 + _noise(grey)),
        np.log10(1 + _colour_noise(crop)),
        _blocks(grey, _BLOCK * scale),
        image_stats.fine_detail(seen),
        image_stats.colourfulness(seen),
        image_stats.contrast(seen),
        image_stats.brightness(seen),
        _even_area(seen.grey),
        image_stats.jpeg_size(seen),
    )
    return np.array(values, dtype=np.float32)


def _alike(crop: Image.Image) -> Image.Image:
    """The crop at half its size and packed once, so that it looks like others whatever was done to it before."""
    half = crop.reduce(2) if min(crop.size) >= 2 * _LEAST_SIDE else crop
    packed = io.BytesIO()
    half.save(packed, "JPEG", quality=75)
    with Image.open(packed) as opened:
        return opened.convert(crop.mode)


def _border(pixels: Float[ndarray, "height width ..."]) -> float:
    """The share of the area that lies in even lines along the sides, all of one colour; 0 where all of it is even."""
    values = pixels.reshape(*pixels.shape[:2], -1)
    margins = []
    for turned in (values, values[::-1], values.swapaxes(0, 1), values.swapaxes(0, 1)[::-1]):
        first = turned[0].mean(axis=0)
        even = np.abs(turned - first).max(axis=2).mean(axis=1) <= _EVEN
        margins.append(len(even) if even.all() else int(np.argmin(even)))
    top, bottom, left, right = margins
    height, width = values.shape[:2]
    if top == height or left == width:
        return 0.0
    return 1 - (1 - (top + bottom) / height) * (1 - (left + right) / width)


def _noise(grey: Float[ndarray, "height width"]) -> float:
    """The standard deviation of noise in its evenest parts, in grey levels.

    That of Immerkaer ("Fast noise variance estimation", Computer Vision and Image Understanding 64, 1996), which a
    plane does not change, in each part of 8 x 8 px; the lower quarter of them, since texture adds to the others.
    """
    if min(grey.shape) < 2 * _BLOCK:
        return 0.0
    across = grey[:, :-2] - 2 * grey[:, 1:-1] + grey[:, 2:]
    both = np.abs(across[:-2] - 2 * across[1:-1] + across[2:])
    height, width = (side // _BLOCK * _BLOCK for side in both.shape)
    parts = both[:height, :width].reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).mean(axis=(1, 3))
    return float(np.sqrt(np.pi / 2) / 6 * np.quantile(parts, 0.25))


def _colour_noise(crop: Image.Image) -> float:
    """`_noise` of the differences of colours, in which texture, which all colours share, is left out."""
    if crop.mode == "L":
        return 0.0
    red, green, blue = np.asarray(crop, dtype=np.float64).transpose(2, 0, 1)
    return float(np.hypot(_noise(red - green), _noise(blue - green)) / 2)


def _blocks(grey: Float[ndarray, "height width"], period: float) -> float:
    """How much the differences of neighbours return every `period` px, as at the sides of a JPEG's blocks.

    How far the first harmonics stand out from the frequencies beside them among the mean differences of each pair of
    columns (rows), as a share of the mean difference; the mean of both ways. 0 where fewer than four blocks fit in or
    a block has less than four pixels.
    """
    found = []
    for steps in (np.abs(np.diff(grey, axis=1)).mean(axis=0), np.abs(np.diff(grey, axis=0)).mean(axis=1)):
        if period < 4 or len(steps) < 4 * period:
            return 0.0
        count = len(steps)
        window = np.hanning(count + 2)[1:-1]
        harmonics = np.arange(1, min(_HARMONICS, int(period / 2)) + 1) / period
        frequencies = np.concatenate([harmonics + beside * 2.5 / count for beside in (0, -1, 1)])
        waves = np.exp(-2j * np.pi * np.outer(frequencies, np.arange(count)))
        at, before, after = np.abs(waves @ (window * (steps - steps.mean()))).reshape(3, -1)
        found.append((at - (before + after) / 2).mean() / (window.sum() * max(steps.mean(), 0.5)))
    return float(np.mean(found))


def _even_area(grey: Float[ndarray, "height width"]) -> float:
    """The share of pixels that differ from those beside and below them by at most `_EVEN` grey levels."""
    across, down = np.abs(np.diff(grey, axis=1))[:-1], np.abs(np.diff(grey, axis=0))[:, :-1]
    return float(((across <= _EVEN) & (down <= _EVEN)).mean()) if across.size else 1.0
