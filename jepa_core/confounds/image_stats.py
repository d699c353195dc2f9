"""Measures of a picture that say nothing of what it shows: how complex it is, how bright, how much it was enlarged.

Likelihoods of images follow such measures (Serra et al., "Input complexity and out-of-distribution detection with
likelihood-based generative models", ICLR 2020, arXiv 1909.11480), and so may a score. Each is taken on the crop that
is scored (`images.crop`). To add one, write a function with the `_measure` decorator; `MEASURES` has them all.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image

from jepa_core import images

VERSION = 1
"""To be raised when a measure's formula changes, so that kept values are not mixed with new ones."""

# Share of the contrast below which the rounding of smooth pictures to 256 levels passes for fine detail.
_LEAST_DETAIL = 1e-4


@dataclass(frozen=True)
class Seen:
    """What a measure looks at: the crop that is scored ("RGB" or "L"), and `images.scale` of its picture."""

    crop: Image.Image
    scale: float

    @cached_property
    def grey(self) -> Float[ndarray, "height width"]:
        """The luma (ITU-R 601) of each pixel, 0 to 255."""
        return np.asarray(self.crop.convert("L"), dtype=np.float64)


@dataclass(frozen=True)
class Measure:
    """A measure of pictures: what it is called in a sentence, its unit, its meaning, and the words for its ends."""

    name: str
    title: str
    unit: str
    meaning: str  # one line
    low: str  # what a picture with a low value is
    high: str
    of: Callable[[Seen], float]


_found: dict[str, Measure] = {}


def _measure(
    title: str, unit: str, meaning: str, low: str, high: str
) -> Callable[[Callable[[Seen], float]], Callable[[Seen], float]]:
    def register(of: Callable[[Seen], float]) -> Callable[[Seen], float]:
        _found[of.__name__] = Measure(of.__name__, title, unit, meaning, low, high, of)
        return of

    return register


@_measure("PNG size", "bits a pixel", "What is left of it when it is packed without loss.", "simple", "complex")
def png_size(seen: Seen) -> float:
    """Bits a pixel of the crop as a PNG, beyond those of an even picture of its size."""
    return _bits_beyond_even(seen.crop, "PNG")


@_measure("JPEG size", "bits a pixel", "What is left of it when it is packed as photos are.", "simple", "complex")
def jpeg_size(seen: Seen) -> float:
    """Bits a pixel of the crop as a JPEG of Pillow's standard quality (75), beyond those of an even picture."""
    return _bits_beyond_even(seen.crop, "JPEG")


def _bits_beyond_even(crop: Image.Image, kind: str) -> float:
    # Headers and tables are a large part of a small file, and the same in all files of a size.
    return 8 * (_bytes_as(crop, kind) - _even_bytes(crop.mode, crop.size, kind)) / (crop.width * crop.height)


def _bytes_as(picture: Image.Image, kind: str) -> int:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind)
    return buffer.tell()


@lru_cache(maxsize=32)
def _even_bytes(mode: str, size: tuple[int, int], kind: str) -> int:
    return _bytes_as(Image.new(mode, size), kind)


@_measure("gradient energy", "log10 of grey levels squared", "How much neighbouring pixels differ.", "smooth", "rough")
def gradient_energy(seen: Seen) -> float:
    """`log10(1 + mean dx^2 + mean dy^2)` of the luma, dx and dy being differences of neighbours.

    It spans orders of magnitude; the 1 is about what rounding to whole grey levels adds.
    """
    across, down = np.diff(seen.grey, axis=1), np.diff(seen.grey, axis=0)
    return float(np.log10(1 + np.mean(across**2) + np.mean(down**2)))


