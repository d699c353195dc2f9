"""What estimates cost and are worth: a run towards a goal, played through on images whose full scores are all known.

The choices are the allocator's (`jepa_core.scoring.allocator`), with prices as measured; how many images the set is
said to have decides what they cost an image. The regression itself (about a second a lap) is not counted.
"""

from dataclasses import dataclass, replace

import numpy as np

from jepa_core.scoring import allocator, calibration
from jepa_core.scoring.allocator import Prices, Standing
from jepa_core.scoring.calibration import Known
from jepa_core.scoring.method import LEAST_IMAGES, Goal
from jepa_core.stats.rank_correlation import spearman

SIZES = (1_000, 10_000, 1_000_000)
"""Numbers of images that estimates are priced for."""


@dataclass(frozen=True)
class Played:
    """Where a run ended: full scores, products an image, seconds an image, Spearman and coverage on the others."""

    calibrated: int
    rows: int
    seconds: float
    spearman: float
    coverage: float


def play(known: Known, goal: Goal, prices: Prices, images: int, seed: int = 0) -> Played:
    """A run over a set of so many images, of which those that are `known` and not `own` are the pool.

    Its calibration images are at most half of the known ones of the set; it is held against the others.
    """
    own = np.flatnonzero(known.own)
    order = own[np.random.default_rng(seed).permutation(len(own))]
    most, pool = len(own) // 2, int((~known.own).sum())
    first = allocator.quick_calibration(images, prices, pool) if goal.quick else LEAST_IMAGES
    calibrated, rows, before = min(first, most), 0, np.nan
    while True:
        drawn = np.isin(np.arange(len(known.scores)), order[:calibrated])
        told = _only(known, drawn)
        fitted = calibration.calibrate(told, rows)
        assert fitted is not None  # a half of the known ones is enough
        standing = Standing(images, calibrated, rows, fitted.fidelity, calibration.errors_by_rows(told, fitted), before)
        step = allocator.next_step(standing, prices, goal)
        if step is None or (step.calibrated and calibrated == most):
            break
        before = fitted.error if step.calibrated else np.nan
        calibrated, rows = (min(step.calibrated, most), rows) if step.calibrated else (calibrated, step.rows)
    rest = order[most:]
    scores, half = fitted.estimate(known.features[rest], known.pivots[rest])
    spent = calibrated * prices.full + (images - calibrated) * prices.products(rows) + calibrated * prices.look
    return Played(
        calibrated,
        rows,
        spent / images,
        spearman(scores, known.scores[rest]),
        float(np.mean(np.abs(scores - known.scores[rest]) <= half)),
    )


def _only(known: Known, drawn: np.ndarray) -> Known:
    """The pool, and of the set at hand the drawn images alone."""
    kept = drawn | ~known.own
    return replace(
        known,
        digests=[digest for digest, keep in zip(known.digests, kept, strict=True) if keep],
        scores=known.scores[kept],
        features=known.features[kept],
        pivots=known.pivots[kept],
        own=known.own[kept],
        drawn=drawn[kept],
    )
