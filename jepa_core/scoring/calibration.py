"""From looks at images to estimates of their scores, by what full scores teach.

A calibration belongs to an encoder output and grows with everything that is ever scored fully: full scores of any set
are the pool that a regression (`jepa_core.stats.gaussian_process`) is fitted on, with the images of the set at hand as
a set of their own. The 90 % interval of an estimate m with the predictive deviation d is

    m - q d ... m + q d,    q the quantile of |error| / d over the calibration images of the set at hand, left out.

**Guarantee.** Those are drawn at random from the set, so the interval holds for nine in ten of its other images, on
average over the draw (split conformal prediction, but for leaving out one at a time). With n of them the share that it
holds for in one set varies with a standard deviation of about .3 / sqrt(n): .05 for 32, .02 for 256. Images that were
scored fully for another reason, such as standing at an end, teach the regression and are no calibration images.

Source: Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, Distribution-Free Predictive Inference for Regression, JASA 2018,
sections 2.2 and 5.2 (errors scaled by a predicted deviation).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from jepa_core.jacobian import spectrum
from jepa_core.jacobian.sketch import most_rows
from jepa_core.scoring import looks, pool
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import LEAST_IMAGES
from jepa_core.stats import gaussian_process
from jepa_core.stats.gaussian_process import GaussianProcess
from jepa_core.stats.rank_correlation import spearman
from jepa_core.store import sketches
from jepa_core.store.results import Store

COVERAGE = 0.9
"""Nominal coverage of the intervals."""
POOL = 800
"""Full scores of other images that a regression is fitted on at most: its price is the cube of their number."""
MOST_OWN = 1200
"""Full scores of the set at hand that it is fitted on at most."""
_OWN, _POOL = 1, 0
_LADDER = (1, 4, 16, 64)  # numbers of products
BLOCK = 4096
"""Images that are estimated at a time."""


@dataclass(frozen=True, eq=False)
class Known:
    """Fully scored images: digests, scores (n), features (n, F), pivots (n, r) with NaN where there are none.

    `own` (n): those of the set at hand; `drawn` (n): those of them that were drawn at random.
    """

    digests: list[str]
    scores: ndarray
    features: ndarray
    pivots: ndarray
    own: ndarray
    drawn: ndarray


def known(store: Store, output: EncoderOutput, precision: str, drawn: Sequence[str], members: Sequence[str]) -> Known:
    """What the store knows fully: of the `drawn` calibration images, of other `members` of the set, and of the pool.

    All are given by their digests. An image without a score or a look is left out.
    """
    config, space = output.config(precision), looks.sizes_space(output)
    there = set(members)
    also = sorted(store.done(config, sorted(there - set(drawn))))[: max(0, MOST_OWN - len(drawn))]
    own = [*drawn, *also]
    others = sketches.scored_with_measures(store, config, space, POOL + len(own))
    came = pool.shipped(output) if precision == "fp32" else None
    foreign = [digest for digest in others if digest not in there][: POOL // 2 if came else POOL]
    digests = own + foreign
    spectra, sizes = store.spectra(config, digests), store.measures(space, digests)
    digests = [digest for digest in dict.fromkeys(digests) if digest in spectra and digest in sizes]
    rows = np.stack([spectra[digest] for digest in digests]) if digests else np.ones((0, output.k))
    chosen, drawn_ones = set(own), set(drawn)
    found = Known(
        digests,
        np.asarray(spectrum.jepa_score(rows, output.rank.rank), dtype=np.float64),
        features_of(store, output, digests, sizes),
        pivots_of(store, output, precision, digests),
        np.array([digest in chosen for digest in digests], dtype=bool),
        np.array([digest in drawn_ones for digest in digests], dtype=bool),
    )
    return _with_shipped(found, came, there, POOL - int((~found.own).sum())) if came else found


def _with_shipped(found: Known, came: pool.Pool, there: set[str], most: int) -> Known:
    """With the shipped pool's images, but for those of the set at hand and those that are known already."""
    known = there | set(found.digests)
    kept = [place for place, digest in enumerate(came.digests.tolist()) if digest not in known][:most]
    nothing = np.zeros(len(kept), dtype=bool)
    features = came.features[kept]
    return Known(
        [*found.digests, *came.digests[kept].tolist()],
        np.concatenate([found.scores, came.scores[kept]]),
        np.concatenate([found.features, features]) if found.digests else features,
        np.concatenate([found.pivots, came.pivots[kept]]),
        np.concatenate([found.own, nothing]),
        np.concatenate([found.drawn, nothing]),
    )


