"""Pictures that are planted into a set to see whether a review finds them: foreign, disturbed, and copies.

What is made (disturbed, resized, copied) is bytes in memory, and a dataset of its own.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jepa_core import images
from jepa_core.datasets.disturbances import KINDS, disturb
from jepa_core.datasets.spec import DatasetSpec, Item

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


@dataclass(frozen=True)
class Made:
    """A picture that was made of another one: its bytes, the class and kind it is of, and where the other one stood."""

    data: bytes
    label: str
    kind: str
    origin: int = -1


def dataset_of(made: Sequence[Made], name: str) -> DatasetSpec:
    """A dataset of pictures in memory."""
    return DatasetSpec(
        name=name,
        title=name,
        description="",
        source="made",
        licence="",
        held_out=True,
        classes=tuple(dict.fromkeys(one.label for one in made)),
        size=len(made),
        label_of=lambda position: made[position].label,
        name_of=lambda position: f"{name}/{position}",
        reader_of=lambda position: lambda: made[position].data,
    )


def _bytes(picture: Image.Image) -> bytes:
    return images.encode_ppm(np.asarray(picture.convert("RGB")))


def disturbed(items: Sequence[Item], rng: np.random.Generator) -> list[Made]:
    """Each picture disturbed in one way, all ways in turn; `origin` is its position."""
    return [
        Made(_bytes(disturb(kind, images.decode(item.read()).image, rng)), item.label, kind, item.position)
        for item, kind in zip(items, _in_turn(KINDS, len(items)), strict=True)
    ]


def resized(items: Sequence[Item], size: tuple[int, int], kind: str) -> list[Made]:
    """Pictures brought to a size and packed as a photo would be (JPEG, quality 90), so that neither gives them away."""
    made = []
    for item in items:
        picture = images.decode(item.read()).image.resize(size, Image.Resampling.LANCZOS)
        made.append(Made(_bytes(_packed(picture, 90)), item.label, kind, item.position))
    return made


def copied(items: Sequence[Item], rng: np.random.Generator) -> list[Made]:
    """Each picture copied in one way of `COPIES`, all ways in turn; `origin` is its position."""
    return [
        Made(_bytes(COPIES[kind](images.decode(item.read()).image, rng)), item.label, kind, item.position)
        for item, kind in zip(items, _in_turn(tuple(COPIES), len(items)), strict=True)
    ]


def _in_turn(kinds: Sequence[str], count: int) -> list[str]:
    return [kinds[place % len(kinds)] for place in range(count)]


# --- copies -----------------------------------------------------------------------------------------------------------


def _scaled(picture: Image.Image, factor: float) -> Image.Image:
    return picture.resize([max(1, round(factor * side)) for side in picture.size], Image.Resampling.LANCZOS)


def _packed(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as opened:
        return opened.convert("RGB")


def _cropped(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Nine tenths of each side, wherever they lie."""
    width, height = (max(1, round(0.9 * side)) for side in picture.size)
    left, top = rng.integers(picture.width - width + 1), rng.integers(picture.height - height + 1)
    return picture.crop((int(left), int(top), int(left) + width, int(top) + height))


def _brighter(picture: Image.Image, _rng: np.random.Generator) -> Image.Image:
    return picture.point(lambda value: min(255, round(1.1 * value)))


def _marked(picture: Image.Image, _rng: np.random.Generator) -> Image.Image:
    """A word in the lower right corner, a tenth of the height high."""
    marked, size = picture.copy(), max(8, picture.height // 10)
    place = (picture.width - 3 * size, picture.height - 3 * size // 2)
    ImageDraw.Draw(marked).text(place, "(c) us", fill=(255, 255, 255), font=ImageFont.load_default(size))
    return marked


COPIES: dict[str, Change] = {
    "half the size": lambda picture, _rng: _scaled(picture, 0.5),
    "larger by half": lambda picture, _rng: _scaled(picture, 1.5),
    "JPEG, 30 to 95": lambda picture, rng: _packed(picture, int(rng.integers(30, 96))),
    "cropped to 90 %": _cropped,
    "brighter by 10 %": _brighter,
    "small watermark": _marked,
    "mirrored": lambda picture, _rng: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}
"""Ways in which a picture is copied, by the words for them."""
