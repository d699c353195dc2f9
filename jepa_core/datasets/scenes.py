"""Scenes: square tiles of free photographs that come inside the wheels of scikit-image and scikit-learn.

Nothing is downloaded: the files are read by their paths, so a tile's pixels are those of the file. Each photograph is
cut into three parts from left to right, and a split's tiles lie within its own part of each: the first quarter of the
columns for train, the middle half for test, the last quarter for validation. So no two splits share a pixel.

A part gets one tile for so many of its pixels, and no part more than so many tiles (`DENSITY`, `MOST`). Where they lie
is drawn with a fixed seed: of `CANDIDATES` places that one is taken which overlaps least with the tiles there already
(Mitchell's best candidate), so tiles of one photograph overlap, but none lies nearly wholly on another. Places where
there is nothing but black are passed over.

What scikit-image and scikit-learn say of each photograph's licence stands beside it (`photographs`). Those of which
they say nothing, or whose licence is another than free, are left out: docs/decisions.md says which.
"""

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from jepa_core.errors import DatasetError

SEED = 106
SIDES = (64, 72, 80, 88, 96)  # px, of the square tiles
DENSITY = {"train": 1024, "validation": 2048, "test": 1024}  # px of a part for each of its tiles
MOST = {"train": 100, "validation": 50, "test": 200}  # tiles of a part, however large: a retina is as large as 15 cats
CANDIDATES = 30  # places drawn for each tile
BLACK = 16  # a tile no value of which is as large shows what is around a retina, and no part of the photograph

_FOLDERS = {"scikit-image": ("skimage", "data"), "scikit-learn": ("sklearn", "datasets/images")}
_CC0 = "CC0"
_PUBLIC = "public domain"


@dataclass(frozen=True)
class Photograph:
    """A photograph, and where it is from."""

    name: str  # the class of its tiles
    title: str
    licence: str
    author: str
    source: str  # where the package says that it was taken from
    package: str  # that it comes with: "scikit-image" or "scikit-learn"
    file: str
    height: int  # px
    width: int  # px

    def columns(self, split: str) -> tuple[int, int]:
        """The first column of a split's part, and the one behind its last."""
        quarter = self.width // 4
        edges = {"train": (0, quarter), "test": (quarter, self.width - quarter)}
        return edges.get(split, (self.width - quarter, self.width))

    def count(self, split: str) -> int:
        """How many tiles a split has of it."""
        left, right = self.columns(split)
        return min(MOST[split], round(self.height * (right - left) / DENSITY[split]))


def _image(
    name: str, title: str, licence: str, author: str, source: str, file: str, size: tuple[int, int]
) -> Photograph:
    return Photograph(name, title, licence, author, source, "scikit-image", file, *size)


