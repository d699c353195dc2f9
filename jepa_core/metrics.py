"""How well one score separates two sets. Outliers are the positives, and a larger score means more outlying.

A JEPA-SCORE is high for likely images, so its outlier score is `-jepa_score`.
"""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from sklearn.metrics import roc_auc_score, roc_curve

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
    return truth, np.concatenate([inliers, outliers])


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


def resampled(
    inliers: Float[ndarray, "n"], outliers: Float[ndarray, "m"]
) -> tuple[Float[ndarray, "resamples"], Float[ndarray, "resamples"]]:
    """AUROC and FPR95 of `RESAMPLES` bootstrap resamples: as many inliers and outliers, each drawn with replacement.

    The seed is fixed, so two scores of the same images (in the same order) are judged on the same draws, and the
    difference of their resampled values has an interval of its own. Raises `NotEnoughData` for an empty set.
    """
    _check(inliers, outliers)
    generator = np.random.default_rng(0)
    order = np.argsort(inliers)
    times_in = _times_drawn(generator, inliers.size)[:, order]
    times_out = _times_drawn(generator, outliers.size)
    # below[:, i]: how many drawn inliers are among the i smallest.
    below = np.pad(np.cumsum(times_in, axis=1), ((0, 0), (1, 0)))
    smaller = below[:, np.searchsorted(inliers[order], outliers, side="left")]
    not_larger = below[:, np.searchsorted(inliers[order], outliers, side="right")]
    half_pairs = (times_out * (smaller + not_larger)).sum(axis=1)
    # The threshold is the first outlier from above at which 95 % of the drawn ones are caught.
    falling = np.argsort(-outliers)
    caught = np.cumsum(times_out[:, falling], axis=1) / outliers.size
    threshold = falling[np.argmax(caught >= 0.95, axis=1)]
    passed = smaller[np.arange(RESAMPLES), threshold]
    return half_pairs / (2 * inliers.size * outliers.size), (inliers.size - passed) / inliers.size


def interval(values: Float[ndarray, "resamples"]) -> tuple[float, float]:
    """The percentile bootstrap's interval: the middle `LEVEL` of the resampled values.

    It says what another choice of as many images would change. It has no width where all resamples agree, as at a
    perfect AUROC, and then claims too much.
    """
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _times_drawn(generator: np.random.Generator, size: int) -> Int[ndarray, "resamples size"]:
    """How often each of `size` images is in each resample."""
    drawn = generator.integers(size, size=(RESAMPLES, size)) + size * np.arange(RESAMPLES)[:, None]
    return np.bincount(drawn.ravel(), minlength=RESAMPLES * size).reshape(RESAMPLES, size)
