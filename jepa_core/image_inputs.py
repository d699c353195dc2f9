"""Pictures that a program hands over, in a list: what they are called, and bytes that give them the same number."""

from collections.abc import Iterable
from os import PathLike

import numpy as np
from PIL import Image

from jepa_core import images
from jepa_core.errors import BadImage

Picture = str | PathLike[str] | bytes | Image.Image | np.ndarray
_ACCEPTED = "a list of paths, bytes, PIL images or arrays is accepted"


def several(pictures: object) -> list[object]:
    """The pictures of a list or of any other iterable; `BadImage` for one picture by itself, or for nothing."""
    if isinstance(pictures, str | bytes | bytearray | memoryview | PathLike | Image.Image | np.ndarray):
        kind = "path" if isinstance(pictures, str | PathLike) else type(pictures).__name__
        raise BadImage(f"One picture was given by itself ({kind}); {_ACCEPTED}; put it into a list: [picture].")
    if not isinstance(pictures, Iterable):
        raise BadImage(f"Pictures were given as {type(pictures).__name__}; {_ACCEPTED}; give a list.")
    return list(pictures)


def named_bytes(position: int, picture: object) -> tuple[str, str, bytes]:
    """What a picture is called, its digest, and its bytes; for a PIL image or an array those of the RGB picture.

    Raises `BadImage` for what is no picture.
    """
    by_path = isinstance(picture, str | PathLike)
    name = str(picture) if by_path else f"picture {position}"
    data = images.bytes_of(picture, name)
    if not isinstance(data, bytes):
        data = images.encode_ppm(np.asarray(images.decode(data, name).image))
    return name, images.digest(data), data
