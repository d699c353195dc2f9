"""One image in detail: its place by score, its neighbours, what it is compared with, and how to score it again."""

import shlex
from dataclasses import dataclass

import numpy as np
import pandas as pd

from jepa_core.analysis.methods import Domain
from jepa_core.datasets.registry import FOLDER_PREFIX
from jepa_core.datasets.spec import DatasetSpec, Item
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import DatasetError
from jepa_core.explain import attribution
from jepa_core.explain.attribution import SpectrumSpread
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.stats.neighbors import nearest
from jepa_core.store.results import Store

LEAST_SPREAD = 20
"""Full scores that quantiles of 5 % and 95 % need."""
_PREFIX = 6  # characters of a digest that are enough to mean one


@dataclass(frozen=True)
class Place:
    """Where an image stands in a table sorted by score: its position from 0, and its neighbours' digests ("": none)."""

    position: int
    before: str
    after: str


def place(table: pd.DataFrame, digest: str) -> Place | None:
    """The place of the first image of that digest; None if there is none. Equal pictures are one image."""
    digests = table["digest"].to_numpy()
    same = np.flatnonzero(digests == digest)
    if not len(same):
        return None
    position = int(same[0])
    before = [other for other in digests[:position] if other != digest]
    after = [other for other in digests[position:] if other != digest]
    return Place(position, before[-1] if before else "", after[0] if after else "")


def neighbours(embedding: np.ndarray, digest: str, among: Domain, count: int) -> pd.DataFrame:
    """The `count` images of a domain nearest to an embedding (K), with a column `distance`; never the image itself."""
    itself = (among.table["digest"] == digest).to_numpy(dtype=bool)
    if itself.all():
        return among.table.iloc[:0].assign(distance=np.empty(0))
    [distances], [indices] = nearest(embedding[None], among.embeddings, count + int(itself.sum()))
    others = ~itself[indices]
    return among.table.iloc[indices[others][:count]].assign(distance=distances[others][:count])


def reference_spread(
    store: Store, output: EncoderOutput, dataset: DatasetSpec, precision: str = "fp32"
) -> SpectrumSpread | None:
    """The spread of a dataset's fully scored spectra; None where there are too few for quantiles."""
    rows = store.rows(output.config(precision), dataset.name)
    if len(rows.members) < LEAST_SPREAD:
        return None
    return attribution.spectrum_spread(dataset.title, rows.spectra, output.rank.rank)


def find_item(dataset: DatasetSpec, given: str) -> Item:
    """The picture of that name, or whose digest begins so; `DatasetError` for none, or for several different ones.

    Looking for a digest reads the pictures, unless the dataset is listed.
    """
    for item in dataset.items():
        if item.name == given:
            return item
    found: dict[str, Item] = {}
    if len(given) >= _PREFIX and all(character in "0123456789abcdef" for character in given.lower()):
        for item in dataset.items():
            try:
                digest = item.digest
            except DatasetError:  # it is gone, so it is not the one
                continue
            if digest.startswith(given.lower()):
                found.setdefault(digest, item)
    if len(found) == 1:
        return next(iter(found.values()))
    raise DatasetError(
        f"{dataset.title} has {len(found) or 'no'} pictures {given!r}; the name of one, or at least the first "
        f"{_PREFIX} characters of its digest, is accepted; see its names with 'python -m jepa_core score --data'."
    )


@dataclass(frozen=True)
class Again:
    """How to compute a score again: a command, and lines of Python ("" where only the pictures' owner can)."""

    command: str
    python: str


def again(spec: EncoderSpec, output: str, dataset: DatasetSpec, row: pd.Series, precision: str) -> Again:
    """How to compute the full score of a row of a dataset's table again; nothing is read from the store."""
    given = dataset.name.removeprefix(FOLDER_PREFIX)
    data, image = ("FOLDER", row["digest"][:12]) if dataset.listed else (given, row["name"])
    words = ["python", "-m", "jepa_core", "score", "--encoder", spec.name, "--output", output, "--data", data]
    words += ["--image", image] + (["--precision", precision] if precision != "fp32" else [])
    if dataset.listed:
        return Again(shlex.join(words), "")
    options = f', precision="{precision}"' if precision != "fp32" else ""
    python = (
        "from jepa_core import get_dataset, score_images\n"
        f"picture = get_dataset({given!r}).item({int(row['position'])}).read()\n"
        f'print(score_images([picture], {spec.name!r}, {output!r}{options})["jepa_score"][0])'
    )
    return Again(shlex.join(words), python)
