"""The ways to a dataset's scores: each image fully, or by a sketch; in one precision, which the dataset may decide.

The terminal and the pages take a `Way` as a person gave it, settle what it leaves open, and have it carried out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import pandas as pd

from jepa_core.datasets.spec import DatasetSpec, Item
from jepa_core.scoring import precision
from jepa_core.scoring import sketch as scoring_sketch
from jepa_core.scoring.choices import METHODS as METHODS
from jepa_core.scoring.choices import PRECISIONS as PRECISIONS
from jepa_core.scoring.rank import rank_of
from jepa_core.scoring.run import RunSummary, config_of, score_items, stored_scores
from jepa_core.scoring.sketch import SketchSettings
from jepa_core.store import sketches
from jepa_core.store.results import Store

if TYPE_CHECKING:
    from jepa_core.encoders.registry import Encoder
    from jepa_core.encoders.spec import EncoderSpec
    from jepa_core.jacobian.engine import Precision

_IN_WORDS = {"fp32": "float32", "tf32": "TensorFloat-32", "bf16": "bfloat16"}


@dataclass(frozen=True)
class Way:
    """How scores are made. A precision of "auto" is open until images of the dataset have decided it."""

    method: Literal["exact", "sketch"] = "exact"
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "fp32"
    sketch: SketchSettings = field(default_factory=SketchSettings)

    @property
    def decided(self) -> "Precision":
        """The precision of a way that leaves nothing open."""
        assert self.precision != "auto"
        return self.precision


def settled(store: Store, spec: "EncoderSpec", output: str, dataset: str, way: Way) -> Way:
    """The way with what "auto" stands for now: what the dataset decided, float32 before that. Loads no encoder."""
    if way.precision != "auto":
        return way
    chosen = precision.recorded(store, config_of(spec, output).space, dataset)
    return replace(way, precision=chosen.precision if chosen else "fp32")


def decide(
    store: Store,
    encoder: "Encoder",
    output: str,
    dataset: str,
    items: Sequence[Item],
    way: Way,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[Way, str]:
    """The way with its precision decided, and the reason in words; where a person chose, what is slow about it."""
    if way.precision != "auto":
        return way, precision.slow_in_words(way.precision, encoder.device)
    chosen = precision.choose(store, encoder, output, dataset, items, cancelled=cancelled)
    return replace(way, precision=chosen.precision), chosen.reason


def score(
    store: Store,
    encoder: "Encoder",
    output: str,
    dataset: str,
    items: Sequence[Item],
    way: Way,
    *,
    whole: bool = True,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> RunSummary:
    """Score items of a dataset that the store lacks, in a way whose precision is decided."""
    if way.method == "exact":
        return score_items(
            store,
            encoder,
            dataset,
            items,
            output,
            precision=way.decided,
            whole=whole,
            progress=progress,
            cancelled=cancelled,
        )
    return scoring_sketch.sketch_items(
        store,
        encoder,
        dataset,
        items,
        output,
        settings=way.sketch,
        precision=way.decided,
        whole=whole,
        progress=progress,
        cancelled=cancelled,
    )


def scores(store: Store, spec: "EncoderSpec", output: str, dataset: str, way: Way) -> pd.DataFrame:
    """What the store holds of a dataset: `run.score_table`'s columns, and estimated, low, high.

    `low` and `high` bound an estimate's 90 % interval; a full score is its own interval.
    """
    way = settled(store, spec, output, dataset, way)
    if way.method == "sketch":
        return scoring_sketch.sketched_scores(store, spec, output, dataset, way.sketch, way.precision)
    table = stored_scores(store, spec, output, dataset, way.precision)
    return table.assign(estimated=False, low=table["jepa_score"], high=table["jepa_score"])


def scored(store: Store, spec: "EncoderSpec", output: str, dataset: str, way: Way) -> dict[str, tuple[str, bool]]:
    """The images of a dataset that have a score: name -> (digest, whether it is an estimate)."""
    way = settled(store, spec, output, dataset, way)
    config = config_of(spec, output, way.precision)
    found: dict[str, tuple[str, bool]] = {}
    calibration = None
    if way.method == "sketch":
        calibration = scoring_sketch.kept_calibration(store, config, dataset, way.sketch, rank_of(spec, output))
    if calibration:
        estimated = sketches.estimates(store, scoring_sketch.sketch_config(config, calibration), dataset)
        found = {member.name: (member.digest, True) for member, _estimate in estimated}
    # A full score stands before an estimate.
    return found | {name: (digest, False) for name, digest in store.scored(config, dataset).items()}


def possible(way: Way, dataset: DatasetSpec) -> Way:
    """The way for a dataset: one too small for a sketch is scored fully, and a listed one was scored long ago."""
    if dataset.listed:
        return Way()
    return way if len(dataset) >= way.sketch.least else replace(way, method="exact")


def in_words(spec: "EncoderSpec", output: str, way: Way, table: pd.DataFrame) -> str:
    """One sentence on a table of `scores`: which are estimates, and in which precision they were made."""
    name = _IN_WORDS[way.decided]
    estimated = int(table["estimated"].sum())
    if not estimated:
        return f"Full scores in {name}."
    k = spec.outputs[output]
    return (
        f"{estimated} of {len(table)} scores are estimates by a sketch ({way.sketch.rows_for(k)} of {k} products an "
        f"image, {name}), each with a 90 % interval; the others are full scores."
    )
