"""Datasets: named sets of pictures, bundled or a folder, that can be listed without reading a pixel.

A `DatasetSpec` knows how many pictures it has, their classes and names; an `Item` is one of them, with a `read` that
gives its bytes when asked. `get_dataset` takes a bundled name or the path of a folder.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from jepa_core import folders, images, synthetic, world
from jepa_core.errors import DatasetError, UnknownName

FOLDER_PREFIX = "folder:"
NO_CLASS = "(no class)"  # of the pictures that lie directly in a folder, beside its sub-folders
DRAWN_COUNT = 300
WORLD_COUNT = 2000


@dataclass(frozen=True)
class Item:
    """One picture of a dataset, not yet read."""

    position: int  # in its dataset, from 0
    label: str  # its class
    name: str  # to show: "galaxies/12", or a file's path relative to its folder
    read: Callable[[], bytes] = field(repr=False, compare=False)  # raises DatasetError where the bytes are gone

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the bytes. This reads them; keep it rather than ask twice."""
        return images.digest(self.read())


@dataclass(frozen=True)
class DatasetSpec:
    """A set of pictures in a fixed order. Holds no pixels; all its functions can be pickled."""

    name: str  # what `get_dataset` takes
    title: str
    description: str
    source: str  # "drawn by code", "scikit-learn" or "folder"
    licence: str
    held_out: bool  # no bundled encoder was trained on it
    classes: tuple[str, ...]
    size: int
    label_of: Callable[[int], str] = field(repr=False, compare=False)
    name_of: Callable[[int], str] = field(repr=False, compare=False)
    reader_of: Callable[[int], Callable[[], bytes]] = field(repr=False, compare=False)
    fingerprint: str = ""  # of a folder: another one after a file was added, removed or written; "" for bundled sets

    def __len__(self) -> int:
        return self.size

    def labels(self) -> tuple[str, ...]:
        """The names of the classes, in order."""
        return self.classes

    def item(self, position: int) -> Item:
        """The picture at a position from 0, else `DatasetError`."""
        if not 0 <= position < self.size:
            raise DatasetError(
                f"Dataset {self.name!r} has no picture {position}; 0 to {self.size - 1} is accepted; choose another."
            )
        return Item(position, self.label_of(position), self.name_of(position), self.reader_of(position))

    def items(self, label: str | None = None) -> Iterator[Item]:
        """All pictures in order, or those of one class; `UnknownName` for a class it lacks. Nothing is read."""
        if label is not None and label not in self.classes:
            raise UnknownName(f"class of dataset {self.name!r}", label, self.classes)
        everything = (self.item(position) for position in range(self.size))
        return (item for item in everything if label is None or item.label == label)


def sample(spec: DatasetSpec, n: int, seed: int, label: str | None = None) -> list[Item]:
    """`n` different pictures at random (of one class), in order; all of them if there are no more than `n`.

    Raises `UnknownName` for a class the dataset lacks and `DatasetError` for n < 1.
    """
    if n < 1:
        raise DatasetError(f"A sample of {n} pictures was asked for; 1 or more is accepted; give a larger number.")
    items = list(spec.items(label))
    if n >= len(items):
        return items
    chosen = np.random.default_rng(seed).choice(len(items), n, replace=False)
    return [items[index] for index in sorted(chosen.tolist())]


# --- bundled ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=3)
def _digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    from jepa_core.digits import load_split

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


def _bundled(
    name: str,
    title: str,
    description: str,
    draw: Callable[[int], np.ndarray],
    label_of: Callable[[int], str],
    classes: tuple[str, ...],
    *,
    size: int = DRAWN_COUNT,
    source: str = "drawn by code",
    licence: str = "MIT",
    held_out: bool = True,
) -> DatasetSpec:
    return DatasetSpec(
        name=name,
        title=title,
        description=description,
        source=source,
        licence=licence,
        held_out=held_out,
        classes=classes,
        size=size,
        label_of=label_of,
        name_of=partial(_numbered, name),
        reader_of=partial(_drawing, draw),
    )


_DIGIT_CLASSES = tuple("0123456789")
_DIGITS_LICENCE = "CC BY 4.0 (UCI Optical Recognition of Handwritten Digits)"
_PHOTOS_LICENCE = "CC BY 2.0 (china.jpg by danielbuechele, flower.jpg by vultilion)"


def _digit_split(split: str, title: str, size: int, use: str) -> DatasetSpec:
    return _bundled(
        f"digits-{split}",
        title,
        f"Handwritten digits of 8 x 8 px, {size} of scikit-learn's 1797, shuffled with seed 0. {use}",
        partial(_digit, split),
        partial(_digit_label, split),
        _DIGIT_CLASSES,
        size=size,
        source="scikit-learn",
        licence=_DIGITS_LICENCE,
        held_out=split != "train",
    )


def _changed_digits(name: str, title: str, how: str, draw: Callable[[int], np.ndarray]) -> DatasetSpec:
    return _bundled(
        name,
        title,
        f"The 360 test digits {how}. In the same order, so each can be laid beside its original.",
        draw,
        partial(_digit_label, "test"),
        _DIGIT_CLASSES,
        size=360,
        source="scikit-learn",
        licence=_DIGITS_LICENCE,
    )


def _world_split(split: str, title: str, use: str) -> DatasetSpec:
    return _bundled(
        f"world-{split}",
        title,
        f"{WORLD_COUNT} drawn pictures of 32 x 32 px whose probability density is known, of {len(world.KINDS)} kinds "
        f"with six random factors each, seed {world.SEEDS[split]}. {use}",
        partial(world.draw, split),
        partial(_world_label, split),
        world.NAMES,
        size=WORLD_COUNT,
        held_out=split != "train",
    )


