"""Datasets: named sets of pictures, bundled or a folder, that can be listed without reading a pixel.

`get_dataset` takes a bundled name or the path of a folder. Of a listed dataset only names, classes and digests are
bundled, and scores: its pictures are elsewhere (`jepa_core.datasets.listings`).
"""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jepa_core import files, notices
from jepa_core.datasets import folders, listings
from jepa_core.datasets.bundled import BUNDLED
from jepa_core.datasets.readers import shards, wordnet
from jepa_core.datasets.readers.names import PREFIXES
from jepa_core.datasets.readers.open import open_file, open_named, open_pattern
from jepa_core.datasets.spec import DatasetSpec, Item
from jepa_core.decoding import file_headers
from jepa_core.errors import DatasetError, UnknownName

FOLDER_PREFIX = "folder:"
_SAMPLE = re.compile(r"(.*?)(?:#(\d{1,9})(?::(\d{1,9}))?)?", re.DOTALL)


def list_datasets() -> dict[str, DatasetSpec]:
    """The bundled and listed datasets, by name. Any folder of images is one too: see `get_dataset`.

    One whose listing is damaged is left out, and it is said once.
    """
    found = {spec.name: spec for spec in BUNDLED}
    for name in filter(_is_listed, listings.LISTINGS):
        try:
            found[name] = _listed(name)
            notices.works(f"listing {name}")
        except DatasetError as error:  # one damaged listing must not take the others away
            notices.say(f"listing {name}", f"{error} Until then {name!r} is left out.")
    return found


def _is_listed(name: str) -> bool:
    return name in listings.LISTINGS and listings.listing_path(name).exists()


# --- listed -----------------------------------------------------------------------------------------------------------


def _listed(name: str) -> DatasetSpec:
    listing, entries = listings.LISTINGS[name], listings.entries(name)
    here = listings.is_public_here(name)
    told = "" if here else f" The pictures of these {len(entries)} are not bundled, their scores are."
    return DatasetSpec(
        name=name,
        title=listing.title,
        description=f"{listing.description}{told}",
        source=listing.source,
        licence=listing.licence,
        held_out=listing.held_out,
        classes=listings.classes(name),
        size=len(entries),
        label_of=partial(_listed_field, name, "label"),
        name_of=partial(_listed_field, name, "name"),
        reader_of=partial(_public if here else _refusing, name),
        digest_of=partial(_listed_field, name, "digest"),
        noun=listing.noun,
        at_hand=here,
    )


def _listed_field(name: str, field: str, position: int) -> str:
    return getattr(listings.entries(name)[position], field)


def _refusing(name: str, _position: int) -> Callable[[], bytes]:
    return partial(listings.refuse, name)


def _public(name: str, position: int) -> Callable[[], bytes]:
    return partial(listings.read_public, name, position)


def _laid_beside(name: str, paths: tuple[Path, ...], position: int) -> Callable[[], bytes]:
    return partial(listings.read, name, paths[position])


def with_pictures(name: str, folder: Path) -> DatasetSpec:
    """A listed dataset whose pictures can be read, from a folder that holds them; it is listed if it never was.

    Raises `UnknownName` for a name that no listing has, and `DatasetError` for a folder without all of its pictures.
    """
    paths = listings.find(name, folder)
    return replace(_listed(name), reader_of=partial(_laid_beside, name, paths), at_hand=True)


# --- folders ----------------------------------------------------------------------------------------------------------


