"""The datasets that come with the explorer: drawn by code, or with a dependency (scikit-learn, scikit-image)."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np

from jepa_core import images
from jepa_core.datasets import known_density, scenes, synthetic
from jepa_core.datasets.spec import DatasetSpec

DRAWN_COUNT = 300
WORLD_COUNT = 600
MIXED_COUNT = 150  # of each of its four kinds
MIXED_START = 1000  # the first of the shapes and galaxies that encoders are trained on


@lru_cache(maxsize=3)
def _digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    from jepa_core.datasets.digits import load_split

    return load_split(split)


def _digit_label(split: str, position: int) -> str:
    return str(_digits(split)[1][position])


def _digit(split: str, position: int) -> np.ndarray:
    return _digits(split)[0][position]


def _inverted_digit(position: int) -> np.ndarray:
    return 255 - _digit("test", position)


def _flipped_digit(position: int) -> np.ndarray:
    return np.ascontiguousarray(_digit("test", position)[:, ::-1])


def _constant(label: str, _position: int) -> str:
    return label


def _encoded(draw: Callable[[int], np.ndarray], position: int) -> bytes:
    return images.encode_ppm(draw(position))


def _drawing(draw: Callable[[int], np.ndarray], position: int) -> Callable[[], bytes]:
    return partial(_encoded, draw, position)


def _numbered(name: str, position: int) -> str:
    return f"{name}/{position}"


_DRAWN: dict[str, Any] = {"size": DRAWN_COUNT, "source": "drawn by code", "licence": "MIT", "held_out": True}


def _bundled(name: str, draw: Callable[[int], np.ndarray], **fields: Any) -> DatasetSpec:
    """A dataset of pictures that `draw` makes by their positions; `fields` are those of `DatasetSpec`."""
    reader_of = partial(_drawing, draw)
    return DatasetSpec(name=name, name_of=partial(_numbered, name), reader_of=reader_of, **(_DRAWN | fields))


_DIGIT_CLASSES = tuple("0123456789")
_DIGITS: dict[str, Any] = {"classes": _DIGIT_CLASSES, "noun": "digit"}
_DIGITS_LICENCE = "CC BY 4.0 (UCI Optical Recognition of Handwritten Digits)"
_PHOTOS_LICENCE = "CC BY 2.0 (china.jpg by danielbuechele, flower.jpg by vultilion)"


def _digit_split(split: str, title: str, size: int, use: str) -> DatasetSpec:
    return _bundled(
        f"digits-{split}",
        partial(_digit, split),
        title=title,
        description=f"Handwritten digits of 8 x 8 px, {size} of scikit-learn's 1797, shuffled with seed 0. {use}",
        label_of=partial(_digit_label, split),
        **_DIGITS,
        size=size,
        source="scikit-learn",
        licence=_DIGITS_LICENCE,
        held_out=split != "train",
    )


def _changed_digits(name: str, title: str, how: str, draw: Callable[[int], np.ndarray]) -> DatasetSpec:
    return _bundled(
        name,
        draw,
        title=title,
        description=f"The 360 test digits {how}. In the same order, so each can be laid beside its original.",
        label_of=partial(_digit_label, "test"),
        **_DIGITS,
        size=360,
        source="scikit-learn",
        licence=_DIGITS_LICENCE,
    )


def _world_split(split: str, title: str, use: str) -> DatasetSpec:
    return _bundled(
        f"world-{split}",
        partial(known_density.draw, split),
        title=title,
        description=f"{WORLD_COUNT} drawn pictures of 32 x 32 px whose probability density is known, "
        f"of {len(known_density.KINDS)} kinds "
        f"with six random factors each, seed {known_density.SEEDS[split]}. {use}",
        label_of=partial(_world_label, split),
        classes=known_density.NAMES,
        size=WORLD_COUNT,
        held_out=split != "train",
    )


def _world_label(split: str, position: int) -> str:
    return known_density.NAMES[known_density.sample(split, position)[0]]


def _mixed_split(split: str, title: str, use: str) -> DatasetSpec:
    """Pictures of four of the other sets side by side, from their beginnings."""
    start = MIXED_START if split == "train" else 0
    kinds = ("digit", "world picture", "shape", "galaxy")
    draws = (partial(_digit, split), partial(known_density.draw, split), synthetic.shape, synthetic.galaxy)
    starts = (0, 0, start, start)
    return _bundled(
        f"mixed-{split}",
        partial(_mixed, draws, starts),
        title=title,
        description=f"{MIXED_COUNT} pictures each of the digits, the world, the shapes and the galaxies. {use}",
        label_of=partial(_mixed_label, kinds),
        classes=kinds,
        size=MIXED_COUNT * len(kinds),
        source="scikit-learn and drawn by code",
        licence=f"MIT; digits: {_DIGITS_LICENCE}",
        held_out=split != "train",
    )


def _mixed(draws: tuple[Callable[[int], np.ndarray], ...], starts: tuple[int, ...], position: int) -> np.ndarray:
    kind, place = divmod(position, MIXED_COUNT)
    return draws[kind](starts[kind] + place)


def _mixed_label(kinds: tuple[str, ...], position: int) -> str:
    return kinds[position // MIXED_COUNT]


def _scenes_split(split: str, title: str, columns: str, use: str) -> DatasetSpec:
    """Tiles of the photographs' part that belongs to the split."""
    return _bundled(
        f"scenes-{split}",
        partial(scenes.tile, split),
        title=title,
        description=f"{scenes.size(split)} small tiles, {min(scenes.SIDES)} to {max(scenes.SIDES)} px, cut from "
        f"{columns} of {len(scenes.NAMES)} free photographs that come with scikit-image and scikit-learn, seed "
        f"{scenes.SEED}; each class is one photograph. {use}",
        label_of=partial(scenes.label, split),
        classes=scenes.NAMES,
        size=scenes.size(split),
        source="scikit-image and scikit-learn",
        licence=scenes.licences(),
        held_out=split != "train",
    )