_PHOTOGRAPHS = (
    _image(
        "astronaut",
        "Eileen Collins in her space suit",
        _PUBLIC,
        "NASA",
        "NASA Great Images database, https://flic.kr/p/r9qvLn",
        "astronaut.png",
        (512, 512),
    ),
    _image(
        "brick",
        "Brick wall",
        _CC0,
        "CC0Textures",
        "https://cc0textures.com/view.php?tex=Bricks25",
        "brick.png",
        (512, 512),
    ),
    _image(
        "camera",
        "Man with a camera",
        _CC0,
        "Lav Varshney",
        "https://github.com/scikit-image/scikit-image/issues/3927",
        "camera.png",
        (512, 512),
    ),
    _image("cat", "Chelsea the cat", _CC0, "Stefan van der Walt", "its photographer", "chelsea.png", (300, 451)),
    _image(
        "cell",
        "Cell floating in saline, quantitative phase",
        _CC0,
        "Paul Müller and others",
        "https://doi.org/10.1364/OE.26.010729",
        "cell.png",
        (660, 550),
    ),
    Photograph(
        "china",
        "Pagoda by a lake in China",
        "CC BY 2.0",
        "danielbuechele",
        "https://www.flickr.com/photos/danielbuechele/6061409035",
        "scikit-learn",
        "china.jpg",
        427,
        640,
    ),
    _image(
        "clock",
        "Wall clock, blurred by motion",
        _PUBLIC,
        "Stefan van der Walt",
        "its photographer",
        "clock_motion.png",
        (300, 400),
    ),
    _image("coffee", "Cup of coffee", _CC0, "Rachel Michetti", "Pikolo Espresso Bar", "coffee.png", (400, 600)),
    _image(
        "coins",
        "Greek coins from Pompeii",
        "no known copyright restrictions",
        "Brooklyn Museum",
        "https://www.brooklynmuseum.org/opencollection/archives/image/51611",
        "coins.png",
        (303, 384),
    ),
    _image(
        "deep field",
        "Hubble eXtreme Deep Field",
        _PUBLIC,
        "NASA",
        "http://hubblesite.org/newscenter/archive/releases/2012/37/image/a/",
        "hubble_deep_field.jpg",
        (872, 1000),
    ),
    Photograph(
        "flower",
        "Dahlia",
        "CC BY 2.0",
        "vultilion",
        "https://www.flickr.com/photos/vultilion/6056698931",
        "scikit-learn",
        "flower.jpg",
        427,
        640,
    ),
    _image(
        "grass",
        "Grass",
        _CC0,
        "linolafett",
        "https://www.deviantart.com/linolafett/art/Grass-01-434853879",
        "grass.png",
        (512, 512),
    ),
    _image(
        "gravel",
        "Gravel",
        _CC0,
        "CC0Textures",
        "https://cc0textures.com/view.php?tex=Gravel04",
        "gravel.png",
        (512, 512),
    ),
    _image(
        "page",
        "Scanned page of scikit-image's own documentation",
        "BSD-3-Clause",
        "the scikit-image team",
        "scikit-image",
        "page.png",
        (191, 384),
    ),
    _image(
        "retina",
        "Human retina",
        _CC0,
        "Mikael Häggström",
        "https://commons.wikimedia.org/wiki/File:Fundus_photograph_of_normal_left_eye.jpg",
        "retina.jpg",
        (1411, 1411),
    ),
    _image(
        "rocket",
        "Falcon 9 before the launch of DSCOVR",
        _PUBLIC,
        "SpaceX",
        "https://www.flickr.com/photos/spacexphotos/16511594820",
        "rocket.jpg",
        (427, 640),
    ),
    _image(
        "text",
        "Handwritten formulas",
        _PUBLIC,
        "unnamed",
        "https://en.wikipedia.org/wiki/File:Corner.png",
        "text.png",
        (172, 448),
    ),
    _image(
        "tissue",
        "Colonic glands, stained for FHL2",
        "no known copyright restrictions",
        "Center for Microscopy and Molecular Imaging",
        "its microscopist",
        "ihc.png",
        (512, 512),
    ),
)
NAMES = tuple(photograph.name for photograph in _PHOTOGRAPHS)


def photographs() -> tuple[Photograph, ...]:
    """The photographs, by name, each with title, licence, author and source, to be listed beside its tiles."""
    return _PHOTOGRAPHS


def licences() -> str:
    """One line: each licence and the photographs under it, those that ask for it with their author."""
    by_licence: dict[str, list[str]] = {}
    for photograph in _PHOTOGRAPHS:
        credit = f" by {photograph.author}" if photograph.licence.startswith("CC BY") else ""
        by_licence.setdefault(photograph.licence, []).append(f"{photograph.name}{credit}")
    return "; ".join(f"{licence} ({', '.join(names)})" for licence, names in by_licence.items())


@cache
def _order(split: str) -> tuple[tuple[int, int], ...]:
    """Photograph and tile at each position: photographs take turns, each as often as its share of the tiles is.

    So the first hundred, or every tenth, are a fair sample.
    """
    counts = [photograph.count(split) for photograph in _PHOTOGRAPHS]
    pairs = [(which, tile) for which, count in enumerate(counts) for tile in range(count)]
    return tuple(sorted(pairs, key=lambda pair: ((pair[1] + 0.5) / counts[pair[0]], pair[0])))


