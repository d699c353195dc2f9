"""Does this picture belong? The evidence for pictures that are in no dataset, held against a reference.

The reference is a set of held-out images that are scored already. Two views are given side by side, because they fail
on different pictures: where the score falls among the reference's scores, and how far the embedding lies from the
reference's embeddings.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy import ndarray
from PIL import Image

from jepa_core import images, ways
from jepa_core.batches import exact_work, score_pictures
from jepa_core.datasets import FOLDER_PREFIX
from jepa_core.encoders import Encoder
from jepa_core.errors import JepaError, NotEnoughData
from jepa_core.projection import nearest
from jepa_core.records import Result
from jepa_core.reference import percentile
from jepa_core.scoring import config_of, known_rank, table_of
from jepa_core.specs import EncoderSpec
from jepa_core.spectrum import Rank
from jepa_core.store import Store
from jepa_core.ways import Way

if TYPE_CHECKING:
    from jepa_core.jacobian import Precision

NEIGHBOURS = 10
_SHOWN = 3  # neighbours named of each end


@dataclass(frozen=True)
class Reference:
    """A scored dataset to compare with.

    `table` is its score table with each image's own percentile, `embeddings` (n, K), `distances` (n) those of each
    image to its 10th nearest neighbour in the set, `rank` the one its scores were made with, in `precision`.
    """

    dataset: str
    table: pd.DataFrame
    embeddings: ndarray
    distances: ndarray
    rank: Rank | None
    precision: "Precision" = "fp32"

    @property
    def scores(self) -> ndarray:
        """JEPA-SCOREs of the reference."""
        return self.table["jepa_score"].to_numpy()


@dataclass(frozen=True)
class Checked:
    """The evidence for one picture.

    `percentile` is that of the JEPA-SCORE (low: unlikely), `distance_percentile` that of the distance to the 10th
    nearest reference (high: far away). `likely` and `unlikely` are rows of the reference's table: the nearest in the
    embedding among its most and its least likely quarter.
    """

    name: str
    crop: Image.Image
    notes: tuple[str, ...]
    scores: pd.Series
    percentile: float
    distance: float
    distance_percentile: float
    likely: pd.DataFrame
    unlikely: pd.DataFrame


@dataclass(frozen=True)
class Outcome:
    """What became of a batch: evidence for the pictures that could be scored, (name, sentence) for the others."""

    checked: list[Checked]
    failed: list[tuple[str, str]]


def load_reference(store: Store, spec: EncoderSpec, output: str, dataset: str, way: Way | None = None) -> Reference:
    """The reference out of the store. Raises `NotEnoughData` with too few scored images to have neighbours."""
    way = ways.settled(store, spec, output, dataset, way or Way())
    table = ways.scores(store, spec, output, dataset, way)
    if len(table) <= NEIGHBOURS:
        data = shlex.quote(dataset.removeprefix(FOLDER_PREFIX))
        raise NotEnoughData(
            f"The reference {dataset!r} has {len(table)} scored images; more than {NEIGHBOURS} are needed; "
            f"run 'python -m jepa_core score --encoder {spec.name} --output {output} --data {data}' first."
        )
    embeddings = store.embeddings(config_of(spec, output).space, table["digest"].tolist())
    scores = table["jepa_score"].to_numpy()
    table = table.assign(percentile=percentile(scores, scores))
    # One neighbour more, since each reference image is its own nearest.
    distances, _indices = nearest(embeddings, embeddings, NEIGHBOURS + 1)
    rank = known_rank(spec, output, store)
    return Reference(dataset, table, embeddings, distances[:, -1], rank, way.decided)


def check_pictures(encoder: Encoder, output: str, named: Sequence[tuple[str, bytes]], reference: Reference) -> Outcome:
    """Score pictures given as (name, bytes) and hold them against a reference. A bad one does not stop the others."""
    output = encoder.spec.check_output(output)
    results: dict[str, Result] = {}
    triples = [(name, images.digest(data), data) for name, data in named]
    work = exact_work(encoder, output, reference.precision)
    failed = score_pictures(encoder, work, triples, lambda batch: results.update({r.digest: r for r in batch}))
    good = [(name, results[digest], data) for name, digest, data in triples if digest in results]
    if not good:
        return Outcome([], failed)
    table = table_of(
        encoder, output, [(name, result) for name, result, _data in good], reference.rank, reference.precision
    )
    embeddings = np.stack([result.embedding for _name, result, _data in good])
    percentiles = percentile(table["jepa_score"].to_numpy(), reference.scores)
    distances = nearest(embeddings, reference.embeddings, NEIGHBOURS)[0][:, -1]
    distance_percentiles = percentile(distances, reference.distances)
    checked = []
    for position, (name, _result, data) in enumerate(good):
        decoded = images.decode(data, name=name)
        likely, unlikely = _contrary_neighbours(embeddings[position], reference)
        checked.append(
            Checked(
                name=name,
                crop=images.crop(decoded.image, encoder.data_config),
                notes=decoded.notes,
                scores=table.iloc[position],
                percentile=float(percentiles[position]),
                distance=float(distances[position]),
                distance_percentile=float(distance_percentiles[position]),
                likely=likely,
                unlikely=unlikely,
            )
        )
    return Outcome(checked, failed)


def _contrary_neighbours(embedding: ndarray, reference: Reference) -> tuple[pd.DataFrame, pd.DataFrame]:
    low, high = np.quantile(reference.scores, [0.25, 0.75])
    ends = []
    for mask in (reference.scores >= high, reference.scores <= low):
        rows = reference.table[mask]
        distances, indices = nearest(embedding[None], reference.embeddings[mask], _SHOWN)
        ends.append(rows.iloc[indices[0]].assign(distance=distances[0]))
    return ends[0], ends[1]


def in_words(item: Checked, reference: Reference) -> str:
    """Both views as plain sentences. They do not decide; a person does."""
    size = len(reference.scores)
    if item.percentile <= 50:
        score = f"Less likely than {_share(100 - item.percentile)} of the {size} reference images"
    else:
        score = f"More likely than {_share(item.percentile)} of the {size} reference images"
    far = f"farther from them in the embedding than {_share(item.distance_percentile)} of them are from each other"
    reasons = []
    if item.percentile <= 5:
        reasons.append("an unusually low score")
    if item.percentile >= 95:
        reasons.append("an unusually high score, which foreign images can have too")
    if item.distance_percentile >= 95:
        reasons.append("an unusually large distance")
    look = f"Reasons to look twice: {'; '.join(reasons)}." if reasons else "Neither is unusual."
    return f"{score}; {far}. {look}"


def _share(percent: float) -> str:
    # Rounding 99.7 to 100 would claim what is not so.
    return f"{percent:.1f} %" if 0 < percent < 1 or 99 < percent < 100 else f"{percent:.0f} %"


def outcome_table(outcome: Outcome) -> pd.DataFrame:
    """The evidence as one line a picture, for the terminal and for download."""
    return pd.DataFrame(
        [
            {
                "name": item.name,
                "jepa_score": item.scores["jepa_score"],
                "percentile": item.percentile,
                "listing_score": item.scores["listing_score"],
                "gaussian_score": item.scores["gaussian_score"],
                "distance": item.distance,
                "distance_percentile": item.distance_percentile,
                "nearest_likely": item.likely.iloc[0]["name"],
                "nearest_unlikely": item.unlikely.iloc[0]["name"],
                "notes": " ".join(item.notes),
            }
            for item in outcome.checked
        ]
    )


def fail_if_nothing(outcome: Outcome) -> None:
    """Raise the first failure's sentence where no picture could be scored."""
    if outcome.failed and not outcome.checked:
        raise JepaError(outcome.failed[0][1])
