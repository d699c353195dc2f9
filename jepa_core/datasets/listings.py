"""Listed datasets: known by the names, classes and digests of their pictures, which are not in this project.

Scores and embeddings of such pictures may be shipped where the pictures may not. So a listed dataset can be a reference
with no picture at hand; whoever has the pictures can lay them beside the listing and score them again. Of some listings
the pictures are those of a public dataset, and are read from there once it was downloaded.
"""

import csv
import re
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from jepa_core import files, images
from jepa_core.config import ASSETS
from jepa_core.datasets import download, folders
from jepa_core.datasets.readers.open import open_named
from jepa_core.errors import DatasetError, UnknownName
from jepa_core.files import replace_file
from jepa_core.spreadsheets import guarded, original

_SEED = 0
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Listing:
    """What a listed dataset is, and how many of a folder's pictures it lists."""

    name: str
    title: str
    description: str
    source: str
    licence: str
    most: int  # pictures, drawn by a fixed seed where the folder has more
    held_out: bool = True
    noun: str = "class"  # as of `DatasetSpec`
    by_pixels: bool = False  # digests are those of the pixels (`pixels_of`), and so the same from whatever file
    public: tuple[str, ...] = ()  # the public datasets that have its pictures (by pixels), or what they were cut from


@dataclass(frozen=True)
class Entry:
    """One listed picture: its path in the folder that was listed, its class, the SHA-256 (hex) of its bytes.

    Of a listing by pixels they are those of the PGM or PPM file that `pixels_of` makes.
    """

    name: str
    label: str
    digest: str


_IMAGENETTE = "10 classes of ImageNet-1k, centre-cropped to 96 x 96 px (thunderInfy/imagenette)"
_IMAGENET_TERMS = "ImageNet's terms of access: non-commercial research and education only"

LISTINGS = {
    listing.name: listing
    for listing in (
        Listing(
            "imagenette-train",
            "Imagenette (train)",
            f"Photos of {_IMAGENETTE}: the part that the photo encoders were trained and chosen on.",
            "Imagenette",
            _IMAGENET_TERMS,
            most=600,
            held_out=False,
            public=("torchvision:imagenette/train",),
        ),
        Listing(
            "imagenette-val",
            "Imagenette (val)",
            f"Photos of {_IMAGENETTE}. No bundled encoder was trained or chosen on them.",
            "Imagenette",
            _IMAGENET_TERMS,
            most=1000,
            public=("torchvision:imagenette/val",),
        ),
        Listing(
            "mnist",
            "MNIST",
            "Handwritten digits of 28 x 28 px, 50 of each (as rasbt/mnist-pngs has them).",
            "MNIST",
            "MIT",
            most=500,
            noun="digit",
            by_pixels=True,
            public=("torchvision:mnist/train", "torchvision:mnist/test"),
        ),
        Listing(
            "galaxy-zoo",
            "Galaxy Zoo 2",
            "Photographed galaxies of 128 x 128 px, spirals and others (isi-mube/Cosmic-Compendium).",
            "Galaxy Zoo 2",
            "no licence stated by the source",
            most=500,
        ),
    )
}


def listing_path(name: str) -> Path:
    """Where the listing of that name lies, whether it exists or not."""
    return ASSETS / "listings" / f"{name}.csv"


def entries(name: str) -> tuple[Entry, ...]:
    """The pictures of a listing that is there, in their order. Raises `DatasetError` where the file is damaged."""
    return _read(listing_path(name))


def classes(name: str) -> tuple[str, ...]:
    """The classes of a listing that is there, in order."""
    return _classes(listing_path(name))


@lru_cache(maxsize=16)
def _classes(path: Path) -> tuple[str, ...]:
    return tuple(sorted({entry.label for entry in _read(path)}))


@lru_cache(maxsize=16)
def _read(path: Path) -> tuple[Entry, ...]:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines, strict=True)
            found = tuple(Entry(**_originals(row)) for row in rows)
        if not found or not all(entry.name and entry.label and _DIGEST.fullmatch(entry.digest) for entry in found):
            raise ValueError("a line has no name, class and SHA-256")
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise DatasetError(
            f"The listing {path.name} cannot be read ({type(error).__name__}: {error}); a table of names, classes and "
            "SHA-256 sums is accepted; restore the file, or remove it."
        ) from error
    return found