def get_dataset(name_or_path: str | os.PathLike[str]) -> DatasetSpec:
    """A bundled dataset by name, else the folder of images at that path ("folder:PATH" is the same).

    A sub-folder directly below the folder is a class, whatever lies deeper in it; pictures directly in the folder have
    the class "(no class)". Hidden files and folders are skipped, and so is what does not end like an image file.

    A ZIP or tar of images, WebDataset shards ("shard-{000..003}.tar", "shards/*.tar") and Galaxy10's file are accepted
    in place of a folder, and so are "torchvision:SET/SPLIT" and "hub:OWNER/NAME/SPLIT", which are downloaded if they
    are not here. "#N" or "#N:SEED" behind any of them is a sample (`sampled`).

    Raises `UnknownName` for what is neither, and `DatasetError` for a folder without images or, where
    `$JEPA_DATA_ROOTS` is set, outside its folders once symbolic links are resolved.
    """
    if not isinstance(name_or_path, str | os.PathLike) or not isinstance(os.fspath(name_or_path), str):
        raise DatasetError(
            f"A dataset was asked for by a {type(name_or_path).__name__}; the name of one, or the path of a folder, "
            "ZIP or tar of images, is accepted; give one of these."
        )
    name_or_path = os.fspath(name_or_path)
    bundled = list_datasets()
    if name_or_path in bundled:
        return bundled[name_or_path]
    if _is_listed(name_or_path):
        return _listed(name_or_path)  # says what is wrong with it
    whole, n, seed = _SAMPLE.fullmatch(name_or_path).groups()  # type: ignore[union-attr]
    given = name_or_path.removeprefix(FOLDER_PREFIX)
    root = folders.resolve(given)
    # What is there but may not be read is to look like what is not there, down to the sentence.
    there = root is not None and folders.is_allowed(root) and files.exists(root)
    if n and not there:  # "#" may be in a path, too
        return sampled(get_dataset(whole), int(n), int(seed or 0))
    if name_or_path.startswith(PREFIXES):
        return open_named(name_or_path)
    if shards.is_pattern(given) and not there:
        return open_pattern(given)
    looks_like_path = name_or_path.startswith((FOLDER_PREFIX, ".", "~")) or os.sep in given
    if root is None or not (looks_like_path or (there and files.is_dir(root))):
        raise UnknownName("dataset", name_or_path, bundled, "Or give the path of a folder of images.")
    folders.check_allowed(root, given)
    root = folders.as_named(root)
    if files.is_file(root):
        found = open_file(root)
        if found is not None:
            return found
    if not files.is_dir(root):
        raise DatasetError(
            f"There is no folder {given!r}; the name of a bundled dataset, or the path of a folder, ZIP or tar of "
            "images, is accepted; check the spelling."
        )
    return _folder(root)


def _folder(root: Path) -> DatasetSpec:
    listed = folders.images_in(root)
    if not listed.found:
        told = f" {file_headers.left_out_in_words(listed.left_out)}" if listed.left_out else ""
        raise DatasetError(
            f"The folder {root} has no images; files that end in {', '.join(sorted(file_headers.SUFFIXES))} "
            "are accepted, "
            f"also in its sub-folders; choose another folder.{told}"
        )
    labels = wordnet.folder_classes(listed.parts)
    return DatasetSpec(
        name=f"{FOLDER_PREFIX}{root}",
        title=folders.readable(root.name or str(root)),
        description=f"The images of the folder {folders.readable(str(root))}. Its sub-folders are the classes.",
        source="folder",
        licence="that of its owner",
        held_out=True,
        classes=tuple(dict.fromkeys(labels)),
        size=len(labels),
        label_of=labels.__getitem__,
        name_of=tuple(folders.readable("/".join(parts)) for parts in listed.parts).__getitem__,
        reader_of=partial(_reading, tuple(listed.found)),
        fingerprint=folders.fingerprint(listed.found),
        left_out=tuple(listed.left_out),
    )


def _reading(paths: tuple[Path, ...], position: int) -> Callable[[], bytes]:
    return partial(folders.read_file, paths[position])


def sampled(spec: DatasetSpec, n: int, seed: int = 0) -> DatasetSpec:
    """The dataset of `n` different pictures of another, at random, in order; itself if it has no more than `n`.

    It is named like the other with "#N" behind it, and ":SEED" for a seed other than 0; `get_dataset` takes that name.
    Raises `DatasetError` for n < 1.
    """
    if n >= len(spec):
        return spec
    chosen = tuple(item.position for item in sample(spec, n, seed))
    suffix = f"#{n}" + (f":{seed}" if seed else "")
    return replace(
        spec,
        name=f"{spec.name}{suffix}",
        title=f"{spec.title}, {n} of {len(spec)}",
        description=f"{spec.description} A sample of {n} of its {len(spec)} pictures, drawn with seed {seed}.",
        size=n,
        label_of=partial(_of_sample, spec.label_of, chosen),
        name_of=partial(_of_sample, spec.name_of, chosen),
        reader_of=partial(_of_sample, spec.reader_of, chosen),
        digest_of=spec.digest_of and partial(_of_sample, spec.digest_of, chosen),
    )


def _of_sample(of: Callable[[int], Any], chosen: tuple[int, ...], position: int) -> Any:
    return of(chosen[position])


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
