"""The part of a picture that an encoder scores: the picture half of timm's eval transform, done with Pillow alone.

So a page can show what was scored without importing torch, and bytes are cropped in the process that decodes them.
"""

import math
from collections.abc import Sequence
from typing import Any

from PIL import Image

from jepa_core.errors import BadImage


def crop_of(image: Image.Image, data_config: dict[str, Any], name: str) -> Image.Image:
    """`crop` of a picture of that name; `BadImage` where a side of it would be less than half a pixel."""
    try:
        return crop(image, data_config)
    except ValueError as error:
        raise BadImage(
            f"{name} is too narrow for this encoder ({image.width} x {image.height} px); a picture nearer to a square "
            "is accepted; crop it and try again."
        ) from error


def crop(image: Image.Image, data_config: dict[str, Any]) -> Image.Image:
    """The part of a picture that an encoder scores, (H, W) px: the first steps of timm's eval transform, bit for bit.

    `data_config` is timm's resolved data config: `input_size` (C, H, W), `interpolation`, `crop_pct`, `crop_mode`
    ("center", "squash" or "border"), `mean`. The result is grey ("L") for C = 1, else RGB.
    """
    channels, *size = data_config["input_size"]
    mode = "L" if channels == 1 else "RGB"
    image = image if image.mode == mode else image.convert(mode)  # converting to the same mode copies it
    resample = Image.Resampling[data_config["interpolation"].upper()]
    height, width = _size_before_crop(image, data_config)
    if (width, height) != image.size:
        image = image.resize((width, height), resample)
    border = data_config["crop_mode"] == "border"
    fill = [round(255 * value) for value in data_config["mean"]] if border else [0] * channels
    return _centre(image, size[0], size[1], fill)


def scale(image: Image.Image, data_config: dict[str, Any]) -> float:
    """How many pixels of its `crop` a pixel of the picture became, along a side (the geometric mean of both)."""
    height, width = _size_before_crop(image, data_config)
    return math.sqrt(height / image.height * (width / image.width))


def _size_before_crop(image: Image.Image, data_config: dict[str, Any]) -> tuple[int, int]:
    _channels, *size = data_config["input_size"]
    scaled = [math.floor(side / (data_config["crop_pct"] or 0.875)) for side in size]
    return _resized(image.height, image.width, scaled, data_config["crop_mode"])


def _resized(height: int, width: int, target: Sequence[int], mode: str) -> tuple[int, int]:
    """The (height, width) to resize to. The rounding is timm's and torchvision's, each at its own place."""
    if mode == "squash":
        return target[0], target[1]
    if mode != "border" and target[0] == target[1]:
        short, long = sorted((height, width))
        new_short, new_long = target[0], int(target[0] * long / short)
        return (new_long, new_short) if width <= height else (new_short, new_long)
    ratios = height / target[0], width / target[1]
    longest = 1.0 if mode == "border" else 0.0
    ratio = max(ratios) * longest + min(ratios) * (1.0 - longest)
    return round(height / ratio), round(width / ratio)


def _centre(image: Image.Image, height: int, width: int, fill: Sequence[int]) -> Image.Image:
    pad_x, pad_y = max(width - image.width, 0), max(height - image.height, 0)
    if pad_x or pad_y:
        padded = Image.new(image.mode, (image.width + pad_x, image.height + pad_y), tuple(fill))
        padded.paste(image, (pad_x // 2, pad_y // 2))
        image = padded
    top, left = round((image.height - height) / 2.0), round((image.width - width) / 2.0)
    return image.crop((left, top, left + width, top + height))
