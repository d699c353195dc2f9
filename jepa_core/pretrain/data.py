"""Where a recipe's pictures come from: handwritten digits, the drawn world, a mixture of both with others, a folder.

A source lists its pictures in three parts, "train" to fit, "validation" to choose and "test" to report, and reads none
of them. The parts are the same each time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from jepa_core import images
from jepa_core.datasets import digits, known_density, synthetic
from jepa_core.datasets.bundled import MIXED_START
from jepa_core.datasets.registry import FOLDER_PREFIX, get_dataset
from jepa_core.datasets.spec import DatasetSpec, Item
from jepa_core.errors import DatasetError, UnknownName
from jepa_core.pretrain.recipes import Recipe

PARTS = ("train", "validation", "test")

COUNTS = {"train": 12_000, "validation": 2_000, "test": 2_000}
"""How many pictures each split of the world has, from position 0 on."""

MIXED_COUNTS = {"train": 1_200, "validation": 300, "test": 300}
"""How many pictures each part of "mixed" has of each drawn domain; of the digits it has all."""

_SPLIT_SEED = 0


class Picture(NamedTuple):
    """A picture, not yet read."""

    label: int  # number of its class; only the probes see it
    read: Callable[[], Image.Image]  # raises BadImage or DatasetError where a file cannot be read


@dataclass(frozen=True)
class Source:
    """The pictures of a recipe, and what the model card says of them."""

    classes: tuple[str, ...]
    parts: dict[str, list[Picture]] = field(repr=False)
    training: str  # the dataset of the app that is the train part, to which distances are measured; "": none is
    reference: str  # the held-out one on which "normal" is measured; "": none
    description: str
    terms: str


def open_source(recipe: Recipe, folder: Path | None = None) -> Source:
    """The pictures that a recipe trains on; `folder` holds them where the recipe says "folder".

    Raises `UnknownName` for data there is not, and `DatasetError` for a folder that is missing, superfluous, or cannot
    be listed.
    """
    if recipe.data not in (*_DRAWN, "folder"):
        raise UnknownName("training data", recipe.data, (*_DRAWN, "folder"))
    if recipe.data == "folder":
        if folder is None:
            raise DatasetError(
                f"The recipe {recipe.name!r} trains on a folder of pictures, and none was given; a folder whose "
                "sub-folders are classes is accepted; name it with --data FOLDER."
            )
        return _folder(recipe, folder)
    if folder is not None:
        raise DatasetError(
            f"The recipe {recipe.name!r} was given the folder {folder}, but has pictures of its own; no folder is "
            "accepted; leave it out, or choose a recipe for folders."
        )
    return _DRAWN[recipe.data]()


# --- drawn ------------------------------------------------------------------------------------------------------------


def _digits() -> Source:
    return Source(
        classes=tuple("0123456789"),
        parts={part: _digit_pictures(part) for part in PARTS},
        training="digits-train",
        reference="digits-test",
        description=(
            "scikit-learn's load_digits(), grey pictures of 8 x 8 pixels, cut by a fixed permutation "
            "(jepa_core.datasets.digits)"
        ),
        terms=_DIGITS_TERMS,
    )


_DIGITS_TERMS = (
    "Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, CC BY 4.0; the "
    "pictures come with scikit-learn and are not copied here"
)
_DRAWN_TERMS = "drawn by code of this repository (MIT licence)"


def _digit_pictures(part: str) -> list[Picture]:
    pictures, labels = digits.load_split(part)
    return [
        Picture(int(label), partial(Image.fromarray, picture)) for picture, label in zip(pictures, labels, strict=True)
    ]


def _world() -> Source:
    return Source(
        classes=known_density.NAMES,
        parts={part: _world_pictures(part, COUNTS[part]) for part in PARTS},
        training="world-train",
        reference="world-test",
        description=(
            "pictures of 32 x 32 pixels drawn from a world with a known density (jepa_core.datasets.known_density)"
        ),
        terms=_DRAWN_TERMS,
    )


def _world_pictures(part: str, count: int) -> list[Picture]:
    return [
        Picture(known_density.sample(part, position)[0], partial(_drawn, partial(known_density.draw, part), position))
        for position in range(count)
    ]


def _drawn(draw: Callable[[int], np.ndarray], position: int) -> Image.Image:
    return Image.fromarray(draw(position))


def _mixed() -> Source:
    shapes, galaxies = synthetic.SHAPES, synthetic.GALAXIES
    groups = (
        ("digit ", tuple("0123456789"), _digit_pictures),
        ("world: ", known_density.NAMES, lambda part: _world_pictures(part, MIXED_COUNTS[part])),
        ("shape: ", shapes, partial(_synthetic_pictures, synthetic.shape, synthetic.shape_label, shapes)),
        ("galaxy: ", galaxies, partial(_synthetic_pictures, synthetic.galaxy, synthetic.galaxy_label, galaxies)),
    )
    classes: list[str] = []
    parts: dict[str, list[Picture]] = {part: [] for part in PARTS}
    for prefix, names, list_pictures in groups:
        for part in PARTS:
            parts[part] += [Picture(len(classes) + label, read) for label, read in list_pictures(part)]
        classes += [prefix + name for name in names]
    return Source(
        classes=tuple(classes),
        parts=parts,
        training="mixed-train",
        reference="mixed-test",
        description=(
            "handwritten digits of scikit-learn, and drawn by code: the world (jepa_core.datasets.known_density), "
            "shapes and galaxies "
            f"(jepa_core.datasets.synthetic, positions from {MIXED_START} on)"
        ),
        terms=f"digits: {_DIGITS_TERMS}; all else: {_DRAWN_TERMS}",
    )


def _synthetic_pictures(
    draw: Callable[[int], np.ndarray], label_of: Callable[[int], str], names: tuple[str, ...], part: str
) -> list[Picture]:
    """The parts follow each other, train first, so no position is in two of them."""
    start = MIXED_START + sum(MIXED_COUNTS[earlier] for earlier in PARTS[: PARTS.index(part)])
    return [
        Picture(names.index(label_of(position)), partial(_drawn, draw, position))
        for position in range(start, start + MIXED_COUNTS[part])
    ]


_DRAWN: dict[str, Callable[[], Source]] = {"digits": _digits, "world": _world, "mixed": _mixed}


# --- a folder ---------------------------------------------------------------------------------------------------------


def _folder(recipe: Recipe, folder: Path) -> Source:
    """The pictures of a folder, described as the one the recipe was made for where the classes are the same.

    Its path is kept nowhere: it is nobody's business who reads the card.
    """
    dataset = get_dataset(f"{FOLDER_PREFIX}{folder}")
    parts = _split_folder(dataset)
    everything = [item for part in PARTS for item in parts[part]]
    classes = tuple(sorted({item.label for item in everything}))
    intended = recipe.folder if recipe.folder and set(recipe.folder.classes) == set(classes) else None
    return Source(
        classes=classes,
        parts={part: [_file_picture(classes, item) for item in parts[part]] for part in PARTS},
        training=intended.training if intended else "",
        reference=intended.reference if intended else "",
        description=intended.description if intended else "a folder of pictures of the person who trained the encoder",
        terms=intended.terms if intended else "those of the folder's owner",
    )


def _split_folder(dataset: DatasetSpec) -> dict[str, list[Item]]:
    """The parts of a folder, by a permutation that depends on nothing but the number of its pictures.

    A folder of `train` and `val` alone: `val` is the test part and a tenth of `train` the validation part. Any other:
    8 of 10 pictures to train, 1 to validate, 1 to test.
    """
    if set(dataset.classes) == {"train", "val"}:
        fit, test = (list(get_dataset(f"{dataset.name}/{name}").items()) for name in ("train", "val"))
        validation, train = _cut(fit, (0.1,))
    else:
        train, validation, test = _cut(list(dataset.items()), (0.8, 0.9))
    return {"train": train, "validation": validation, "test": test}


def _cut(items: Sequence[Item], shares: tuple[float, ...]) -> Iterator[list[Item]]:
    """The items in a fixed random order, cut after each share of them."""
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(items))
    cuts = [round(share * len(items)) for share in shares]
    return ([items[index] for index in piece] for piece in np.split(order, cuts))


def _file_picture(classes: tuple[str, ...], item: Item) -> Picture:
    return Picture(classes.index(item.label), partial(_decoded, item))


def _decoded(item: Item) -> Image.Image:
    return images.decode(item.read(), item.name).image
