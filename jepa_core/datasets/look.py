"""A look at a dataset before anything of it is scored: its first pictures, and how many each class has."""

from collections import Counter
from dataclasses import dataclass

from jepa_core import images
from jepa_core.datasets.spec import DatasetSpec, Item
from jepa_core.errors import JepaError

PICTURES = 8
_SIDE = 256  # pixels


@dataclass(frozen=True)
class Glimpse:
    """One of the first pictures: a PNG, or the sentence why it cannot be shown."""

    name: str
    label: str
    png: bytes = b""
    problem: str = ""


@dataclass(frozen=True)
class Look:
    """What a dataset is, at a glance."""

    dataset: DatasetSpec
    glimpses: tuple[Glimpse, ...]
    counts: tuple[tuple[str, int], ...]  # class and pictures, the largest first


def look_at(spec: DatasetSpec) -> Look:
    """Read the first pictures of a dataset and count its classes."""
    glimpses = tuple(_glimpse(spec.item(position)) for position in range(min(PICTURES, len(spec))))
    counts = Counter(item.label for item in spec.items())
    return Look(spec, glimpses, tuple(counts.most_common()))


def _glimpse(item: Item) -> Glimpse:
    try:
        picture = images.decode(item.read()).image
    except JepaError as error:
        return Glimpse(item.name, item.label, problem=str(error))
    picture.thumbnail((_SIDE, _SIDE))
    return Glimpse(item.name, item.label, images.to_png(picture))
