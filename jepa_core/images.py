"""Bytes to a safe RGB picture, its digest, the crop that an encoder scores, and small PNGs to show.

`decode` is the only door for pictures from outside: whatever the bytes are, it gives an RGB picture with a note of
everything that was done to it, or raises `BadImage` with one sentence. `crop` is the picture half of timm's eval
transform, done with Pillow alone, so that a page can show what was scored without importing torch.
"""

import hashlib
import io
import logging
import math
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from jepa_core.errors import BadImage

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
# The files of a folder that are taken for pictures, by their ending in lower case.
SUFFIXES = {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".dib"}
SUFFIXES |= {".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"}
MAX_MEGAPIXELS = 100
MAX_ASPECT = 100  # encoders resize by the shorter side: 20000 x 1 px would become 4 million x 224

_ACCEPTED = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_WARNING_FILTERS = threading.Lock()
logging.getLogger("PIL").addHandler(logging.NullHandler())  # else its remarks on odd TIFF files go to standard error


@dataclass(frozen=True)
class Decoded:
    """A picture from outside, made safe."""

    image: Image.Image  # RGB, upright, the first frame
    format: str  # one of FORMATS
    width: int  # pixels of the upright original
    height: int
    notes: tuple[str, ...]  # what was done to it, one plain sentence each; empty for a plain RGB or grey picture


def digest(data: bytes) -> str:
    """SHA-256 (hex) of a picture's bytes: its identity in the store.

    >>> digest(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(data).hexdigest()


@contextmanager
def _pillow_kept_quiet() -> Iterator[None]:
    # Pillow warns about damaged metadata and large sizes; both are ours to judge. Filters belong to the process, so
    # two threads that change and restore them at once could leave the wrong ones behind.
    with _WARNING_FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def decode(data: bytes, name: str = "The file") -> Decoded:
    """The first frame of an image file as an upright RGB picture.

    Grey of 16 or 32 bits is scaled to 8, CMYK and palettes are converted, transparency is laid on white, EXIF rotation
    is applied; `notes` says which of these happened. `name` is what the file is called in an error's sentence.

    Raises `BadImage` for empty bytes, anything but FORMATS, damage, more than MAX_MEGAPIXELS (judged by the header,
    before any pixel is decoded) and a long side of more than MAX_ASPECT times the short one.
    """
    name = " ".join(name.split())
    if not data:
        raise BadImage(f"{name} is empty (0 bytes); an image file ({_ACCEPTED}) is accepted; choose another file.")
    with _pillow_kept_quiet():
        picture = _open(data, name)
        kind = "JPEG" if picture.format == "MPO" else str(picture.format)  # MPO: a phone's JPEG with a preview inside
        try:
            notes = ["It holds several frames; the first was taken."] if _is_animated(picture) else []
            turn = _turn(picture, notes)
            picture.load()
            if turn is not None and kind != "TIFF":  # Pillow turns a TIFF itself while loading it
                picture = picture.transpose(turn)
            image = _to_rgb(picture, notes)
        except Exception as error:  # Pillow's parsers raise nearly anything on hostile bytes
            raise BadImage(
                f"{name} is a damaged, cut-off or unusual {kind} file ({_one_line(error)}); "
                f"a complete {_ACCEPTED} file is accepted; save or copy it again."
            ) from error
    return Decoded(image, kind, image.width, image.height, tuple(notes))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _open(data: bytes, name: str) -> Image.Image:
    too_large = BadImage(
        f"{name} has more than {MAX_MEGAPIXELS} megapixels; at most {MAX_MEGAPIXELS} are accepted; "
        "make it smaller and try again."
    )
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise too_large from error
    except Exception as error:  # the same: any exception means that no header could be read
        raise BadImage(
            f"{name} is not an image that can be read, or is cut off; a complete {_ACCEPTED} file is accepted; "
            "convert it or choose another file."
        ) from error
    long, short = max(picture.size), min(picture.size)
    if long * short > MAX_MEGAPIXELS * 1_000_000:
        raise too_large
    if long > MAX_ASPECT * short:
        raise BadImage(
            f"{name} is {picture.width} x {picture.height} px; a long side of at most {MAX_ASPECT} times the short one "
            "is accepted; crop it and try again."
        )
    return picture


def _is_animated(picture: Image.Image) -> bool:
    try:
        return bool(getattr(picture, "is_animated", False))
    except Exception:  # a cut-off second frame does no harm to the first
        return True


def _turn(picture: Image.Image, notes: list[str]) -> Image.Transpose | None:
    # Not ImageOps.exif_transpose: it writes the metadata anew and fails where only that is damaged.
    try:
        turn = _UPRIGHT.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        notes.append("Its EXIF data are damaged; they were ignored.")
        return None
    if turn is not None:
        notes.append("It was turned upright as its EXIF data say.")
    return turn


def _to_rgb(picture: Image.Image, notes: list[str]) -> Image.Image:
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        return _deep_grey(picture, notes).convert("RGB")
    if picture.mode == "CMYK":
        notes.append("Its CMYK colours were converted to RGB without a colour profile.")
    if picture.has_transparency_data:
        return _on_white(picture, notes)
    if picture.mode == "P":
        notes.append("Its palette was converted to RGB.")
    return picture.convert("RGB")


def _deep_grey(picture: Image.Image, notes: list[str]) -> Image.Image:
    """Grey of more than 8 bits, scaled to 8. `convert("L")` would clip at 255 and turn most of it white."""
    values = np.nan_to_num(np.asarray(picture).astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    tops = (1.0, 255.0, 65535.0) if picture.mode == "F" else (65535.0,)
    top = next((top for top in tops if low >= 0 and high <= top), None)
    if top is not None:
        bottom, told = 0.0, f"0 to {top:.0f}"
    else:
        bottom, top, told = low, high if high > low else low + 1, f"{low:g} to {high:g}, its own range,"
    notes.append(f"Its grey values of more than 8 bits were scaled: {told} became 0 to 255.")
    return Image.fromarray(np.rint((values - bottom) * (255.0 / (top - bottom))).astype(np.uint8))


def _on_white(picture: Image.Image, notes: list[str]) -> Image.Image:
    # Premultiplied modes convert only to their plain twin.
    plain = {"La": "LA", "RGBa": "RGBA"}.get(picture.mode)
    rgba = (picture.convert(plain) if plain else picture).convert("RGBA")
    if np.asarray(rgba.getchannel("A")).min() < 255:
        notes.append("Its transparent parts were laid on white.")
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")


def crop(image: Image.Image, data_config: dict[str, Any]) -> Image.Image:
    """The part of a picture that an encoder scores, (H, W) px: the first steps of timm's eval transform, bit for bit.

    `data_config` is timm's resolved data config: `input_size` (C, H, W), `interpolation`, `crop_pct`, `crop_mode`
    ("center", "squash" or "border"), `mean`. The result is grey ("L") for C = 1, else RGB.
    """
    channels, *size = data_config["input_size"]
    image = image.convert("L" if channels == 1 else "RGB")
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


def to_png(image: Image.Image) -> bytes:
    """The picture as the bytes of a PNG file. They are for showing: their digest depends on the zlib build."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def display_png(image: Image.Image, size: int = 256) -> bytes:
    """A PNG at most `size` px wide and high.

    A smaller picture is enlarged by a whole factor with square pixels, so that the very pixels that were scored are
    seen; a larger one is reduced smoothly.
    """
    factor = size // max(image.size)
    if factor >= 1:
        return to_png(image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST))
    reduced = image.copy()
    reduced.thumbnail((size, size), Image.Resampling.LANCZOS)
    return to_png(reduced)


