"""The datasets that torchvision knows: "torchvision:SET/SPLIT". They are downloaded into the cache folder once.

torchvision compares checksums before it reads the batches of CIFAR, which are pickles. `torchvision_files` has where
the files come from, `jepa_core.datasets.download` fetches them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torchvision import datasets as tv

from jepa_core import images
from jepa_core.datasets import catalog, folders
from jepa_core.datasets.readers import torchvision_files
from jepa_core.datasets.readers.names import TORCHVISION
from jepa_core.datasets.readers.wordnet import kept_apart
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.errors import DatasetError, UnknownName

_Make = Callable[..., Any]  # (root=, download=) -> torchvision's dataset


def _splits(make: _Make, *names: str, **options: str) -> dict[str, _Make]:
    return {name: partial(make, split=name, **options) for name in names}


def _by_train(make: _Make) -> dict[str, _Make]:
    return {name: partial(make, train=name == "train") for name in ("train", "test")}


_MAKERS: dict[str, dict[str, _Make]] = {
    "mnist": _by_train(tv.MNIST),
    "fashion-mnist": _by_train(tv.FashionMNIST),
    "cifar-10": _by_train(tv.CIFAR10),
    "cifar-100": _by_train(tv.CIFAR100),
    "svhn": _splits(tv.SVHN, "train", "test"),
    "dtd": _splits(tv.DTD, "train", "val", "test"),
    "imagenette": _splits(tv.Imagenette, "train", "val", size="160px"),
    "eurosat": {"all": tv.EuroSAT},
    "flowers102": _splits(tv.Flowers102, "train", "val", "test"),
    "pets": _splits(tv.OxfordIIITPet, "trainval", "test"),
    "food-101": _splits(tv.Food101, "train", "test"),
    "stl10": _splits(tv.STL10, "train", "test"),
    "places365": {"val": partial(tv.Places365, split="val", small=True)},
}
NAMES = tuple(f"{TORCHVISION}{name}/{split}" for name, splits in _MAKERS.items() for split in splits)


def _folder(name: str) -> Path:
    """The folder that torchvision reads a set from, whether it is there or not."""
    return torchvision_files.folder(name.removeprefix(TORCHVISION).split("/")[0])


def open_set(name: str) -> DatasetSpec:
    """A dataset of torchvision, downloaded if it is not here.

    Raises `UnknownName` for another name, and `DatasetError` where it cannot be downloaded or its files are damaged.
    """
    if name not in NAMES:
        raise UnknownName("dataset of torchvision", name, NAMES)
    which, split = name.removeprefix(TORCHVISION).split("/")
    entry, part = catalog.find(name)
    title = catalog.title_of(entry, part)
    found = _opened(name, title)
    labels = [int(label) for label in _labels(found)]
    classes = _classes(found, labels)
    return DatasetSpec(
        name=name,
        title=title,
        description=f"{entry.description} {len(labels)} pictures, read by torchvision.",
        source="torchvision",
        licence=entry.licence or "not stated",
        held_out=True,
        classes=classes,
        size=len(labels),
        label_of=tuple(classes[label] for label in labels).__getitem__,
        name_of=partial(_name, f"{which}/{split}"),
        reader_of=partial(_reader, found),
        fingerprint=f"{name} {len(labels)}",
    )


def read(name: str) -> Any:
    """torchvision's own dataset of what is here; whatever it raises where that is missing or damaged."""
    which, split = name.removeprefix(TORCHVISION).split("/")
    return _MAKERS[which][split](root=_folder(name), download=False)


def _opened(name: str, title: str) -> Any:
    from jepa_core.datasets import download  # above this module: it fetches for all readers

    try:
        if download.is_here(name):
            try:
                return read(name)
            except RuntimeError:  # torchvision's word for files that are not what their checksums say
                pass
        download.download(name)
        return read(name)
    except DatasetError:
        raise
    except Exception as error:  # whatever torchvision meets in a file
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DatasetError(
            f"{title} cannot be opened ({first_line}); its whole files in {_folder(name)} are accepted, or a network "
            "to download them; remove damaged files, or put whole ones there."
        ) from error


def _labels(found: Any) -> Sequence[Any]:
    for field in ("targets", "labels", "_labels"):
        if hasattr(found, field):
            return getattr(found, field)
    return [label for _path, label in found._samples]


def _classes(found: Any, labels: list[int]) -> tuple[str, ...]:
    names = getattr(found, "classes", None) or [str(label) for label in range(max(labels) + 1)]
    # Imagenette has several words for a class; Places365 begins its own with "/a/".
    names = [str(name[0] if isinstance(name, tuple) else name) for name in names]
    if all(name.startswith("/") for name in names):
        names = [name[3:] for name in names]
    return kept_apart(names, [name.replace("_", " ") for name in names])


def _name(prefix: str, position: int) -> str:
    return f"{prefix}/{position}"


def _reader(found: Any, position: int) -> Callable[[], bytes]:
    return partial(_read, found, position)


def _read(found: Any, position: int) -> bytes:
    for field in ("_image_files", "_images"):
        if hasattr(found, field):
            return folders.read_file(Path(getattr(found, field)[position]))
    for field in ("_samples", "samples", "imgs"):
        if hasattr(found, field):
            return folders.read_file(Path(getattr(found, field)[position][0]))
    pixels = np.asarray(found.data[position])
    if pixels.ndim == 3 and pixels.shape[0] == 3:  # SVHN and STL-10 have channels first
        pixels = pixels.transpose(1, 2, 0)
    return images.ppm_of(pixels, f"Picture {position}")
