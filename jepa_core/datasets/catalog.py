"""What can be explored beside the bundled datasets and one's own: which sets can be downloaded, and what each is.

Facts alone, from the sets' own pages: nothing is imported here that could read a picture. A figure that its source does
not say stays open (None) and is told as unknown; how large a download is, its server is asked before it starts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from jepa_core.datasets.readers.names import HUB, TORCHVISION
from jepa_core.errors import UnknownName

PAPER = "arXiv 2510.05949"
_FIGURE_3 = "One of the sets whose scores figure 3 lays beside those of ImageNet."


class Split(NamedTuple):
    """A part of a set that can be opened by itself."""

    name: str
    pictures: int | None
    size: int | None  # bytes of the download; more than this part where one archive has them all


@dataclass(frozen=True)
class CatalogEntry:
    """A set that can be downloaded."""

    base: str  # its name without the split: "torchvision:mnist", "hub:OWNER/NAME"
    title: str
    description: str  # one sentence
    splits: tuple[Split, ...]  # the first is the one that is offered
    classes: int | None
    licence: str  # "" where its source states none
    address: str  # of its page or paper
    paper: str = ""  # what the paper (arXiv 2510.05949) did with it
    login: bool = False  # whether the terms have to be accepted on its page first

    @property
    def name(self) -> str:
        """What `get_dataset` takes for the part that is offered."""
        return self.named(self.splits[0])

    def named(self, split: Split) -> str:
        """What `get_dataset` takes for a part."""
        return f"{self.base}/{split.name}"

    @property
    def origin(self) -> str:
        """Who serves it: "torchvision" or "hub"."""
        return self.base.partition(":")[0]

    @property
    def key(self) -> str:
        """The short name: of torchvision its own, of the hub the repository's."""
        return self.base.removeprefix(TORCHVISION).removeprefix(HUB)


def _split(name: str, pictures: int | None, size: int | None) -> Split:
    return Split(name, pictures, size)


def _same(size: int | None, **pictures: int | None) -> tuple[Split, ...]:
    """Parts that come in one download."""
    return tuple(Split(name, count, size) for name, count in pictures.items())


_IMAGENET = "non-commercial research and education only"

