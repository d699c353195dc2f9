"""Orders of the images of a set by how much each deserves a look; only the set is at hand, foreign images among it.

Each image is held against the others of its class (leave-one-out), in one of several spaces:

    distance to the k-th nearest other image of the class, k = max(10, a tenth of the class),

so that a group of foreign images that look alike is not its own company, as it is for the 10th nearest. Its logarithm
is standardised by the class's median and its median absolute deviation (a z that a few outliers do not move), which
makes classes comparable and needs no image that is known to be good. In large classes the k-th of 5,000 images drawn
from it with a fixed seed is taken, so that the time grows with the number of images and not with its square.

**All together** is the sum of two such z: that of the distance in the plain measures, and that of a robust Mahalanobis
distance in the measures and the layers' sizes at once. It was chosen among thirty sums, maxima and ranks of distances
(docs/curation.md says on which pictures).

Sources: Sun, Ming, Zhu, Li, Out-of-Distribution Detection with Deep Nearest Neighbors, ICML 2022, arXiv 2204.06507 (the
distance); Rousseeuw, Croux, Alternatives to the Median Absolute Deviation, JASA 1993 (the standardisation);
Boudt, Rousseeuw, Vanduffel, Verdonck, The Minimum Regularized Covariance Determinant Estimator, Statistics and
Computing 2020, arXiv 1701.07086 (the robust distance).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from sklearn.covariance import LedoitWolf

from jepa_core.analysis.review_evidence import Evidence
from jepa_core.stats.neighbors import nearest

NEIGHBOURS = 10
"""Nearest images that are asked for their class, and the least k of a distance."""
SHARE = 0.1
"""Of a class, the k-th nearest that a distance is taken to: foreign images that are alike may be as many."""
LEAST_CLASS = 20
"""Images below which a class is held against the whole set."""
MOST_REFERENCES = 5000
"""Images of a class that distances are taken to, at most."""
_LEAST_SPREAD = 1e-3
_CLIPPED = 20.0  # median absolute deviations
_TO_DEVIATION = 1.4826  # a normal distribution's standard deviation in median absolute deviations
_ROWS = 4096  # images whose distances are taken at a time
_HELD, _NEAR = 0.95, 8.0  # of the layers' sizes' variance that is looked at, and where they are clipped for it
_CLEAN, _STEPS = 0.75, 5  # of a class that a robust covariance is taken of, and the steps to find it


@dataclass(frozen=True)
class Order:
    """An order: its title, what it is good for, and `of`, which gives each image's z (large: look at it first).

    `needs`: "scores" where it is made of full scores.
    """

    title: str
    finds: str  # the end of "puts first ..."
    of: Callable[[Evidence], Float[ndarray, "n"]]
    needs: str = ""


class Groups(NamedTuple):
    """The classes of a set: `judged` are the images of each, `among` those that they are held against."""

    judged: list[Int[ndarray, "some"]]
    among: list[Int[ndarray, "others"]]
    small: int  # classes that are held against the whole set


def groups(labels: ndarray) -> Groups:
    """The images of each class; those of classes with fewer than `LEAST_CLASS` together, against the whole set."""
    everything = np.arange(len(labels))
    names, sizes = np.unique(labels.astype(str), return_counts=True)
    large = [everything[labels == name] for name in names[sizes >= LEAST_CLASS]]
    few = everything[np.isin(labels.astype(str), names[sizes < LEAST_CLASS])]
    judged, among = [*large], [*large]
    if len(few):
        judged.append(few)
        among.append(everything)
    return Groups(judged, among, int((sizes < LEAST_CLASS).sum()))


def deviations(values: Float[ndarray, "n d"], by: Float[ndarray, "m d"]) -> Float[ndarray, "n d"]:
    """Columns less the median of `by`, in its median absolute deviations; a column that hardly varies is zero.

    What varies by less than `_LEAST_SPREAD` of its size is rounding, that of shipped values too.
    """
    middle = np.median(by, axis=0)
    spread = _TO_DEVIATION * np.median(np.abs(by - middle), axis=0)
    spread = np.where(spread > 0, spread, by.std(axis=0))
    told = spread > _LEAST_SPREAD * np.maximum(np.abs(middle), 1)
    return np.divide(values - middle, spread, out=np.zeros(values.shape), where=told)


def standardised(values: Float[ndarray, "n d"], by: Float[ndarray, "m d"]) -> Float[ndarray, "n d"]:
    """`deviations`, none larger than `_CLIPPED`: what a column that hardly varies says shall not decide alone."""
    return np.clip(deviations(values, by), -_CLIPPED, _CLIPPED)


def by_class(labels: ndarray, values_of: Callable[[ndarray], Float[ndarray, "some"]]) -> Float[ndarray, "n"]:
    """The standardised values of each class, side by side; `values_of(places)` gives those of some images.

    It is called for all images that a class is held against, since their spread is what its values are measured by.
    """
    found = np.zeros(len(labels))
    for judged, among in zip(*groups(labels)[:2], strict=True):
        values = values_of(among)
        kept = np.searchsorted(among, judged)
        found[judged] = deviations(values[kept, None], values[:, None])[:, 0]
    return found


def distances(points: Float[ndarray, "n d"]) -> Float[ndarray, "n"]:
    """The logarithm of each point's distance to its k-th nearest other point."""
    count = len(points)
    if count < 2:
        return np.zeros(count)
    drawn = _drawn(count)
    k = min(max(NEIGHBOURS, round(SHARE * len(drawn))), len(drawn) - 1)
    found = np.empty(count)
    itself = np.isin(np.arange(count), drawn)
    for first in range(0, count, _ROWS):
        part = slice(first, first + _ROWS)
        away, _places = nearest(points[part], points[drawn], k + 1)
        found[part] = np.where(itself[part], away[:, k], away[:, k - 1])
    return np.log(np.maximum(found, 1e-9))


