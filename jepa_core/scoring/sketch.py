"""Sketching a dataset: calibrate on some images, estimate the others, and score fully what an estimate leaves open."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from jepa_core.datasets.spec import Item
from jepa_core.errors import NotEnoughData
from jepa_core.jacobian import sketch
from jepa_core.jacobian.score_variants import VARIANTS
from jepa_core.jacobian.sketch import Calibration
from jepa_core.jacobian.spectrum import Rank
from jepa_core.keys import make_key
from jepa_core.progress import Cancelled, Progress, never, silent
from jepa_core.scoring.batches import Grams, exact_work, sketch_work
from jepa_core.scoring.rank import confirm, rank_of, rank_of_loaded
from jepa_core.scoring.run import Method, RunSummary, config_of, loaded_config, run_items, score_items, score_table
from jepa_core.store import sketches
from jepa_core.store.records import ResultConfig
from jepa_core.store.results import Store

if TYPE_CHECKING:
    from jepa_core.encoders.registry import Encoder
    from jepa_core.encoders.spec import EncoderSpec
    from jepa_core.jacobian.engine import Precision

SHARE = 12
"""Products a sketch takes unless told otherwise: one for every so many numbers of the embedding."""


@dataclass(frozen=True)
class SketchSettings:
    """How a sketch is made: `rows` products an image (K / SHARE for None), calibrated on `images`, drawn by `seed`."""

    rows: int | None = None
    images: int = sketch.IMAGES
    seed: int = 0

    @property
    def least(self) -> int:
        """Images that a dataset needs for a sketch to gain anything."""
        return 2 * self.images

    def rows_for(self, k: int) -> int:
        """Products an image for an embedding of K numbers."""
        return self.rows or max(1, round(k / SHARE))


def calibration_key(config: ResultConfig, dataset: str, settings: SketchSettings, rank: Rank) -> str:
    """Under which a calibration to scores of a rank is kept."""
    return make_key(_asked(config, dataset, settings), rank.rank)


def _asked(config: ResultConfig, dataset: str, settings: SketchSettings) -> str:
    return make_key(
        sketch.FORMAT, config.space, config.precision, dataset, settings.rows, settings.images, settings.seed
    )


def kept_calibration(
    store: Store, config: ResultConfig, dataset: str, settings: SketchSettings, rank: Rank
) -> Calibration | None:
    """The calibration to scores of a rank that the store has for a dataset, or None."""
    found = sketches.calibration(store, calibration_key(config, dataset, settings, rank))
    before = store.rank(config.space)
    if found is None and (before is None or before.rank == rank.rank):  # an earlier version kept them without the rank
        return sketches.calibration(store, _asked(config, dataset, settings))
    return found


def sketch_config(config: ResultConfig, calibration: Calibration) -> ResultConfig:
    """The config of a calibration's estimates."""
    return replace(config, method=f"sketch:{calibration.id}")


def sketch_items(
    store: Store,
    encoder: "Encoder",
    dataset: str,
    items: Sequence[Item],
    output: str | None = None,
    *,
    settings: SketchSettings | None = None,
    precision: "Precision" = "fp32",
    whole: bool = True,
    progress: Progress = silent,
    cancelled: Cancelled = never,
) -> RunSummary:
    """Estimate the scores of a dataset; images with a full score keep it, images far off get one.

    Raises `NotEnoughData` where the dataset is too small to gain anything.
    """
    settings = settings or SketchSettings()
    output = encoder.spec.check_output(output)
    exact = loaded_config(encoder, output, precision)
    calibration = kept_calibration(store, exact, dataset, settings, rank_of_loaded(encoder, output))
    known = store.scored(exact, dataset)
    if calibration is None and all(item.name in known for item in items):  # nothing is left to estimate
        return score_items(store, encoder, dataset, items, output, precision=precision, whole=whole)
    if calibration is None:
        calibration = _calibrate(store, encoder, dataset, items, output, settings, precision, progress, cancelled)
        if calibration is None:
            return RunSummary(cancelled=True)
    config = sketch_config(exact, calibration)
    method = Method(
        work=sketch_work(encoder, output, calibration, precision),
        known=lambda digests: store.done(exact, digests) | sketches.estimated(store, config, digests),
        put=lambda found: sketches.put_estimates(store, config, found),
    )
    summary = run_items(store, encoder, method, dataset, items, whole=whole, progress=progress, cancelled=cancelled)
    if precision == "fp32":
        spectra = store.rows(exact, dataset).spectra
        summary.tell(confirm(store, exact.space, rank_of_loaded(encoder, output), spectra))
    far = {member.name for member, estimate in sketches.estimates(store, config, dataset) if estimate.far}
    _score_fully(store, encoder, dataset, items, far, output, precision, progress, cancelled)
    summary.cancelled |= cancelled()
    return summary


