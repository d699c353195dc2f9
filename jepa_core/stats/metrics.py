"""How well one score separates two sets, and how alike two scores order one set, each with its interval.

Outliers are the positives, and a larger score means more outlying. A JEPA-SCORE is high for likely images, so its
outlier score is `-jepa_score`.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int32
from numpy import ndarray
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from jepa_core.errors import NotEnoughData

LEVEL = 0.9  # of every interval, those of the sketch's estimates too
RESAMPLES = 500


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
    return float(roc_auc_score(*_labelled(inliers, outliers)))


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

ENDS = ("", "_low", "_high")
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


def resampled(inliers: Float[ndarray, "n"], outliers: Float[ndarray, "m"]) -> dict[str, Float[ndarray, "resamples"]]:
    """Every one of `METRICS` on `RESAMPLES` bootstrap resamples: as many inliers and outliers, drawn with replacement.

    The seed is fixed, so two scores of the same images (in the same order) are judged on the same draws, and the
    difference of their resampled values has an interval of its own. Raises `NotEnoughData` for an empty set.
    """
    _check(inliers, outliers)
    n, m = inliers.size, outliers.size
    times_in, times_out = _times_drawn(n, m)
    # Each array is (images, resamples), so that a row is taken as one piece.
    order = np.argsort(inliers)
    # below[i]: how many drawn inliers are among the i smallest.
    below = np.zeros((n + 1, RESAMPLES), dtype=np.int32)
    np.cumsum(times_in[order], axis=0, out=below[1:])
    smaller = below[np.searchsorted(inliers[order], outliers, side="left")]
    not_larger = below[np.searchsorted(inliers[order], outliers, side="right")]
    half_pairs = np.einsum("ij,ij->j", times_out, smaller + not_larger, dtype=np.int64)
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
        "auroc": half_pairs / (2 * n * m),
        "fpr95": (n - passed) / n,
        "aupr": np.einsum("ij,ij->j", times_out, precision) / m,
    }


def interval(values: Float[ndarray, "resamples"]) -> tuple[float, float]:
    """The percentile bootstrap's interval: the middle `LEVEL` of the resampled values.

    It says what another choice of as many images would change. It has no width where all resamples agree, as at a
    perfect AUROC, and then claims too much.
    """
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def separation(inliers: Float[ndarray, "n"], outliers: Float[ndarray, "m"]) -> dict[str, float]:
    """Every one of `METRICS` by name with `ENDS` behind: its value and its bootstrap interval.

    Raises `NotEnoughData` for an empty set.
    """
    drawn = resampled(inliers, outliers)
    found: dict[str, float] = {}
    for name, metric in METRICS.items():
        values = (metric(inliers, outliers), *interval(drawn[name]))
        found |= {name + end: value for end, value in zip(ENDS, values, strict=True)}
    return found


_KEPT_DRAWS = 8  # of sets of up to so many images together; as many as 50 MB
_KEPT_IMAGES = 3000


def _times_drawn(*sizes: int) -> tuple[Int32[ndarray, "size resamples"], ...]:
    """How often each image is in each resample, for sets of these sizes; the same each time, so it is kept."""
    return (_drawn_and_kept if sum(sizes) <= _KEPT_IMAGES else _drawn)(*sizes)


def _drawn(*sizes: int) -> tuple[Int32[ndarray, "size resamples"], ...]:
    generator = np.random.default_rng(0)
    counted = []
    for size in sizes:
        drawn = generator.integers(size, size=(RESAMPLES, size)) + size * np.arange(RESAMPLES)[:, None]
        times = np.bincount(drawn.ravel(), minlength=RESAMPLES * size).reshape(RESAMPLES, size)
        counted.append(np.ascontiguousarray(times.T, dtype=np.int32))
    return tuple(counted)


_drawn_and_kept = lru_cache(maxsize=_KEPT_DRAWS)(_drawn)


def rank_correlation(first: Float[ndarray, "n"], second: Float[ndarray, "n"]) -> tuple[float, float, float]:
    """Spearman's rho of two columns, and its bootstrap `interval` over `RESAMPLES` draws of n rows (the seed is fixed).

    rho is Pearson's correlation of the mid-ranks. Among drawn rows the mid-rank of a value is (b + a + 1) / 2, with b
    of them below it and a not above it: a sum along the sorted column, so no draw is sorted anew. All three are NaN
    where a column has one value only, which is no order.
    """
    if min(np.unique(first).size, np.unique(second).size) < 2:
        return float("nan"), float("nan"), float("nan")
    n = first.size
    columns = []
    for values in (first, second):
        order = np.argsort(values)
        below, not_above = (np.searchsorted(values[order], values, side=side) for side in ("left", "right"))
        columns.append((order, below, not_above))
    generator = np.random.default_rng(0)
    drawn = np.full(RESAMPLES, np.nan)
    for resample in range(RESAMPLES):
        times = np.bincount(generator.integers(n, size=n), minlength=n)
        one, other = (_drawn_ranks(times, *column) - (n + 1) / 2 for column in columns)
        spread = np.sqrt((times @ one**2) * (times @ other**2))
        if spread > 0:  # a draw may hit one value only
            drawn[resample] = times @ (one * other) / spread
    low, high = interval(drawn[~np.isnan(drawn)])
    return float(spearmanr(first, second).statistic), low, high


def _drawn_ranks(times: ndarray, order: ndarray, below: ndarray, not_above: ndarray) -> ndarray:
    """The mid-rank of each row's value among the drawn rows, `times` being how often each row was drawn."""
    smallest = np.concatenate([[0], np.cumsum(times[order])])
    return (smallest[below] + smallest[not_above] + 1) / 2