def _world_label(split: str, position: int) -> str:
    return world.NAMES[world.sample(split, position)[0]]


_BUNDLED = (
    _digit_split("train", "Digits (train)", 1077, "The bundled digits encoder was trained on them."),
    _digit_split("validation", "Digits (validation)", 360, "Choices between encoders and settings are made on them."),
    _digit_split("test", "Digits (test)", 360, "Nothing was trained or chosen on them."),
    _changed_digits("inverted-digits", "Inverted digits", "with black and white exchanged", _inverted_digit),
    _changed_digits("flipped-digits", "Flipped digits", "mirrored left to right", _flipped_digit),
    _world_split("train", "World (train)", "The bundled world encoder was trained on them and 10,000 more."),
    _world_split("test", "World (test)", "Nothing was trained or chosen on them."),
    _bundled(
        "photo-tiles",
        "Photo tiles",
        f"Tiles of 64 x 64 px at random places of scikit-learn's two sample photos, by turns. "
        f"{DRAWN_COUNT} tiles, seed {synthetic.PHOTO_SEED}.",
        synthetic.photo_tile,
        synthetic.photo_label,
        synthetic.PHOTOS,
        source="scikit-learn",
        licence=_PHOTOS_LICENCE,
    ),
    _bundled(
        "noise",
        "Uniform noise",
        f"Pictures of 32 x 32 px whose every value is independent and uniform from 0 to 255. "
        f"{DRAWN_COUNT} pictures, seed {synthetic.NOISE_SEED}.",
        synthetic.noise,
        partial(_constant, "noise"),
        ("noise",),
    ),
    _bundled(
        "flat-colours",
        "Flat colours",
        f"Pictures of 32 x 32 px of one colour each, uniformly random in sRGB. "
        f"{DRAWN_COUNT} pictures, seed {synthetic.FLAT_SEED}.",
        synthetic.flat,
        partial(_constant, "flat colour"),
        ("flat colour",),
    ),
    _bundled(
        "shapes",
        "Shapes",
        f"Ten drawn shapes of 64 x 64 px, filled or outlined, at varied places, sizes, angles and colours. "
        f"{DRAWN_COUNT} pictures, {DRAWN_COUNT // len(synthetic.SHAPES)} of each class, seed {synthetic.SHAPES_SEED}.",
        synthetic.shape,
        synthetic.shape_label,
        synthetic.SHAPES,
    ),
    _bundled(
        "galaxies",
        "Galaxies",
        f"Drawn galaxies of 64 x 64 px on a night sky: spiral, elliptical and seen from the edge. "
        f"{DRAWN_COUNT} pictures, {DRAWN_COUNT // len(synthetic.GALAXIES)} of each class, "
        f"seed {synthetic.GALAXIES_SEED}.",
        synthetic.galaxy,
        synthetic.galaxy_label,
        synthetic.GALAXIES,
    ),
)


def list_datasets() -> dict[str, DatasetSpec]:
    """The bundled datasets, by name. Any folder of images is one too: see `get_dataset`."""
    return {spec.name: spec for spec in _BUNDLED}


# --- folders ----------------------------------------------------------------------------------------------------------


def get_dataset(name_or_path: str) -> DatasetSpec:
    """A bundled dataset by name, else the folder of images at that path ("folder:PATH" is the same).

    A sub-folder directly below the folder is a class, whatever lies deeper in it; pictures directly in the folder have
    the class "(no class)". Hidden files and folders are skipped, and so is what does not end like an image file.

    Raises `UnknownName` for what is neither, and `DatasetError` for a folder without images or, where
    `$JEPA_DATA_ROOTS` is set, outside its folders once symbolic links are resolved.
    """
    bundled = list_datasets()
    if name_or_path in bundled:
        return bundled[name_or_path]
    given = name_or_path.removeprefix(FOLDER_PREFIX)
    looks_like_path = name_or_path.startswith((FOLDER_PREFIX, ".", "~")) or os.sep in given
    root = folders.resolve(given)
    if root is None or not (looks_like_path or root.is_dir()):
        raise UnknownName("dataset", name_or_path, bundled, "Or give the path of a folder of images.")
    folders.check_allowed(root)
    if not root.is_dir():
        raise DatasetError(
            f"There is no folder {given!r}; the name of a bundled dataset or the path of a folder of images is "
            "accepted; check the spelling."
        )
    return _folder(root)


def _folder(root: Path) -> DatasetSpec:
    found = folders.image_files(root)
    if not found:
        raise DatasetError(
            f"The folder {root} has no images; files that end in {', '.join(sorted(images.SUFFIXES))} are accepted, "
            "also in its sub-folders; choose another folder."
        )
    labels = tuple(_folder_label(root, path) for path in found)
    return DatasetSpec(
        name=f"{FOLDER_PREFIX}{root}",
        title=folders.readable(root.name or str(root)),
        description=f"The images of the folder {folders.readable(str(root))}. Its sub-folders are the classes.",
        source="folder",
        licence="that of its owner",
        held_out=True,
        classes=tuple(dict.fromkeys(labels)),
        size=len(found),
        label_of=labels.__getitem__,
        name_of=tuple(folders.readable(path.relative_to(root).as_posix()) for path in found).__getitem__,
        reader_of=partial(_reading, tuple(found)),
        fingerprint=folders.fingerprint(found),
    )


def _folder_label(root: Path, path: Path) -> str:
    parts = path.relative_to(root).parts
    return folders.readable(parts[0]) if len(parts) > 1 else NO_CLASS


def _reading(paths: tuple[Path, ...], position: int) -> Callable[[], bytes]:
    return partial(folders.read_file, paths[position])