def size(split: str) -> int:
    """How many tiles a split has."""
    return sum(photograph.count(split) for photograph in _PHOTOGRAPHS)


def label(split: str, position: int) -> str:
    """The photograph that a tile is cut from."""
    return NAMES[_order(split)[position][0]]


def place(split: str, position: int) -> tuple[Photograph, int, int, int]:
    """The photograph, and the tile's top, left and side in pixels of it."""
    which, tile = _order(split)[position]
    return _PHOTOGRAPHS[which], *_places(split, which)[tile]


@cache
def _places(split: str, which: int) -> tuple[tuple[int, int, int], ...]:
    """Top, left and side of each tile of a photograph's part."""
    photograph = _PHOTOGRAPHS[which]
    first, behind = photograph.columns(split)
    rng = np.random.default_rng([SEED, tuple(DENSITY).index(split), which])
    chosen = np.empty((0, 3), dtype=np.int64)
    for _tile in range(photograph.count(split)):
        side = rng.choice(SIDES, CANDIDATES)
        top = rng.integers(0, photograph.height - side + 1)
        left = rng.integers(first, behind - side + 1)
        candidates = np.stack([top, left, side], axis=1)
        overlaps = _overlaps(candidates[:, None], chosen[None]).max(axis=1, initial=0.0)
        overlaps[[_cut(photograph, *candidate).max() < BLACK for candidate in candidates]] = np.inf
        chosen = np.concatenate([chosen, candidates[[overlaps.argmin()]]])
    return tuple((int(top), int(left), int(side)) for top, left, side in chosen)


def _overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Shared pixels over those of either (IoU) of tiles (..., 3), each top, left, side."""
    shared = np.ones(np.broadcast_shapes(one.shape, other.shape)[:-1], dtype=np.int64)
    for axis in (0, 1):
        start = np.maximum(one[..., axis], other[..., axis])
        end = np.minimum(one[..., axis] + one[..., 2], other[..., axis] + other[..., 2])
        shared *= np.maximum(end - start, 0)
    return shared / (one[..., 2] ** 2 + other[..., 2] ** 2 - shared)


def tile(split: str, position: int) -> np.ndarray:
    """A tile's pixels, uint8 (side, side) where the photograph is grey, else (side, side, 3)."""
    photograph, top, left, side = place(split, position)
    return np.ascontiguousarray(_cut(photograph, top, left, side))


def _cut(photograph: Photograph, top: int, left: int, side: int) -> np.ndarray:
    return _pixels(photograph)[top : top + side, left : left + side]


@cache  # 16 MB in all, and tiles of all take turns
def _pixels(photograph: Photograph) -> np.ndarray:
    """All pixels of a photograph, as its file has them; `DatasetError` where the file is none of ours."""
    path = _path(photograph)
    try:
        with Image.open(path) as opened:
            pixels = np.asarray(opened)
    except OSError as error:
        raise _other_package(photograph, "cannot be read") from error
    if pixels.shape[:2] != (photograph.height, photograph.width):
        raise _other_package(photograph, f"has {pixels.shape[1]} x {pixels.shape[0]} px")
    return pixels


def _path(photograph: Photograph) -> Path:
    package, folder = _FOLDERS[photograph.package]
    found = importlib.util.find_spec(package)  # imports nothing: those packages are slow to import
    if found is None or found.origin is None:
        raise _other_package(photograph, "is not installed")
    return Path(found.origin).parent / folder / photograph.file


def _other_package(photograph: Photograph, what: str) -> DatasetError:
    return DatasetError(
        f"The photograph {photograph.file} of {photograph.package} {what}; the {photograph.width} x "
        f"{photograph.height} px file of the pinned version is accepted; install {photograph.package} again as "
        "requirements.txt names it."
    )
