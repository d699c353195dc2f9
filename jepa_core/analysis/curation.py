"""Lists of images to review: a share of each class by an order, and where picked images lie.

A score is no verdict. It can be upside down for a domain (the Domains page shows where), and among the least likely
images of a class are the rare and the difficult beside the broken: what is here proposes, and a person decides.
"""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from jepa_core import files
from jepa_core.datasets.registry import FOLDER_PREFIX
from jepa_core.errors import JepaError
from jepa_core.spreadsheets import csv_text
from jepa_core.store.records import Member

MOST_PERCENT = 50.0
"""Percent of a class that may be proposed; more is no curation."""

_COLUMNS = ["dataset", "name", "label", "digest", "path"]
_SCORES = {"jepa_score": float, "low": float, "high": float, "estimated": "boolean", "percentile": float}


def decide(table: pd.DataFrame, percent: float, dataset: str, unlike: pd.Series | None = None) -> pd.DataFrame:
    """Review or keep each image of a score table (`method.scores`): the first `percent` of each class are to review.

    First are the least likely, or with `unlike` those with the largest of its values (by digest; an image without one
    comes last). Of n images of a class, floor(n percent / 100) are to review, so never more than asked for and none of
    a small class. Equal ones go by their place in the dataset.

    Returns dataset, name, label, digest, path, jepa_score with its interval low and high, estimated, percentile (within
    the class, 0 to 100, ties counting half), and decision ("review" or "keep"), in the order of the dataset. Raises
    `JepaError` for a percentage outside 0 to `MOST_PERCENT`.
    """
    if not 0 <= percent <= MOST_PERCENT:
        raise JepaError(
            f"{percent:g} % of each class was to be reviewed; 0 to {MOST_PERCENT:g} is accepted; take a smaller share."
        )
    table = table.sort_values("position", kind="stable")
    scores = table.groupby("label", sort=False)["jepa_score"]
    order = table["jepa_score"] if unlike is None else -table["digest"].map(unlike).fillna(-np.inf)
    places = order.groupby(table["label"], sort=False).rank(method="first").to_numpy()
    sizes = scores.transform("size").to_numpy()
    # A hair more, so that 7 % of 100 images are 7 whatever binary makes of 0.07.
    chosen = places <= np.floor(sizes * percent / 100 + 1e-9)
    return pd.DataFrame(
        {
            "dataset": dataset,
            "name": table["name"],
            "label": table["label"],
            "digest": table["digest"],
            "path": paths_of(dataset, table["name"]),
            "jepa_score": table["jepa_score"],
            "low": table["low"],
            "high": table["high"],
            "estimated": table["estimated"],
            "percentile": 100 * (scores.rank(method="average").to_numpy() - 0.5) / sizes,
            "decision": np.where(chosen, "review", "keep"),
        }
    ).reset_index(drop=True)


def by_class(decided: pd.DataFrame) -> pd.DataFrame:
    """What `decide` chose of each class: label, images, review, and the highest score of these (or NaN)."""
    chosen = decided["decision"] == "review"
    groups = decided.assign(review=chosen, limit=decided["jepa_score"].where(chosen)).groupby("label", sort=True)
    return groups.agg(images=("name", "size"), review=("review", "sum"), limit=("limit", "max")).reset_index()