def _originals(row: dict[str, str]) -> dict[str, str]:
    if not all(isinstance(cell, str) for cell in row.values()):  # the reader's signs for too many or too few
        raise ValueError("a line has another number of cells than the first")
    return {column: original(cell) for column, cell in row.items()}


def refuse(name: str) -> bytes:
    """What reading a picture of a listed dataset comes to: `DatasetError`."""
    raise DatasetError(
        f"The pictures of {name!r} are not bundled, only their classes, digests and scores; a folder that holds them "
        "is accepted as a dataset of its own; open that."
    )


def is_public_here(name: str) -> bool:
    """Whether the very pictures of a listing can be read, since the public dataset that has them was downloaded."""
    listing = LISTINGS[name]
    return listing.by_pixels and all(download.is_here(public) for public in listing.public)


def read_public(name: str, position: int) -> bytes:
    """The bytes of a listing's picture out of the public dataset. Raises `DatasetError` where that lacks it."""
    which, at = _public(name).get(entries(name)[position].digest, ("", 0))
    if not which:
        raise DatasetError(
            f"{' and '.join(LISTINGS[name].public)} lack a picture that is listed as {name!r}; the whole datasets are "
            "accepted; remove their files, and download them again."
        )
    return open_named(which).item(at).read()


@lru_cache(maxsize=4)
def _public(name: str) -> dict[str, tuple[str, int]]:
    """Where the pictures of a listing lie in the public datasets, by digest."""
    wanted, found = {entry.digest for entry in entries(name)}, {}
    for which in LISTINGS[name].public:
        for item in open_named(which).items():
            digest = item.digest
            if digest in wanted:
                found[digest] = (which, item.position)
    return found


def pixels_of(data: bytes, name: str) -> bytes:
    """The pixels of a picture as a PPM file, or as a PGM file where it is grey: the same bytes from whatever file."""
    pixels = np.asarray(images.decode(data, name).image)
    grey = bool((pixels == pixels[..., :1]).all())
    return images.encode_ppm(np.ascontiguousarray(pixels[..., 0] if grey else pixels))


def read(name: str, path: Path) -> bytes:
    """The bytes of a listing's picture out of a file."""
    data = folders.read_file(path)
    return pixels_of(data, path.name) if LISTINGS[name].by_pixels else data


def find(name: str, folder: Path) -> tuple[Path, ...]:
    """The files of a folder that are a listing's pictures, in its order, known by their digests.

    The listing is made of the folder if there is none. Raises `UnknownName` for a name that is none of `LISTINGS`, and
    `DatasetError` for a folder without images or with only some of those that are listed.
    """
    if name not in LISTINGS:
        raise UnknownName("listed dataset", name, LISTINGS)
    root = folders.resolve(str(folder))
    found = folders.images_in(root).found if root and files.is_dir(root) else []
    if not (root and found):
        raise DatasetError(
            f"The folder {folder} has no images for {name!r}; a folder with its pictures is accepted; choose another."
        )
    by_digest = {images.digest(read(name, path)): path for path in found}
    if not listing_path(name).exists():
        _write(LISTINGS[name], root, by_digest)
    listed = entries(name)
    missing = sum(entry.digest not in by_digest for entry in listed)
    if missing:
        raise DatasetError(
            f"The folder {folder} lacks {missing} of the {len(listed)} pictures listed as {name!r}; a folder with all "
            f"of them is accepted; choose another, or remove {listing_path(name)} to list this one anew."
        )
    return tuple(by_digest[entry.digest] for entry in listed)


def _write(listing: Listing, root: Path, by_digest: dict[str, Path]) -> None:
    """List a folder's pictures, each once; a random choice of them where there are too many."""
    order = sorted(by_digest.items(), key=lambda entry: entry[1])
    if len(order) > listing.most:
        chosen = np.random.default_rng(_SEED).choice(len(order), listing.most, replace=False)
        order = [order[index] for index in sorted(chosen.tolist())]
    path = listing_path(listing.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, lambda to: _write_csv(to, [_entry(root, found, digest) for digest, found in order]))
    _read.cache_clear()
    _classes.cache_clear()


def _entry(root: Path, path: Path, digest: str) -> Entry:
    name = path.relative_to(root)
    return Entry(name.as_posix(), name.parts[0].replace("_", " "), digest)


def _write_csv(path: Path, rows: list[Entry]) -> None:
    with path.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, ["name", "label", "digest"])
        writer.writeheader()
        writer.writerows({key: guarded(cell) for key, cell in asdict(row).items()} for row in rows)
