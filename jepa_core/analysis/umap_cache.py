"""Maps: the places of images by UMAP of their embeddings, made once and kept, and what a part of a map holds.

A map is kept in the cache folder under a key of everything that changes it: the embedding space, the images' digests,
the settings, the seed and UMAP's version. It does not depend on the order of the images; equal images have one place.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from numpy import ndarray

from jepa_core.analysis import lasso, umap
from jepa_core.config import cache_dir
from jepa_core.datasets.spec import NO_CLASS
from jepa_core.files import replace_file
from jepa_core.keys import make_key
from jepa_core.progress import Cancelled, Progress, never, silent
from jepa_core.stats.conformal import percentile
from jepa_core.store.results import Store

_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Map:
    """Places (n, 2) of images by their digests in sorted order, and how much of the embedding the map has kept."""

    digests: tuple[str, ...]
    places: ndarray
    neighbours: float  # share of each image's nearest that are nearest on the map, too
    distances: float  # Spearman's correlation of the distances on the map with those in the embedding

    def of(self, digests: Iterable[str]) -> ndarray:
        """The places (m, 2) of images, in the order given."""
        index = {digest: position for position, digest in enumerate(self.digests)}
        return self.places[[index[digest] for digest in digests]]


def map_key(space: str, digests: Iterable[str], seed: int = 0) -> str:
    """The key of a map: the same for the same images in any order."""
    return make_key("umap", _FORMAT, version("umap-learn"), umap.NEIGHBOURS, seed, space, *sorted(set(digests)))


def map_path(key: str) -> Path:
    """Where a map is kept, whether it exists or not."""
    return cache_dir() / "maps" / f"{key}.npz"


def kept(key: str, digests: Iterable[str]) -> Map | None:
    """The map that is kept under a key, or None; a damaged file counts as none."""
    named = tuple(sorted(set(digests)))
    try:
        # Opened here: numpy leaves a file open that it could not read.
        with map_path(key).open("rb") as file, np.load(file, allow_pickle=False) as found:
            places, measured = found["places"], found["measured"]
    except Exception:  # whatever NumPy makes of a damaged file
        return None
    if places.shape != (len(named), 2) or measured.shape != (2,) or not np.isfinite(places).all():
        return None
    return Map(named, places, float(measured[0]), float(measured[1]))


def make_map(
    store: Store,
    space: str,
    digests: Iterable[str],
    seed: int = 0,
    progress: Progress = silent,
    cancelled: Cancelled = never,
) -> Map | None:
    """The map of images whose embeddings the store has, kept for the next time; None where it was cancelled.

    Raises `StoreError` where an embedding is missing, and `NotEnoughData` for too few different images.
    """
    named = tuple(sorted(set(digests)))
    key = map_key(space, named, seed)
    found = kept(key, named)
    if found is not None:
        return found
    embeddings = store.embeddings(space, named)
    places = umap.umap_places(embeddings, seed, progress, cancelled)
    if places is None:
        return None
    made = Map(
        named,
        places,
        umap.kept_neighbours(embeddings, places),
        umap.distance_agreement(embeddings, places),
    )
    path = map_path(key)
    with suppress(OSError):  # a full disk costs the next visit some time, not this one its map
        path.parent.mkdir(parents=True, exist_ok=True)
        measured = np.array([made.neighbours, made.distances])
        replace_file(path, lambda to: np.savez(to, places=places, measured=measured))
    return made


def placed(found: Map, tables: Mapping[str, pd.DataFrame], titles: Mapping[str, str]) -> pd.DataFrame:
    """One line for each image of some score tables, given by their datasets' names, the reference first.

    Adds to the columns of the tables: set (the dataset's name), domain (its title), x, y, and percentile: the place of
    the score among the reference's.
    """
    reference = next(iter(tables.values()))["jepa_score"].to_numpy()
    table = pd.concat([one.assign(set=name, domain=titles[name]) for name, one in tables.items()], ignore_index=True)
    places = found.of(table["digest"])
    return table.assign(
        x=places[:, 0], y=places[:, 1], percentile=percentile(table["jepa_score"].to_numpy(), reference)
    )


def selected(table: pd.DataFrame, area: lasso.Area) -> pd.DataFrame:
    """The lines of a placed table that lie in an area, the least likely image first."""
    inside = lasso.within(table[["x", "y"]].to_numpy(), area)
    return table[inside].sort_values("jepa_score", kind="stable")


def in_words(rows: pd.DataFrame, reference: str) -> str:
    """What a selection holds: how many, where they score, and which classes or domains are common."""
    low, middle, high = np.quantile(rows["percentile"], [0.25, 0.5, 0.75])
    words = [f"Median percentile {middle:.0f} among {reference} (middle half {low:.0f} to {high:.0f})."]
    for column, noun in (("domain", "Domains"), ("label", "Classes")):
        counts = rows[column].value_counts()
        if len(counts) > 1 or (column == "label" and counts.index[0] != NO_CLASS):
            common = ", ".join(f"{name} ({count})" for name, count in counts.head(4).items())
            rest = f" and {len(counts) - 4} more" if len(counts) > 4 else ""
            words.append(f"{noun}: {common}{rest}.")
    return " ".join(words)


def trust_in_words(found: Map) -> str:
    """How much of the embedding a map has kept, in one sentence each for near and far."""
    near = (
        f"Of each image's {umap.NEIGHBOURS} nearest neighbours in the embedding, {100 * found.neighbours:.0f} % "
        f"are among its {umap.NEIGHBOURS} nearest on this map."
    )
    if np.isnan(found.distances):
        return near
    return f"{near} Distances across the map follow those in the embedding with Spearman {found.distances:.2f}."


def common_first(labels: Sequence[str]) -> list[str]:
    """Different labels, the most common first, those of one count by name."""
    counts = pd.Series(labels).value_counts()
    return sorted(counts.index, key=lambda label: (-counts[label], label))