BUNDLED = (
    _digit_split("train", "Digits (train)", 1077, "The bundled digits encoder was trained on them."),
    _digit_split("validation", "Digits (validation)", 360, "Choices between encoders and settings are made on them."),
    _digit_split("test", "Digits (test)", 360, "Nothing was trained or chosen on them."),
    _changed_digits("inverted-digits", "Inverted digits", "with black and white exchanged", _inverted_digit),
    _changed_digits("flipped-digits", "Flipped digits", "mirrored left to right", _flipped_digit),
    _world_split("train", "World (train)", "The recipe 'world' trains on them and many more."),
    _world_split("test", "World (test)", "Nothing was trained or chosen on them."),
    _mixed_split("train", "Mixed (train)", "The recipe 'mixed' trains on them and many more."),
    _mixed_split("test", "Mixed (test)", "Nothing was trained or chosen on them."),
    _bundled(
        "photo-tiles",
        synthetic.photo_tile,
        title="Photo tiles",
        description=f"Tiles of 64 x 64 px at random places of scikit-learn's two sample photos, by turns. "
        f"{DRAWN_COUNT} tiles, seed {synthetic.PHOTO_SEED}.",
        label_of=synthetic.photo_label,
        classes=synthetic.PHOTOS,
        source="scikit-learn",
        licence=_PHOTOS_LICENCE,
    ),
    _scenes_split("train", "Scenes (train)", "the left quarter", "No bundled encoder was trained on them."),
    _scenes_split(
        "validation",
        "Scenes (validation)",
        "the right quarter",
        "Choices between encoders and settings are made on them.",
    ),
    _scenes_split("test", "Scenes (test)", "the middle half", "Nothing was trained or chosen on them."),
    _bundled(
        "noise",
        synthetic.noise,
        title="Uniform noise",
        description=f"Pictures of 32 x 32 px whose every value is independent and uniform from 0 to 255. "
        f"{DRAWN_COUNT} pictures, seed {synthetic.NOISE_SEED}.",
        label_of=partial(_constant, "noise"),
        classes=("noise",),
    ),
    _bundled(
        "flat-colours",
        synthetic.flat,
        title="Flat colours",
        description=f"Pictures of 32 x 32 px of one colour each, uniformly random in sRGB. "
        f"{DRAWN_COUNT} pictures, seed {synthetic.FLAT_SEED}.",
        label_of=partial(_constant, "flat colour"),
        classes=("flat colour",),
    ),
    _bundled(
        "shapes",
        synthetic.shape,
        title="Shapes",
        description=f"Ten drawn shapes of 64 x 64 px, filled or outlined, at varied places, sizes, angles and colours. "
        f"{DRAWN_COUNT} pictures, {DRAWN_COUNT // len(synthetic.SHAPES)} of each class, seed {synthetic.SHAPES_SEED}.",
        label_of=synthetic.shape_label,
        classes=synthetic.SHAPES,
    ),
    _bundled(
        "galaxies",
        synthetic.galaxy,
        title="Galaxies",
        description=f"Drawn galaxies of 64 x 64 px on a night sky: spiral, elliptical and seen from the edge. "
        f"{DRAWN_COUNT} pictures, {DRAWN_COUNT // len(synthetic.GALAXIES)} of each class, "
        f"seed {synthetic.GALAXIES_SEED}.",
        label_of=synthetic.galaxy_label,
        classes=synthetic.GALAXIES,
    ),
)
