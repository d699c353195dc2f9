"""The JEPA-SCORE given what can be seen of a picture without knowing what it shows.

A score follows how simple, dark or grey a picture is (`jepa_core.confounds`). What is left of it after a regression on
such measures asks another question: is a picture unlikely among those that look as simple and as dark as it? That is a
view, and no cure: where a set differs by nothing else, nothing is left.

Regression: gradient-boosted trees on histograms, Ke and others, LightGBM, NeurIPS 2017, as scikit-learn has them.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from sklearn.ensemble import HistGradientBoostingRegressor

from jepa_core.detectors.fingerprints import Fingerprint
from jepa_core.errors import NotEnoughData

_TREES, _LEAVES, _RATE = 60, 8, 0.1  # small: the references are hundreds, and an overfit would leave nothing


class Residual:
    """Outlier score: the score that pictures with such visible measures have, less the picture's own."""

    title = "score given what is seen"
    words = "score given what is seen of the picture"
    reads: Fingerprint = "scored"
    least = 40

    def fit(self, fingerprints: Float[ndarray, "n d"]) -> "Residual":
        """Learn the score, the first column, from the others. Raises `NotEnoughData` for fewer than `least` images."""
        if len(fingerprints) < self.least:
            raise NotEnoughData(
                f"The score given what is seen was given {len(fingerprints)} images to fit on; at least {self.least} "
                "are needed; score more of the training images."
            )
        trees = HistGradientBoostingRegressor(
            max_iter=_TREES, max_leaf_nodes=_LEAVES, learning_rate=_RATE, early_stopping=False, random_state=0
        )
        self._trees = trees.fit(fingerprints[:, 1:], fingerprints[:, 0])
        return self

    def score(self, fingerprints: Float[ndarray, "m d"]) -> Float[ndarray, "m"]:
        """How much less likely each is than its equals; judge only images that were not fitted on."""
        return np.asarray(self._trees.predict(fingerprints[:, 1:]) - fingerprints[:, 0], dtype=np.float64)
