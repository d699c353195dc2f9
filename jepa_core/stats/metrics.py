"""How well one score separates two sets, with the interval of it.

Outliers are the positives, and a larger score means more outlying. A JEPA-SCORE is high for likely images, so its
outlier score is `-jepa_score`.
"""

import numpy as np
from jaxtyping import Float, Num
from numpy import ndarray
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_curve

from jepa_core.errors import NotEnoughData
from jepa_core.stats.bootstrap import RESAMPLES, interval, times_drawn


def _check(inliers: ndarray, outliers: ndarray) -> None:
    if not inliers.size or not outliers.size:
        raise NotEnoughData(
            f"Separation was asked for {inliers.size} inliers and {outliers.size} outliers; at least one of each is "
            "needed; score both sets first."
        )


def _labelled(inliers: ndarray, outliers: ndarray) -> tuple[ndarray, ndarray]:
    _check(inliers, outliers)
    truth = np.concatenate([np.zeros(inliers.size), np.ones(outliers.size)])
    # Only the order counts, and scikit-learn refuses scores that are not finite, as that of a spectrum with a zero.
    return truth, rankdata(np.concatenate([inliers, outliers]), method="dense")


def auroc(inliers: Float[ndarray, "n"], outliers: Float[ndarray, "m"]) -> float:
    """Probability that a random outlier has a larger outlier score than a random inlier; a tie counts one half.

    0.5 is chance; below 0.5 the score is inverted for this pair of sets. Raises `NotEnoughData` for an empty set.

    >>> auroc(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    0.875
    """
    return float(auroc_each(inliers[:, None], outliers[:, None])[0])


def fpr95(inliers: Float[ndarray, "n"], outliers: Float[ndarray, "m"]) -> float:
    """Share of inliers called outliers at the threshold that catches at least 95 % of the outliers; smaller is better.

    >>> fpr95(np.array([0.0, 1.0]), np.array([2.0, 3.0]))
    0.0
    """
    false_positive, true_positive, _thresholds = roc_curve(*_labelled(inliers, outliers), drop_intermediate=False)
    return float(false_positive[np.argmax(true_positive >= 0.95)])


def aupr(inliers: Float[ndarray, "n"], outliers: Float[ndarray, "m"]) -> float:
    """Area under precision and recall, outliers being the positives: scikit-learn's average precision.

    It is sum over thresholds of (R_i - R_(i-1)) P_i, with the recall R_i and the precision P_i of all images at or
    above the i-th largest score; tied images pass together. Chance is the outliers' share of all images, m / (n + m),
    so only values for the same sets can be compared. Raises `NotEnoughData` for an empty set.

    >>> aupr(np.array([0.0, 1.0]), np.array([1.0, 2.0]))  # 1/2 at precision 1, then 1/2 at precision 2/3
    0.8333333333333333
    """
    return float(average_precision_score(*_labelled(inliers, outliers)))


METRICS = {"auroc": auroc, "fpr95": fpr95, "aupr": aupr}
"""All metrics by name, each a function of the inliers' and the outliers' scores."""

COLUMN_ENDS = ("", "_low", "_high")
"""What is behind a metric's name in a table: nothing for its value, then the ends of its interval."""


def auroc_each(inliers: Float[ndarray, "n k"], outliers: Float[ndarray, "m k"]) -> Float[ndarray, "k"]:
    """`auroc` of each column, all at once: with the ranks r of the outliers among all, (sum r - m (m + 1) / 2) / (n m).

    Ties have their mean rank, so they count one half. Raises `NotEnoughData` for an empty set.

    >>> auroc_each(np.array([[0.0, 1.0], [1.0, 2.0]]), np.array([[1.0, 0.0], [2.0, 0.5]]))
    array([0.875, 0.   ])
    """
    _check(inliers, outliers)
    n, m = len(inliers), len(outliers)
    ranks = rankdata(np.concatenate([inliers, outliers]), axis=0)[n:]
    return (ranks.sum(axis=0) - m * (m + 1) / 2) / (n * m)


