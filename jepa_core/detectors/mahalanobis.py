"""Mahalanobis distance to the training images, taken as one Gaussian.

Sources: Lee, Lee, Lee, Shin, A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial
Attacks, NeurIPS 2018, arXiv 1807.03888 (there one Gaussian a class; here no labels are known); the covariance of
embeddings is that of Ledoit and Wolf, A Well-Conditioned Estimator for Large-Dimensional Covariance Matrices, 2004. For
activations of layers: Sastry and Oore, Detecting Out-of-Distribution Examples with Gram Matrices, ICML 2020, arXiv
1912.12510, which sums deviations layer by layer.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from sklearn.covariance import LedoitWolf

from jepa_core.detectors.fingerprints import SHORT, WORDS, Fingerprint
from jepa_core.detectors.standardised import Whitened
from jepa_core.errors import NotEnoughData


class Mahalanobis:
    """Outlier score: `sqrt((x - m)^T C^-1 (x - m))`, with the mean m and the covariance C it was fitted on.

    Embeddings: C is shrunk towards a multiple of the identity by as much as their number calls for, so that it has an
    inverse even where there are fewer of them than dimensions. Every other fingerprint is standardised, and C is its
    correlation with `RIDGE` on the diagonal.
    """

    least = 2
    _white: Whitened | None

    def __init__(self, reads: Fingerprint = "embedding") -> None:
        self.reads: Fingerprint = reads
        plain = reads == "embedding"
        self.title = "Mahalanobis distance" if plain else f"Mahalanobis, {SHORT[reads]}"
        self.words = "Mahalanobis distance" + ("" if plain else f" of {WORDS[reads]}")

    def fit(self, fingerprints: Float[ndarray, "n d"]) -> "Mahalanobis":
        """Estimate mean and covariance. Raises `NotEnoughData` for fewer than two images, which have no spread."""
        if len(fingerprints) < self.least:
            raise NotEnoughData(
                f"The Mahalanobis distance was given {len(fingerprints)} images to fit on; at least {self.least} are "
                "needed; score more of the training images."
            )
        if self.reads != "embedding":
            self._white = Whitened(fingerprints)
            self._precision = self._white.precision
            return self
        # In float32 the precision of a narrow direction would be rounding noise.
        gaussian = LedoitWolf().fit(fingerprints.astype(np.float64))
        self._center, self._precision, self._white = gaussian.location_, gaussian.precision_, None
        return self

    def score(self, fingerprints: Float[ndarray, "m d"]) -> Float[ndarray, "m"]:
        """Distance of each; judge only images that were not fitted on, to which the fit has bent."""
        apart = self.deviations(fingerprints)
        return np.sqrt(np.maximum(np.einsum("md,md->m", apart @ self._precision, apart), 0.0))

    def deviations(self, fingerprints: Float[ndarray, "m d"]) -> Float[ndarray, "m d"]:
        """How far each column lies from m: in its spreads, or for embeddings in their own unit."""
        if self._white is None:
            return fingerprints.astype(np.float64) - self._center
        return self._white.standardised(fingerprints)
