"""What is kept of a picture's pixels to find copies of it and its flaws: one look at each picture, kept in the store.

Nothing of the file counts, only what it shows: its size, a digest of its pixels, perceptual hashes (of the whole, of
its mirror image and of nine crops), a small copy to compare by, and a few plain measures. No encoder is needed.

The hash is pHash of `imagehash`: signs of the 8 x 8 lowest coefficients of a cosine transform, 64 bits, of which about
half differ between unlike pictures and few between copies. A crop moves all that is in the picture, so its hash is far
from the whole's but near to that of a like crop of the whole: hence the nine.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8, UInt64
from numpy import ndarray
from PIL import Image

from jepa_core.confounds.image_stats import MEASURES, Seen
from jepa_core.keys import make_key

VERSION = 1
"""To be raised when anything below changes, so that kept facts are not mixed with new ones."""
SPACE = make_key("picture facts", VERSION)
"""Where facts lie among the store's measures."""

CROPPED = 0.9  # of each side, what the hashed crops keep
MEASURED = ("brightness", "contrast", "colourfulness", "fine_detail")
_PLACES = (0.0, 0.5, 1.0)  # of the crops, across and down
_REDUCED = 256  # px of the longer side, at most, of what is measured and hashed
_SIDE, _COLOUR_SIDE = 32, 8  # px of the small copy, and of its two planes of colour
_HASHES = 2 + len(_PLACES) ** 2
_FORMAT = struct.Struct(f"<II16s{8 * _HASHES}s{_SIDE**2}s{2 * _COLOUR_SIDE**2}s")
_WORD = 3  # bytes in a float32, which holds whole numbers up to 2^24


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of the pixels of one picture.

    `hashes`: of the whole, of its mirror image, and of nine crops. `luma` and `colour` (Cb, Cr) are small copies.
    `darkest` and `brightest` are the 1st and 99th percentile of the luma, 0 to 255; `measures` those of `MEASURED`.
    """

    width: int
    height: int
    pixels: bytes
    hashes: UInt64[ndarray, "hashes"]
    luma: UInt8[ndarray, "32 32"]
    colour: UInt8[ndarray, "2 8 8"]
    darkest: float
    brightest: float
    measures: dict[str, float]


def look_at(picture: Image.Image) -> Float[ndarray, "numbers"]:
    """The facts of an RGB picture as the store keeps them (float32); `read` makes `Facts` of them again."""
    import imagehash  # imports SciPy's, for which a command without pictures need not wait

    digest = hashlib.sha256(struct.pack("<II", *picture.size) + picture.tobytes()).digest()[:16]
    reduced = picture.copy()
    reduced.thumbnail((_REDUCED, _REDUCED), Image.Resampling.LANCZOS)
    variants = [reduced, reduced.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    variants += [_crop(reduced, across, down) for down in _PLACES for across in _PLACES]
    hashes = b"".join(np.packbits(imagehash.phash(one).hash.ravel()).tobytes() for one in variants)
    luma, *colour = reduced.convert("YCbCr").split()
    small = luma.resize((_SIDE, _SIDE), Image.Resampling.BOX if min(luma.size) >= _SIDE else Image.Resampling.BICUBIC)
    planes = b"".join(plane.resize((_COLOUR_SIDE, _COLOUR_SIDE), Image.Resampling.BOX).tobytes() for plane in colour)
    body = _FORMAT.pack(*picture.size, digest, hashes, small.tobytes(), planes)
    seen = Seen(reduced, 1.0)
    numbers = [*np.percentile(np.asarray(luma), (1, 99)), *(MEASURES[name].of(seen) for name in MEASURED)]
    return np.concatenate([_packed(body), np.array(numbers, dtype=np.float32)])


def _crop(picture: Image.Image, across: float, down: float) -> Image.Image:
    width, height = (CROPPED * side for side in picture.size)
    left, top = across * (picture.width - width), down * (picture.height - height)
    # pHash reduces what it is given to 32 x 32; twice that keeps what it looks at.
    return picture.resize((64, 64), Image.Resampling.LANCZOS, box=(left, top, left + width, top + height))


def _packed(body: bytes) -> ndarray:
    padded = np.frombuffer(body + b"\0" * (-len(body) % _WORD), np.uint8).reshape(-1, _WORD)
    return (padded @ np.array([1, 2**8, 2**16])).astype(np.float32)


def read(numbers: Float[ndarray, "numbers"]) -> Facts:
    """The facts that `look_at` found."""
    words, rest = np.split(numbers, [-(-_FORMAT.size // _WORD)])
    body = (words.astype(np.uint32)[:, None] >> np.array([0, 8, 16], np.uint32)).astype(np.uint8).tobytes()
    width, height, pixels, hashes, luma, colour = _FORMAT.unpack(body[: _FORMAT.size])
    darkest, brightest, *measures = rest.tolist()
    return Facts(
        width,
        height,
        pixels,
        np.frombuffer(hashes, ">u8").astype(np.uint64),
        np.frombuffer(luma, np.uint8).reshape(_SIDE, _SIDE),
        np.frombuffer(colour, np.uint8).reshape(2, _COLOUR_SIDE, _COLOUR_SIDE),
        darkest,
        brightest,
        dict(zip(MEASURED, measures, strict=True)),
    )


def stacked(facts: Sequence[Facts], name: str) -> ndarray:
    """One of the facts of many pictures as an array, a row a picture."""
    return np.stack([np.asarray(getattr(one, name)) for one in facts])
