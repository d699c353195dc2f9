"""Any picture to a safe RGB one, its digest, the crop that an encoder scores, and small PNGs to show.

`decode` is the only door for pictures from outside: whatever comes, it gives an RGB picture with a note of everything
that was done to it, or raises `BadImage` with one sentence. `crop` is what an encoder scores of it.
"""

import hashlib
import io
import re
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from jepa_core.decoding import decode as decoding_decode
from jepa_core.decoding import pixel_depth, sandbox
from jepa_core.decoding.crop import crop as crop
from jepa_core.decoding.crop import crop_of
from jepa_core.decoding.crop import scale as scale
from jepa_core.decoding.decode import FORMATS as FORMATS
from jepa_core.decoding.decode import MAX_MEGAPIXELS as MAX_MEGAPIXELS
from jepa_core.decoding.decode import Decoded
from jepa_core.decoding.file_headers import SUFFIXES as SUFFIXES
from jepa_core.errors import BadImage
from jepa_core.progress import Cancelled, never

_PLAIN = re.compile(rb"P([56])\n(\d{1,6}) (\d{1,6})\n255\n")


def digest(data: bytes) -> str:
    """SHA-256 (hex) of a picture's bytes: its identity in the store.

    >>> digest(b"")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(data).hexdigest()


def decode(picture: object, name: str = "The file", cancelled: Cancelled = never) -> Decoded:
    """A picture from outside as an upright RGB one: the same pixels whichever way it comes in.

    Args:
        picture: the bytes of an image file (one of FORMATS), its path, a PIL image, or an array (H, W), (H, W, 1),
            (H, W, 3) or (H, W, 4) of booleans, whole numbers or fractions (their range:
            `jepa_core.decoding.pixel_depth`).
        name: what it is called in an error's sentence.
        cancelled: asked while bytes are decoded, which stops at once.

    Bytes are decoded in a process of their own, with limits on its seconds and memory (`jepa_core.decoding.sandbox`),
    but for plain PPM files, as drawn pictures are, whose cost is their size.

    Raises `BadImage` for whatever is no picture, damaged, too large or too dear, and `sandbox.DecodingCancelled`.
    """
    name = _one_line(name)
    limit = sandbox.megapixels()
    match bytes_of(picture, name):
        case bytes(data) if is_plain(data):
            found = decoding_decode.read(data, name, limit)
            return replace(found, image=found.image.copy())  # else it would be an open file
        case bytes(data):
            head, body = sandbox.run(data, name, cancelled)
            image = Image.frombytes(head["mode"], tuple(head["size"]), body)
            return Decoded(image, head["format"], head["width"], head["height"], tuple(head["notes"]))
        case np.ndarray() as array:
            return decoding_decode.from_array(array, name, limit)
        case other:
            return decoding_decode.from_pillow(other, name, limit)


@dataclass(frozen=True)
class Cropped:
    """What an encoder scores of a picture, and what was done to it before."""

    image: Image.Image  # as `crop` gives it
    scale: float  # as `scale` gives it
    notes: tuple[str, ...]  # of its decoding


def cropped(
    picture: object, data_config: dict[str, Any], name: str = "The file", cancelled: Cancelled = never
) -> Cropped:
    """`crop` of what `decode` gives; of bytes it is made where they are decoded, so that few pixels travel."""
    name = _one_line(name)
    data = bytes_of(picture, name)
    if isinstance(data, bytes) and not is_plain(data):
        head, body = sandbox.run(data, name, cancelled, data_config)
        image = Image.frombytes(head["mode"], tuple(head["size"]), body)
        return Cropped(image, head["scale"], tuple(head["notes"]))
    found = decode(data, name)
    return Cropped(crop_of(found.image, data_config, name), scale(found.image, data_config), found.notes)


def is_plain(data: bytes) -> bool:
    """Whether bytes are a PPM or PGM file as `encode_ppm` writes it, whose decoding costs no more than copying it."""
    found = _PLAIN.match(data[:64])
    if not found:
        return False
    channels, width, height = 3 if found[1] == b"6" else 1, int(found[2]), int(found[3])
    return len(data) == found.end() + channels * width * height


def _one_line(name: str) -> str:
    return " ".join(name.split())


def bytes_of(picture: object, name: str) -> "bytes | np.ndarray | Image.Image":
    """The bytes of a picture that has some; an array or a PIL image that is no file any more as it is."""
    if isinstance(picture, bytes | bytearray | memoryview):
        return bytes(picture)
    if isinstance(picture, str | PathLike):
        try:
            return Path(picture).read_bytes()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise BadImage(f"{name} cannot be read ({why}); give the path of an image file.") from error
    if isinstance(picture, Image.Image):
        return decoding_decode.file_of(picture) or picture
    if isinstance(picture, np.ndarray):
        return picture
    raise BadImage(
        f"{name} is of type {type(picture).__name__}; the path or the bytes of an image file, a PIL image or a NumPy "
        "array are accepted; give one of these."
    )


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


def ppm_of(array: np.ndarray, name: str) -> bytes:
    """`encode_ppm` of a file's array (H, W), (H, W, 1) or (H, W, 3) of a type that `decode` takes; else `BadImage`."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    decoding_decode.check_array(array, name)
    if array.ndim == 3 and array.shape[2] == 4:
        return encode_ppm(np.asarray(decode(array, name).image))
    return encode_ppm(np.ascontiguousarray(pixel_depth.eight_bits(array, [])))