ENTRIES = (
    CatalogEntry(
        "torchvision:imagenette",
        "Imagenette",
        "Photos of ten easily told classes of ImageNet, their shorter side 160 px.",
        _same(99_003_388, val=3925, train=9469),
        10,
        f"Apache 2.0; the photos as ImageNet's: {_IMAGENET}",
        "https://github.com/fastai/imagenette",
    ),
    CatalogEntry(
        "hub:ILSVRC/imagenet-1k",
        "ImageNet-1k",
        "Photos of a thousand kinds of things.",
        (_split("validation", 50_000, None),),
        1000,
        _IMAGENET,
        "https://huggingface.co/datasets/ILSVRC/imagenet-1k",
        "Figure 1 shows the least and the most likely photos of some of its classes; other sets are held against it.",
        login=True,
    ),
    CatalogEntry(
        "hub:barkermrl/imagenet-a",
        "ImageNet-A",
        "Photos of 200 classes of ImageNet that classifiers of their time got wrong.",
        (_split("train", 7500, 682_000_000),),
        200,
        "MIT",
        "https://huggingface.co/datasets/barkermrl/imagenet-a",
        _FIGURE_3,
    ),
    CatalogEntry(
        "hub:axiong/imagenet-r",
        "ImageNet-R",
        "Art, cartoons, toys, tattoos and other renditions of 200 classes of ImageNet.",
        (_split("test", 30_000, 2_148_902_579),),
        200,
        "MIT",
        "https://huggingface.co/datasets/axiong/imagenet-r",
        _FIGURE_3,
    ),
    CatalogEntry(
        "hub:songweig/imagenet_sketch",
        "ImageNet-Sketch",
        "Black and white sketches of the thousand classes of ImageNet.",
        (_split("data/ImageNet-Sketch.zip", 50_889, None),),
        1000,
        "",
        "https://huggingface.co/datasets/songweig/imagenet_sketch",
    ),
    CatalogEntry(
        "torchvision:mnist",
        "MNIST",
        "Handwritten digits, 28 x 28 px.",
        _same(11_594_722, test=10_000, train=60_000),
        10,
        "CC BY-SA 3.0",
        "http://yann.lecun.com/exdb/mnist/",
        _FIGURE_3,
    ),
    CatalogEntry(
        "hub:matthieulel/galaxy10_decals",
        "Galaxy10 DECaLS",
        "Photographed galaxies in ten classes by their shape, 256 x 256 px.",
        (_split("test", None, 255_000_000), _split("train", None, 2_288_000_000)),
        10,
        "MIT (Leung and Bovy; DESI Legacy Imaging Surveys)",
        "https://huggingface.co/datasets/matthieulel/galaxy10_decals",
        _FIGURE_3,
    ),
    CatalogEntry(
        "torchvision:fashion-mnist",
        "Fashion-MNIST",
        "Grey pictures of clothes, 28 x 28 px.",
        _same(30_878_645, test=10_000, train=60_000),
        10,
        "MIT",
        "https://github.com/zalandoresearch/fashion-mnist",
    ),
    CatalogEntry(
        "torchvision:cifar-10",
        "CIFAR-10",
        "Photos of ten classes, 32 x 32 px.",
        _same(170_498_071, test=10_000, train=50_000),
        10,
        "",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
    CatalogEntry(
        "torchvision:cifar-100",
        "CIFAR-100",
        "Photos of a hundred classes, 32 x 32 px.",
        _same(169_001_437, test=10_000, train=50_000),
        100,
        "",
        "https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
    CatalogEntry(
        "torchvision:svhn",
        "SVHN",
        "House numbers from street views, 32 x 32 px.",
        (_split("test", 26_032, 64_275_384), _split("train", 73_257, 182_040_794)),
        10,
        "non-commercial use only",
        "http://ufldl.stanford.edu/housenumbers/",
    ),
    CatalogEntry(
        "torchvision:stl10",
        "STL-10",
        "Photos of ten classes, 96 x 96 px, from ImageNet.",
        _same(2_640_397_119, test=8000, train=5000),
        10,
        "",
        "https://cs.stanford.edu/~acoates/stl10/",
    ),
    CatalogEntry(
        "torchvision:dtd",
        "Describable Textures",
        "Textures, in 47 classes such as striped and bubbly.",
        _same(625_239_812, test=1880, val=1880, train=1880),
        47,
        "research only",
        "https://www.robots.ox.ac.uk/~vgg/data/dtd/",
    ),
    CatalogEntry(
        "torchvision:eurosat",
        "EuroSAT",
        "Land seen from a satellite, in ten kinds of use, 64 x 64 px.",
        _same(94_280_567, all=27_000),
        10,
        "MIT",
        "https://github.com/phelber/eurosat",
    ),
    CatalogEntry(
        "torchvision:flowers102",
        "Oxford Flowers",
        "Photos of flowers that are common in the United Kingdom.",
        _same(344_878_000, test=6149, val=1020, train=1020),
        102,
        "",
        "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
    ),
    CatalogEntry(
        "torchvision:pets",
        "Oxford Pets",
        "Photos of 37 breeds of cats and dogs.",
        _same(811_092_049, test=3669, trainval=3680),
        37,
        "CC BY-SA 4.0",
        "https://www.robots.ox.ac.uk/~vgg/data/pets/",
    ),
    CatalogEntry(
        "torchvision:food-101",
        "Food-101",
        "Photos of dishes, their longer side at most 512 px.",
        _same(4_996_278_331, test=25_250, train=75_750),
        101,
        "",
        "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
    ),
    CatalogEntry(
        "torchvision:places365",
        "Places365",
        "Photos of scenes, such as an alley or a zen garden, 256 x 256 px.",
        (_split("val", 36_500, None),),
        365,
        "",
        "http://places2.csail.mit.edu/",
    ),
)


def parts() -> Iterator[tuple[CatalogEntry, Split]]:
    """Every part of every set, by itself."""
    return ((entry, split) for entry in ENTRIES for split in entry.splits)


def find(name: str) -> tuple[CatalogEntry, Split]:
    """The set and its part that `get_dataset` knows by that name, or the part offered of a set's own name.

    Raises `UnknownName` for what is not in the catalog.
    """
    for entry, split in parts():
        if name == entry.named(split):
            return entry, split
    for entry in ENTRIES:
        if name in (entry.base, entry.key):
            return entry, entry.splits[0]
    raise UnknownName("dataset to download", name, [entry.named(split) for entry, split in parts()])


def is_offered(name: str) -> bool:
    """Whether a name is that of a part of a set of the catalog."""
    return any(name == entry.named(split) for entry, split in parts())


def title_of(entry: CatalogEntry, split: Split) -> str:
    """What a part is called: "MNIST (test)"; the whole set's title where it has one part that is all."""
    if len(entry.splits) == 1 and ("/" in split.name or split.name == "all"):
        return entry.title
    return f"{entry.title} ({split.name})"


def megabytes(size: int | None) -> str:
    """A size in words.

    >>> megabytes(99_003_388), megabytes(2_148_902_579), megabytes(None)
    ('99 MB', '2.1 GB', 'size unknown')
    """
    if size is None:
        return "size unknown"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(1, round(size / 1e6))} MB"
