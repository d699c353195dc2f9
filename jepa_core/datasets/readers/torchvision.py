"""The datasets that torchvision knows: "torchvision:SET/SPLIT". They are downloaded into the cache folder once.

torchvision compares checksums before it reads the batches of CIFAR, which are pickles.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from torchvision import datasets as tv

from jepa_core import images
from jepa_core.config import cache_dir
from jepa_core.datasets import folders
from jepa_core.datasets.readers.wordnet import kept_apart
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.errors import DatasetError, UnknownName


@dataclass(frozen=True)
class _Set:
    title: str
    make: Callable[..., Any]  # (root=, download=) -> torchvision's dataset
    licence: str
    description: str


def _splits(make: Callable[..., Any], title: str, licence: str, description: str, *names: str) -> dict[str, _Set]:
    return {name: _Set(f"{title} ({name})", partial(make, split=name), licence, description) for name in names}


def _by_train(make: Callable[..., Any], title: str, licence: str, description: str) -> dict[str, _Set]:
    return {
        name: _Set(f"{title} ({name})", partial(make, train=name == "train"), licence, description)
        for name in ("train", "test")
    }


_SETS: dict[str, dict[str, _Set]] = {
    "mnist": _by_train(tv.MNIST, "MNIST", "CC BY-SA 3.0", "Handwritten digits, 28 x 28 px."),
    "fashion-mnist": _by_train(tv.FashionMNIST, "Fashion-MNIST", "MIT", "Grey pictures of clothes, 28 x 28 px."),
    "cifar-10": _by_train(tv.CIFAR10, "CIFAR-10", "not stated", "Photos of ten classes, 32 x 32 px."),
    "cifar-100": _by_train(tv.CIFAR100, "CIFAR-100", "not stated", "Photos of a hundred classes, 32 x 32 px."),
    "svhn": _splits(tv.SVHN, "SVHN", "non-commercial", "House numbers from street views, 32 x 32 px.", "train", "test"),
    "dtd": _splits(tv.DTD, "DTD", "research only", "Textures, in 47 classes.", "train", "val", "test"),
}
NAMES = tuple(f"torchvision:{name}/{split}" for name, splits in _SETS.items() for split in splits)


def open_set(name: str) -> DatasetSpec:
    """A dataset of torchvision, downloaded if it is not here.

    Raises `UnknownName` for another name, and `DatasetError` where it cannot be downloaded or its files are damaged.
    """
    if name not in NAMES:
        raise UnknownName("dataset of torchvision", name, NAMES)
    which, split = name.removeprefix("torchvision:").split("/")
    chosen = _SETS[which][split]
    root = cache_dir() / "datasets" / which
    try:
        found = _open(chosen, root)
    except Exception as error:  # whatever torchvision meets in a file
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DatasetError(
            f"{chosen.title} cannot be opened ({first_line}); its whole files in {root} are accepted, or a network to "
            "download them; remove damaged files, or put whole ones there."
        ) from error
    labels = [int(label) for label in _labels(found)]
    classes = _classes(found, labels)
    return DatasetSpec(
        name=name,
        title=chosen.title,
        description=f"{chosen.description} {len(labels)} pictures, read by torchvision.",
        source="torchvision",
        licence=chosen.licence,
        held_out=True,
        classes=classes,
        size=len(labels),
        label_of=tuple(classes[label] for label in labels).__getitem__,
        name_of=partial(_name, f"{which}/{split}"),
        reader_of=partial(_reader, found),
        fingerprint=f"{name} {len(labels)}",
    )


def _open(chosen: _Set, root: Any) -> Any:
    try:
        return chosen.make(root=root, download=False)
    except RuntimeError:  # not here
        root.mkdir(parents=True, exist_ok=True)
        return chosen.make(root=root, download=True)


def _labels(found: Any) -> Any:
    for field in ("targets", "labels", "_labels"):
        if hasattr(found, field):
            return getattr(found, field)
    raise TypeError(f"{type(found).__name__} has no labels")


def _classes(found: Any, labels: list[int]) -> tuple[str, ...]:
    names = getattr(found, "classes", None) or [str(label) for label in range(max(labels) + 1)]
    return kept_apart([str(name) for name in names], [str(name).replace("_", " ") for name in names])


def _name(prefix: str, position: int) -> str:
    return f"{prefix}/{position}"


def _reader(found: Any, position: int) -> Callable[[], bytes]:
    return partial(_read, found, position)


def _read(found: Any, position: int) -> bytes:
    if hasattr(found, "_image_files"):
        return folders.read_file(found._image_files[position])
    pixels = np.asarray(found.data[position])
    if pixels.ndim == 3 and pixels.shape[0] == 3:  # SVHN has channels first
        pixels = pixels.transpose(1, 2, 0)
    return images.ppm_of(pixels, f"Picture {position}")