def _drawn(count: int) -> Int[ndarray, "some"]:
    """The points that others are held against: all, or `MOST_REFERENCES` by a fixed seed."""
    if count <= MOST_REFERENCES:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, MOST_REFERENCES, replace=False))


def components(points: Float[ndarray, "n d"]) -> Float[ndarray, "n r"]:
    """The standardised principal components of points that hold `_HELD` of their variance, a quarter of n at most."""
    points = np.clip(points, -_NEAR, _NEAR)
    drawn = points[_drawn(len(points))]
    middle = drawn.mean(axis=0)
    _left, spread, axes = np.linalg.svd(drawn - middle, full_matrices=False)
    if not spread.any():
        return np.zeros((len(points), 1))
    held = int(np.searchsorted(np.cumsum(spread**2) / np.sum(spread**2), _HELD)) + 1
    found = (points - middle) @ axes[: max(1, min(held, len(drawn) // 4))].T
    return standardised(found, found)


def robust_distances(points: Float[ndarray, "n d"]) -> Float[ndarray, "n"]:
    """The logarithm of each point's Mahalanobis distance to the cleanest three quarters of them.

    `sqrt((x - m)^T C^-1 (x - m))`, m and C of those three quarters of the points whose distance is least, found by
    `_STEPS` steps from the half nearest to the medians; C is shrunk as Ledoit and Wolf do, since there may be fewer
    points than columns.
    """
    drawn = points[_drawn(len(points))]
    order = np.argsort((drawn**2).mean(axis=1), kind="stable")[: max(2, len(drawn) // 2)]
    for _step in range(_STEPS):
        away = LedoitWolf().fit(drawn[order]).mahalanobis(drawn)
        order = np.argsort(away, kind="stable")[: max(2, round(_CLEAN * len(drawn)))]
    away = LedoitWolf().fit(drawn[order]).mahalanobis(points)
    return 0.5 * np.log(np.maximum(away, 1e-9))


# --- what images are held against each other by -----------------------------------------------------------------------


def _within(points_of: Callable[[Evidence], ndarray]) -> Callable[[Evidence], ndarray]:
    """An order by the distance in a space of standardised columns."""

    def order(evidence: Evidence) -> ndarray:
        points = points_of(evidence).astype(np.float64)
        return by_class(evidence.labels, lambda some: distances(standardised(points[some], points[some])))

    return order


def _by_embedding(evidence: Evidence) -> ndarray:
    points = evidence.embeddings.astype(np.float64)
    return by_class(evidence.labels, lambda some: distances(points[some]))


def _of_scored(order: Callable[[Evidence], ndarray], *, spectra: bool = False) -> Callable[[Evidence], ndarray]:
    """The order of the images that have a score, or a spectrum; the others are NaN."""

    def of(evidence: Evidence) -> ndarray:
        found = np.full(len(evidence), np.nan)
        scored = np.isfinite(evidence.spectra).all(axis=1) if spectra else evidence.scored
        if scored.any():
            found[scored] = order(evidence.only(scored))
        return found

    return of


def _by_score(evidence: Evidence) -> ndarray:
    return -by_class(evidence.labels, lambda some: evidence.scores[some])


def _by_both_ends(evidence: Evidence) -> ndarray:
    return np.abs(_by_score(evidence))


def other_class(evidence: Evidence) -> tuple[Float[ndarray, "n"], list[str]]:
    """Of each image's `NEIGHBOURS` nearest in the embedding the share with another class, and which class most have."""
    points, labels = evidence.embeddings.astype(np.float64), evidence.labels.astype(str)
    count = len(points)
    shares, named = np.zeros(count), [""] * count
    if len(set(labels.tolist())) < 2:
        return shares, named
    drawn = _drawn(count)
    for first in range(0, count, _ROWS):
        rows = np.arange(first, min(first + _ROWS, count))
        _away, places = nearest(points[rows], points[drawn], NEIGHBOURS + 1)
        for row, found in zip(rows.tolist(), drawn[places], strict=True):
            others = labels[found[found != row][:NEIGHBOURS]]
            names, sizes = np.unique(others[others != labels[row]], return_counts=True)
            shares[row] = sizes.sum() / max(len(others), 1)
            named[row] = str(names[sizes.argmax()]) if len(names) else ""
    return shares, named


def _by_other_class(evidence: Evidence) -> ndarray:
    return other_class(evidence)[0]


by_measures = _within(lambda evidence: evidence.measures)
by_sizes = _within(lambda evidence: evidence.sizes)


def _together(evidence: Evidence) -> ndarray:
    """The distance in the measures, plus the robust distance in measures and layers' sizes at once."""
    measures, sizes = (values.astype(np.float64) for values in (evidence.measures, evidence.sizes))

    def jointly(some: ndarray) -> ndarray:
        points = standardised(sizes[some], sizes[some])
        return robust_distances(np.hstack([standardised(measures[some], measures[some]), components(points)]))

    return by_measures(evidence) + by_class(evidence.labels, jointly)


ORDERS: dict[str, Order] = {
    "all": Order("All together", "whatever is unlike its class", _together),
    "measures": Order("Plain measures", "pictures of another brightness, contrast, colour or sharpness", by_measures),
    "sizes": Order("Layers' sizes", "pictures that the encoder's layers react to otherwise", by_sizes),
    "embedding": Order("Embedding", "pictures far from their class for the encoder", _by_embedding),
    "spectrum": Order(
        "Spectrum",
        "pictures whose singular values are spread otherwise",
        _of_scored(_within(lambda evidence: evidence.spectra), spectra=True),
        needs="scores",
    ),
    "score": Order("Unlikely", "the least likely images of each class", _of_scored(_by_score), needs="scores"),
    "score-ends": Order(
        "Both ends", "the least and the most likely images of each class", _of_scored(_by_both_ends), needs="scores"
    ),
    "class": Order("Wrong class", "images whose nearest neighbours have another class", _by_other_class),
}
"""All orders by name; the first is the one that a review starts with."""


def ranked(values: Float[ndarray, "n"]) -> Int[ndarray, "n"]:
    """Places in an order, the largest value first; equal ones as they come, and those without a value last."""
    return np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")


def small_in_words(evidence: Evidence) -> str:
    """The sentence on classes that are too small to be held against themselves; "" where there are none."""
    small = groups(evidence.labels).small
    if not small:
        return ""
    which = "A class" if small == 1 else f"{small} classes"
    verb = "is" if small == 1 else "are"
    return f"{which} with fewer than {LEAST_CLASS} images {verb} held against the whole set."