def _calibrate(
    store: Store,
    encoder: "Encoder",
    dataset: str,
    items: Sequence[Item],
    output: str,
    settings: SketchSettings,
    precision: "Precision",
    progress: Progress,
    cancelled: Cancelled,
) -> Calibration | None:
    """Full Grams of some images, drawn at random; None if it was cancelled."""
    if len(items) < settings.least:
        raise NotEnoughData(
            f"A sketch calibrated on {settings.images} images gains nothing for {len(items)}; at least "
            f"{settings.least} are accepted; score them fully."
        )
    order = np.random.default_rng(settings.seed).permutation(len(items))[: settings.images]
    chosen = [items[place] for place in np.sort(order)]
    exact = loaded_config(encoder, output, precision)
    kept = Grams([], [], [])
    method = Method(
        work=exact_work(encoder, output, precision, keep=kept),
        known=lambda _digests: set(),  # Grams are not stored, so an image that has a score is computed again
        put=lambda results: store.put(exact, results),
    )
    run_items(store, encoder, method, dataset, chosen, whole=False, progress=progress, cancelled=cancelled)
    if cancelled():
        return None
    progress(0, 0)  # what comes now has no steps
    rank = rank_of_loaded(encoder, output)
    calibration = sketch.calibrate(
        np.stack(kept.grams),
        np.stack(kept.features).astype(np.float64),
        rank.rank,
        settings.rows_for(encoder.spec.outputs[output]),
        settings.seed,
    )
    sketches.put_calibration(store, calibration_key(exact, dataset, settings, rank), calibration)
    return calibration


def _score_fully(
    store: Store,
    encoder: "Encoder",
    dataset: str,
    items: Sequence[Item],
    names: set[str],
    output: str,
    precision: "Precision",
    progress: Progress,
    cancelled: Cancelled,
) -> None:
    chosen = [item for item in items if item.name in names]
    if chosen:
        score_items(
            store,
            encoder,
            dataset,
            chosen,
            output,
            precision=precision,
            whole=False,
            progress=progress,
            cancelled=cancelled,
        )


def open_ends(table: pd.DataFrame, shown: int) -> set[str]:
    """The names of estimates whose interval reaches into the `shown` lowest or highest scores of a table."""
    if table.empty:
        return set()
    scores = np.sort(table["jepa_score"].to_numpy())
    shown = min(shown, len(scores))
    reaches = (table["low"] <= scores[shown - 1]) | (table["high"] >= scores[-shown])
    return set(table.loc[reaches & table["estimated"], "name"])


def verify_ends(
    store: Store,
    encoder: "Encoder",
    dataset: str,
    items: Sequence[Item],
    output: str | None = None,
    *,
    shown: int,
    label: str | None = None,
    settings: SketchSettings | None = None,
    precision: "Precision" = "fp32",
    progress: Progress = silent,
    cancelled: Cancelled = never,
) -> set[str]:
    """Score fully every image that may be among the `shown` lowest or highest, until none is left.

    Returns the names that stay open: those whose scoring failed, and what was left when it was cancelled.
    """
    output = encoder.spec.check_output(output)
    tried: set[str] = set()
    while True:
        table = sketched_scores(store, encoder.spec, output, dataset, settings, precision)
        names = open_ends(table if label is None else table[table["label"] == label], shown)
        if cancelled() or names <= tried:
            return names
        _score_fully(store, encoder, dataset, items, names - tried, output, precision, progress, cancelled)
        tried |= names


def sketched_scores(
    store: Store,
    spec: "EncoderSpec",
    output: str,
    dataset: str,
    settings: SketchSettings | None = None,
    precision: str = "fp32",
) -> pd.DataFrame:
    """`score_table` of full scores and, for images that have none, estimates, in the order of the dataset.

    Columns beside those of `score_table`: estimated, low and high (the 90 % interval, or the score itself where full).
    An estimate has no listing score and no score of a part of the spectrum (NaN): those are made of singular values.
    """
    exact = config_of(spec, output, precision)
    rank = rank_of(spec, output)
    full = score_table(store.rows(exact, dataset), rank, precision)
    full = full.assign(estimated=False, low=full["jepa_score"], high=full["jepa_score"])
    calibration = kept_calibration(store, exact, dataset, settings or SketchSettings(), rank)
    if calibration is None:
        return full
    known = set(full["name"])
    rows = [
        {
            "name": member.name,
            "label": member.label,
            "position": member.position,
            "digest": member.digest,
            **{f"{name}_score": np.nan for name in VARIANTS},
            "jepa_score": estimate.score,
            "gaussian_score": estimate.score - 0.5 * estimate.squared_norm,
            "squared_norm": estimate.squared_norm,
            "seconds": estimate.seconds,
            "device": estimate.device,
            "rank_disagrees": False,
            "estimated": True,
            "low": estimate.low,
            "high": estimate.high,
        }
        for member, estimate in sketches.estimates(store, sketch_config(exact, calibration), dataset)
        if member.name not in known
    ]
    if not rows:
        return full
    both = pd.concat([full, pd.DataFrame(rows)]) if len(full) else pd.DataFrame(rows)
    return both.sort_values("position", kind="stable", ignore_index=True)
