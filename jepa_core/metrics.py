"""How well one score separates two sets. Outliers are the positives, and a larger score means more outlying.

A JEPA-SCORE is high for likely images, so its outlier score is `-jepa_score`.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from sklearn.metrics import roc_auc_score, roc_curve

from jepa_core.errors import NotEnoughData


def _labelled(inliers: ndarray, outliers: ndarray) -> tuple[ndarray, ndarray]:
    if not inliers.size or not outliers.size:
        raise NotEnoughData(
            f"Separation was asked for {inliers.size} inliers and {outliers.size} outliers; at least one of each is "
            "needed; score both sets first."
        )
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
