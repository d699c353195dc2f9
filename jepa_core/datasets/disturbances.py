"""Ordinary disturbances of a picture: what happens to pictures that belong, on their way through cameras and copies.

A picture that was disturbed shows what it showed. That is what tells it from a foreign one, and what a verdict, a list
for review and a training run are held against. How strong a disturbance is, is drawn from the range that its function
names, so that a set of them has mild and strong ones. Lengths are shares of the shorter side, so that they mean the
same for pictures of any size.

Similar to the corruptions of Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations, ICLR 2019, arXiv 1903.12261.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Disturb = Callable[[Image.Image, np.random.Generator], Image.Image]
"""An RGB picture to another one of its size; the generator draws how strong."""


def _grey(picture: Image.Image, _rng: np.random.Generator) -> Image.Image:
    return picture.convert("L").convert("RGB")


def _dark(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return _levels(picture, 0, rng.uniform(0.15, 0.35))


def _bright(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return _levels(picture, 255, rng.uniform(0.2, 0.4))


def _flat(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    return _levels(picture, 128, rng.uniform(0.15, 0.3))


def _levels(picture: Image.Image, around: float, factor: float) -> Image.Image:
    return Image.fromarray(np.rint(around + (np.asarray(picture, dtype=np.float64) - around) * factor).astype(np.uint8))


def _border(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Black or white, a tenth to a fifth of the shorter side wide; the picture is made smaller to fit inside."""
    width = max(1, round(rng.uniform(0.1, 0.2) * min(picture.size)))
    framed = Image.new("RGB", picture.size, (0, 0, 0) if rng.random() < 0.5 else (255, 255, 255))
    inner = (max(1, picture.width - 2 * width), max(1, picture.height - 2 * width))
    framed.paste(picture.resize(inner, Image.Resampling.LANCZOS), (width, width))
    return framed


def _blur(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Gaussian, with a standard deviation of 2 to 4 % of the shorter side."""
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.02, 0.04) * min(picture.size)))


def _noise(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Gaussian, 25 to 50 grey levels, each pixel and colour on its own."""
    values = np.asarray(picture, dtype=np.float64)
    values = values + rng.normal(0, rng.uniform(25, 50), values.shape)
    return Image.fromarray(np.rint(np.clip(values, 0, 255)).astype(np.uint8))


def _jpeg(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Packed with a quality of 4 to 12 of Pillow's 100."""
    packed = io.BytesIO()
    picture.save(packed, "JPEG", quality=int(rng.integers(4, 13)))
    with Image.open(packed) as opened:
        return opened.convert("RGB")


def _watermark(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Lines of text across it, white with 40 to 70 % of the cover."""
    size = max(8, min(picture.size) // 8)
    veil = Image.new("RGBA", picture.size, (255, 255, 255, 0))
    pen, font = ImageDraw.Draw(veil), ImageFont.load_default(size)
    cover = round(255 * rng.uniform(0.4, 0.7))
    for line, top in enumerate(range(size // 2, picture.height, 2 * size)):
        text = "SAMPLE   " * (2 + picture.width // (4 * size))
        pen.text((-(line % 3) * size, top), text, fill=(255, 255, 255, cover), font=font)
    return Image.alpha_composite(picture.convert("RGBA"), veil).convert("RGB")


DISTURBANCES: dict[str, Disturb] = {
    "no colour": _grey,
    "dark": _dark,
    "bright": _bright,
    "low contrast": _flat,
    "border": _border,
    "blur": _blur,
    "noise": _noise,
    "JPEG": _jpeg,
    "watermark": _watermark,
}
"""All disturbances by the word for them."""
KINDS = tuple(DISTURBANCES)


def disturb(kind: str, picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The picture (RGB) disturbed in one way of `KINDS`, as strongly as the generator draws."""
    return DISTURBANCES[kind](picture.convert("RGB"), rng)