def picked(
    members: Mapping[str, Iterable[Member]], chosen: Mapping[str, str], tables: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """The picked images as a table, in the order of picking.

    Args:
        members: the recorded images of each dataset that something was picked from.
        chosen: digest -> name of the dataset that the image was picked from.
        tables: score tables of these datasets with percentiles, as far as there are any.

    Returns dataset, name, label, digest, path, jepa_score, low, high, estimated and percentile (all missing without a
    score). An image that its dataset no longer has is left out.
    """
    places = {(name, member.digest): member for name, found in members.items() for member in found}
    scores = {
        (name, digest): found
        for name, table in tables.items()
        for digest, *found in table.reindex(columns=["digest", *_SCORES]).itertuples(index=False)
    }
    none = [None] * len(_SCORES)
    rows = [
        (
            dataset,
            member.name,
            member.label,
            digest,
            path_of(dataset, member.name),
            *scores.get((dataset, digest), none),
        )
        for digest, dataset in chosen.items()
        if (member := places.get((dataset, digest)))
    ]
    return pd.DataFrame(rows, columns=[*_COLUMNS, *_SCORES]).astype(_SCORES)


def paths_of(dataset: str, names: Iterable[str]) -> list[str]:
    """`path_of` of many images."""
    root = _root(dataset)  # once, since it looks at the disk
    return [name if name.startswith(f"{dataset}/") else f"{root}/{name}" for name in names]


def _root(dataset: str) -> str:
    root = dataset.removeprefix(FOLDER_PREFIX)
    if not files.exists(Path(root)):  # else the "#" is a part of the path
        root = re.sub(r"#\d+(:\d+)?$", "", root)
    return root.rstrip("/")


def path_of(dataset: str, name: str) -> str:
    """Where an image lies: its file for a folder; for any other dataset a name that says which image is meant.

    >>> path_of("digits-test", "digits-test/7"), path_of("folder:/data/cats#500", "black/1.png")
    ('digits-test/7', '/data/cats/black/1.png')
    """
    return paths_of(dataset, [name])[0]


def files_of(dataset: str, names: Iterable[str]) -> list[str | None]:
    """The files of images of a dataset that is a folder on the disk; None for each image of any other."""
    root = _root(dataset)
    if not (dataset.startswith(FOLDER_PREFIX) and files.is_dir(Path(root))):
        return [None for _name in names]
    return [f"{root}/{name}" for name in names]


def within(table: pd.DataFrame, low: float, high: float) -> pd.DataFrame:
    """The rows of a score table whose score is from `low` to `high`, ends included."""
    scores = table["jepa_score"]
    return table[(scores >= low) & (scores <= high)]


def random_rows(table: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """At most `count` different rows of a table in an order that the seed decides."""
    return table.iloc[np.random.default_rng(seed).permutation(len(table))[:count]]


def score_limits(scores: np.ndarray) -> tuple[float, float]:
    """The tenths that all scores lie between, for a slider in steps of a tenth.

    >>> score_limits(np.array([-1.23, 4.0]))
    (-1.3, 4.0)
    """
    return math.floor(10 * scores.min()) / 10, math.ceil(10 * scores.max()) / 10


def read_range(text: str, scores: np.ndarray) -> tuple[float, float] | None:
    """A range of scores as an address has it, "LOW:HIGH"; None for what is none, or has no part of these scores.

    >>> read_range("-3:2.5", np.array([0.0])), read_range("7:9", np.array([0.0])), read_range("x", np.array([0.0]))
    ((-3.0, 2.5), None, None)
    """
    try:
        low, high = (float(part) for part in text.split(":"))
    except ValueError:
        return None
    finite = scores[np.isfinite(scores)]
    if not (math.isfinite(low) and math.isfinite(high) and low <= high and finite.size):
        return None
    return (low, high) if low <= finite.max() and high >= finite.min() else None


def brushed(selection: Mapping) -> tuple[float, float] | None:
    """The range of scores of a box that was drawn over a histogram, from what Plotly tells of it; None for no box.

    >>> brushed({"box": [{"x": [3.0, -1.0], "y": [0, 1]}]}), brushed({"box": []})
    ((-1.0, 3.0), None)
    """
    boxes = selection.get("box") or []
    return (min(boxes[-1]["x"]), max(boxes[-1]["x"])) if boxes else None


def as_csv(table: pd.DataFrame) -> bytes:
    """A table as the bytes of a CSV file."""
    return csv_text(table).encode()


def as_paths(table: pd.DataFrame) -> bytes:
    """The paths of a table, one a line."""
    return "".join(f"{path}\n" for path in table["path"]).encode()