@_measure("entropy", "bits", "How evenly all grey levels are used.", "plain", "rich in grey levels")
def entropy(seen: Seen) -> float:
    """Entropy of the grey levels, `-sum p log2 p` over 256 of them. It knows nothing of where they are."""
    counts = np.bincount(seen.grey.astype(np.uint8).ravel(), minlength=256)
    shares = counts[counts > 0] / seen.grey.size
    return float(np.sum(shares * np.log2(1 / shares)))


@_measure("brightness", "grey levels", "The mean grey level.", "dark", "bright")
def brightness(seen: Seen) -> float:
    """Mean luma, 0 (black) to 255 (white)."""
    return float(seen.grey.mean())


@_measure("contrast", "grey levels", "How far the grey levels spread.", "low in contrast", "high in contrast")
def contrast(seen: Seen) -> float:
    """Standard deviation of the luma (root-mean-square contrast; Peli, J. Opt. Soc. Am. A 7, 1990)."""
    return float(seen.grey.std())


@_measure(
    "colourfulness", "Hasler and Suesstrunk's scale", "How vivid and varied its colours are.", "grey", "colourful"
)
def colourfulness(seen: Seen) -> float:
    """`sqrt(var(rg) + var(yb)) + 0.3 sqrt(mean(rg)^2 + mean(yb)^2)`, with rg = R - G and yb = (R + G) / 2 - B.

    Hasler and Suesstrunk, "Measuring colourfulness in natural images", SPIE 5007, 2003: 0 is grey, 109 extremely
    colourful. What a grey encoder scores has none.
    """
    if seen.crop.mode == "L":
        return 0.0
    red, green, blue = np.asarray(seen.crop, dtype=np.float64).transpose(2, 0, 1)
    first, second = red - green, (red + green) / 2 - blue
    return float(np.hypot(first.std(), second.std()) + 0.3 * np.hypot(first.mean(), second.mean()))


@_measure("upscaling", "times", "How much it was enlarged to be scored.", "little enlarged", "much enlarged")
def upscaling(seen: Seen) -> float:
    """Crop pixels a picture's pixel became, along a side; 1 where none was enlarged, since a reduced one is sharp.

    An enlargement before the file was written is not seen here; `fine_detail` sees its traces.
    """
    return max(1.0, seen.scale)


@_measure("fine detail", "log10 of a share", "How much of its contrast is in fine detail.", "blurred", "sharp")
def fine_detail(seen: Seen) -> float:
    """log10 of the share of the contrast in the finer half of the frequencies: little where a picture was enlarged.

    With w a Hann window, the share is `sum_{|f| > 1/4} |F(w g)|^2 / (sum |F(w g)|^2 + N sum w^2)`, |f| in cycles a
    pixel, g the luma less its windowed mean; the last term, one grey level squared, leaves an even picture without
    detail. Shares below 1e-4 count as that.
    """
    grey = seen.grey
    window = np.outer(*(np.hanning(side + 2)[1:-1] for side in grey.shape))
    power = np.abs(np.fft.fft2(window * (grey - np.average(grey, weights=window)))) ** 2
    down, across = (np.fft.fftfreq(side) for side in grey.shape)
    fine = power[np.hypot(down[:, None], across[None, :]) > 0.25].sum()
    share = fine / (power.sum() + grey.size * np.sum(window**2))
    return float(np.log10(max(share, _LEAST_DETAIL)))


MEASURES: Mapping[str, Measure] = MappingProxyType(_found)
"""All measures by name, in a fixed order."""


def measured(image: Image.Image, data_config: dict[str, Any]) -> Float[ndarray, "measures"]:
    """All `MEASURES` of a picture (float32), on the crop that is scored under timm's resolved data config."""
    return measured_crop(images.crop(image, data_config), images.scale(image, data_config))


def measured_crop(crop: Image.Image, scale: float) -> Float[ndarray, "measures"]:
    """`measured` of a picture whose crop is at hand, with `images.scale` of it."""
    seen = Seen(crop, scale)
    return np.array([measure.of(seen) for measure in MEASURES.values()], dtype=np.float32)
