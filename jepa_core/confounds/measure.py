"""The measures of scored pictures: computed once, kept in the store by the transform and the image's digest."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy import ndarray
from PIL import Image

from jepa_core import images
from jepa_core.confounds import image_stats, visible
from jepa_core.confounds.matching import Measured
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.decoding.sandbox import DecodingCancelled
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import JepaError, NotEnoughData
from jepa_core.keys import make_key
from jepa_core.progress import Cancelled, Progress, never, silent
from jepa_core.store.crops import read_member
from jepa_core.store.records import Member
from jepa_core.store.results import Store

MOST_MEASURED = 2000
"""Pictures of a set that are measured: more would not change what is said of it."""

SHIPPED = ("scenes-test",)
"""Bundled sets whose measures ship, as those of listed sets do: people meet them first, and wait less."""

_BLOCK = 64  # pictures measured before they are written


def space_of(transform: str) -> str:
    """The key of the measures under a transform (canonical JSON of a data config); another measure is another key."""
    return make_key(transform, image_stats.VERSION, *image_stats.MEASURES)


@dataclass(frozen=True)
class Family:
    """Measures that are taken together: the key that they are kept under by the transform, and what takes them.

    `of` is given a crop and `images.scale` of its picture.
    """

    space_of: Callable[[str], str]
    of: Callable[[Image.Image, float], ndarray]


CONFOUNDS = Family(space_of, image_stats.measured_crop)
"""`image_stats.MEASURES`: what may explain a score."""
VISIBLE = Family(visible.space_of, visible.measured)
"""`visible.VISIBLE`: what a person can see whatever a picture's history."""


def chosen(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of a score table whose pictures are measured: all, or `MOST_MEASURED` of them by a fixed seed."""
    return table if len(table) <= MOST_MEASURED else table.sample(MOST_MEASURED, random_state=0).sort_index()


def missing(store: Store, spec: EncoderSpec, table: pd.DataFrame, family: Family = CONFOUNDS) -> pd.DataFrame:
    """The chosen rows of a score table that have no measures, each picture once."""
    rows = chosen(table).drop_duplicates("digest")
    known = store.measures(family.space_of(spec.transform), rows["digest"].tolist())
    return rows[~rows["digest"].isin(known.keys())]


def measure_missing(
    store: Store,
    spec: EncoderSpec,
    dataset: DatasetSpec,
    table: pd.DataFrame,
    progress: Progress = silent,
    cancelled: Cancelled = never,
    family: Family = CONFOUNDS,
) -> list[tuple[str, str]]:
    """Measure the pictures of a dataset's score table that have no measures; return (name, sentence) of failures."""
    rows = missing(store, spec, table, family)
    space = family.space_of(spec.transform)
    failed: list[tuple[str, str]] = []
    for first in range(0, len(rows), _BLOCK):
        if cancelled():
            break
        found: dict[str, ndarray] = {}
        for row in rows.iloc[first : first + _BLOCK].itertuples():
            try:
                data = read_member(dataset, Member(row.name, row.position, row.label, row.digest))
                crop = images.cropped(data, spec.data_config, row.name, cancelled)
                found[row.digest] = family.of(crop.image, crop.scale)
            except DecodingCancelled:
                break
            except JepaError as error:
                failed.append((row.name, str(error)))
        store.put_measures(space, found)
        progress(min(first + _BLOCK, len(rows)), len(rows))
    return failed


def load(store: Store, spec: EncoderSpec, dataset: DatasetSpec, table: pd.DataFrame) -> Measured:
    """The chosen images of a dataset's score table that have measures, to be compared with another set.

    Raises `NotEnoughData` where none has.
    """
    rows = chosen(table)
    known = store.measures(space_of(spec.transform), rows["digest"].tolist())
    rows = rows[rows["digest"].isin(known.keys())]
    if rows.empty:
        raise NotEnoughData(_why_nothing(spec, dataset, table))
    return Measured(
        dataset.title, -rows["jepa_score"].to_numpy(), np.stack([known[digest] for digest in rows["digest"]])
    )


def _why_nothing(spec: EncoderSpec, dataset: DatasetSpec, table: pd.DataFrame) -> str:
    if table.empty:
        return f"{dataset.title} has no scores, and its confounds were asked for; score it first."
    if dataset.listed:
        return (
            f"The pictures of {dataset.title} are not here, only their scores, so nothing can be measured on them; "
            f"whoever has them runs 'python -m jepa_core confounds --encoder {spec.name} --pictures "
            f"{dataset.name}=FOLDER' once."
        )
    return f"None of the {len(table)} pictures of {dataset.title} has been measured; they have to be readable."