def features_of(
    store: Store, output: EncoderOutput, digests: Sequence[str], sizes: dict[str, ndarray]
) -> Float[ndarray, "n features"]:
    """The sizes of the layers and the embedding of each image."""
    if not digests:
        return np.empty((0, output.k + 1))
    embeddings = store.embeddings(output.space, digests)
    return np.concatenate([np.stack([sizes[digest] for digest in digests]), embeddings], axis=1, dtype=np.float64)


def pivots_of(store: Store, output: EncoderOutput, precision: str, digests: Sequence[str]) -> Float[ndarray, "n r"]:
    """The pivots of each image, NaN where there are fewer."""
    directions = looks.kept_directions(store, output)
    rows = np.full((len(digests), most_rows(output.k) if directions is None else len(directions)), np.nan)
    if directions is None:
        return rows
    found = store.measures(looks.pivots_space(output, precision, directions), digests)
    for place, digest in enumerate(digests):
        if digest in found:
            rows[place, : len(found[digest])] = found[digest][: rows.shape[1]]
    return rows


@dataclass(frozen=True, eq=False)
class Calibration:
    """A fitted regression on features and `rows` pivots, with the width of its intervals.

    Attributes:
        quantile: q of the intervals.
        fidelity: Spearman's correlation of left-out predictions with the scores of the drawn images; NaN for too few.
        error: mean squared error of the drawn images, left out; of the pool's where none are drawn.
        drawn: how many drawn images there were.
        far: the largest predictive deviation among what it was fitted on: an image above it is unlike all of it.
    """

    model: GaussianProcess
    rows: int
    quantile: float
    fidelity: float
    error: float
    drawn: int
    far: float

    def estimate(
        self, features: Float[ndarray, "n features"], pivots: Float[ndarray, "n r"]
    ) -> tuple[Float[ndarray, "n"], Float[ndarray, "n"]]:
        """The score of each image and half the width of its interval."""
        points = np.concatenate([features, pivots[:, : self.rows]], axis=1)
        parts = [self.model.predict(points[at : at + BLOCK], _OWN) for at in range(0, len(points), BLOCK)]
        if not parts:
            return np.empty(0), np.empty(0)
        mean, deviation = (np.concatenate(each) for each in zip(*parts, strict=True))
        return mean, self.quantile * deviation


def calibrate(known: Known, rows: int = 0) -> Calibration | None:
    """The calibration by known images that have so many pivots; None for fewer than `LEAST_IMAGES` of them."""
    usable = np.isfinite(known.pivots[:, :rows]).all(axis=1)
    if usable.sum() < LEAST_IMAGES:
        return None
    points = np.concatenate([known.features, known.pivots[:, :rows]], axis=1)[usable]
    scores, drawn = known.scores[usable], known.drawn[usable]
    model = gaussian_process.fit(points, scores, np.where(known.own[usable], _OWN, _POOL))
    errors, deviations = model.left_out()
    told = drawn if drawn.sum() >= LEAST_IMAGES // 2 else np.ones(len(scores), dtype=bool)
    return Calibration(
        model=model,
        rows=rows,
        quantile=_conformal(np.abs(errors[told]) / deviations[told]),
        fidelity=spearman(scores[drawn], (scores - errors)[drawn]) if drawn.sum() >= LEAST_IMAGES else float("nan"),
        error=float(np.mean(np.square(errors[told]))),
        drawn=int(drawn.sum()),
        far=float(deviations.max()),
    )


def errors_by_rows(known: Known, fitted: Calibration) -> dict[int, float]:
    """The mean squared error of a calibration, and of those with more products that are weighed against full scores."""
    more = {rows: calibrate(known, rows) for rows in _LADDER if fitted.rows < rows <= known.pivots.shape[1]}
    return {fitted.rows: fitted.error} | {rows: found.error for rows, found in more.items() if found}


def _conformal(ratios: Float[ndarray, "n"]) -> float:
    """The smallest q that holds `COVERAGE` of as many ratios and one more."""
    place = int(np.ceil((len(ratios) + 1) * COVERAGE)) - 1
    return float(np.sort(ratios)[min(place, len(ratios) - 1)])
