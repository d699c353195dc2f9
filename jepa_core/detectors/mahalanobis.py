"""Mahalanobis distance to the training embeddings, taken as one Gaussian.

Sources: Lee, Lee, Lee, Shin, A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial
Attacks, NeurIPS 2018, arXiv 1807.03888 (there one Gaussian a class; here no labels are known); the covariance is that
of Ledoit and Wolf, A Well-Conditioned Estimator for Large-Dimensional Covariance Matrices, 2004.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from sklearn.covariance import LedoitWolf

from jepa_core.errors import NotEnoughData


class Mahalanobis:
    """Outlier score: `sqrt((z - m)^T C^-1 (z - m))`, with the mean m and the covariance C it was fitted on.

    C is shrunk towards a multiple of the identity by as much as the number of embeddings calls for, so that it has an
    inverse even where there are fewer embeddings than dimensions.
    """

    title = words = "Mahalanobis distance"
    least = 2

    def fit(self, embeddings: Float[ndarray, "n dim"]) -> "Mahalanobis":
        """Estimate mean and covariance. Raises `NotEnoughData` for fewer than two embeddings, which have no spread."""
        if len(embeddings) < self.least:
            raise NotEnoughData(
                f"The Mahalanobis distance was given {len(embeddings)} embeddings to fit on; at least {self.least} are "
                "needed; score more of the training images."
            )
        # In float32 the precision of a narrow direction would be rounding noise.
        self._gaussian = LedoitWolf().fit(embeddings.astype(np.float64))
        return self

    def score(self, embeddings: Float[ndarray, "m dim"]) -> Float[ndarray, "m"]:
        """Distance of each embedding; judge only images that were not fitted on, to which the fit has bent."""
        return np.sqrt(self._gaussian.mahalanobis(embeddings.astype(np.float64)))