def rgb_array(png: bytes) -> np.ndarray:
    """The pixels (H, W, 3) of a picture's bytes, in uint8."""
    return np.asarray(decode(png).image)


def thumbnail(image: Image.Image, size: int) -> bytes:
    """A picture at most `size` px wide and high, in few bytes.

    A small one as `display_png`, its pixels exact; a larger one, whose pixels are lost anyway, as WebP.
    """
    if max(image.size) <= size:
        return display_png(image, size)
    reduced = image.copy()
    reduced.thumbnail((size, size), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    reduced.save(buffer, format="WEBP", quality=85)
    return buffer.getvalue()


def array_png(array: np.ndarray, size: int = 256) -> bytes:
    """`display_png` of a uint8 array (H, W, 3)."""
    return display_png(Image.fromarray(array), size)


def encode_ppm(array: np.ndarray) -> bytes:
    """The bytes of a PGM (H, W) or PPM (H, W, 3) file of a uint8 array.

    Drawn pictures are kept in this form because its bytes, and so their digest, follow from the pixels alone.
    Raises ValueError for another type or shape.

    >>> encode_ppm(np.zeros((1, 2), np.uint8))
    b'P5\\n2 1\\n255\\n\\x00\\x00'
    """
    grey = array.ndim == 2
    if array.dtype != np.uint8 or not (grey or (array.ndim == 3 and array.shape[2] == 3)):
        raise ValueError(f"A picture must be uint8 (H, W) or (H, W, 3). Got {array.dtype} {array.shape}.")
    height, width = array.shape[:2]
    return b"%s\n%d %d\n255\n" % (b"P5" if grey else b"P6", width, height) + array.tobytes()