def weighted_auroc(
    inliers: Float[ndarray, "n"],
    outliers: Float[ndarray, "m"],
    inlier_weights: Num[ndarray, "n draws"],
    outlier_weights: Num[ndarray, "m draws"],
) -> Float[ndarray, "draws"]:
    """`auroc` with weights v of the inliers x and w of the outliers y, once for each column of weights.

    sum over i, j of v_i w_j ([x_i < y_j] + [x_i = y_j] / 2) / (sum v sum w); 0 where all weights of a column are 0.

    >>> weighted_auroc(np.array([0.0, 1.0]), np.array([1.0]), np.array([[1], [3]]), np.array([[1]]))
    array([0.625])
    """
    _check(inliers, outliers)
    smaller, not_larger = _weight_below(inliers, inlier_weights, outliers)
    pairs = inlier_weights.sum(axis=0, dtype=np.float64) * outlier_weights.sum(axis=0, dtype=np.float64)
    return _area(smaller + not_larger, outlier_weights) / np.maximum(pairs, 1e-9)


def _weight_below(inliers: ndarray, weights: ndarray, outliers: ndarray) -> tuple[ndarray, ndarray]:
    """The weight (m, draws) of the inliers below each outlier, and of those not above it."""
    order = np.argsort(inliers)
    # The sum of the weights of the i smallest inliers; whole numbers stay whole, others add up in float64.
    kind = weights.dtype if weights.dtype.kind == "i" else np.float64
    below = np.zeros((len(inliers) + 1, weights.shape[1]), dtype=kind)
    np.cumsum(weights[order], axis=0, out=below[1:])
    first, last = (np.searchsorted(inliers[order], outliers, side=side) for side in ("left", "right"))
    return below[first], below[last]


def _area(twice: ndarray, weights: ndarray) -> ndarray:
    """The weight of the pairs in the right order, from twice the weight of the inliers below each outlier."""
    kind = np.int64 if twice.dtype.kind == weights.dtype.kind == "i" else np.float64
    return np.einsum("ij,ij->j", weights, twice, dtype=kind, casting="same_kind") / 2


def resampled(inliers: Float[ndarray, "n"], outliers: Float[ndarray, "m"]) -> dict[str, Float[ndarray, "resamples"]]:
    """Every one of `METRICS` on `RESAMPLES` bootstrap resamples: as many inliers and outliers, drawn with replacement.

    Raises `NotEnoughData` for an empty set.
    """
    _check(inliers, outliers)
    n, m = inliers.size, outliers.size
    # Each array is (images, resamples), so that a row is taken as one piece.
    times_in, times_out = times_drawn(n, m)
    smaller, not_larger = _weight_below(inliers, times_in, outliers)
    # The threshold is the first outlier from above at which 95 % of the drawn ones are caught.
    falling = np.argsort(-outliers)
    caught = np.cumsum(times_out[falling], axis=0, dtype=np.int32)
    threshold = falling[np.argmax(caught / m >= 0.95, axis=0)]
    passed = smaller[threshold, np.arange(RESAMPLES)]
    # At each outlier's own score: the drawn outliers at or above it, ties with it among them, and inliers likewise.
    at_or_above = caught[np.searchsorted(-outliers[falling], -outliers, side="right") - 1]
    found = at_or_above + (n - smaller)
    precision = np.divide(at_or_above, found, out=np.zeros(found.shape), where=times_out > 0)
    return {
        "auroc": _area(smaller + not_larger, times_out) / (n * m),
        "fpr95": (n - passed) / n,
        "aupr": np.einsum("ij,ij->j", times_out, precision) / m,
    }


def separation(inliers: Float[ndarray, "n"], outliers: Float[ndarray, "m"]) -> dict[str, float]:
    """Every one of `METRICS` by name with `COLUMN_ENDS` behind: its value and its bootstrap interval.

    Raises `NotEnoughData` for an empty set.
    """
    drawn = resampled(inliers, outliers)
    found: dict[str, float] = {}
    for name, metric in METRICS.items():
        values = (metric(inliers, outliers), *interval(drawn[name]))
        found |= {name + end: value for end, value in zip(COLUMN_ENDS, values, strict=True)}
    return found
