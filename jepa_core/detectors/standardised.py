"""Fingerprints whose columns have units of their own, made comparable: each column by its own mean and spread."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

RIDGE = 1e-3
"""What is added to the variance 1 of each standardised column. The sizes of layers hang together closely, and what sets
foreign pictures apart lies in the narrow directions, which Ledoit and Wolf's shrinkage, best for the covariance and not
for its inverse, would drown: chosen on training pictures (`docs/decisions.md`)."""
_LEAST_SPREAD = 1e-2
"""Of a column in which all are alike, such as the mean of an attention map, whose rows sum to one: its rounding is no
spread. All columns are logarithms, or in units of which a hundredth is nothing."""


class Standardised:
    """`(x - mean) / spread`, column by column, with the mean and the standard deviation of what it was fitted on."""

    def __init__(self, fingerprints: Float[ndarray, "n d"]) -> None:
        values = fingerprints.astype(np.float64)
        self._mean, spread = values.mean(axis=0), values.std(axis=0)
        self._spread = np.where(spread > 0, spread, _LEAST_SPREAD)

    def __call__(self, fingerprints: Float[ndarray, "m d"]) -> Float[ndarray, "m d"]:
        """Other fingerprints on the same scale, in float64."""
        return (fingerprints.astype(np.float64) - self._mean) / self._spread


class Whitened:
    """Standardised columns turned and stretched so that they do not hang together: distances in them are Mahalanobis'.

    `ridge` is added to the diagonal of the correlation of what it was fitted on.
    """

    def __init__(self, fingerprints: Float[ndarray, "n d"], ridge: float = RIDGE) -> None:
        self._scale = Standardised(fingerprints)
        correlation = np.atleast_2d(np.cov(self._scale(fingerprints).T, bias=True))
        self.precision = np.linalg.inv(correlation + ridge * np.eye(len(correlation)))
        self._turn = np.linalg.cholesky(self.precision)

    def __call__(self, fingerprints: Float[ndarray, "m d"]) -> Float[ndarray, "m d"]:
        """Other fingerprints on the same scale, in float64."""
        return self._scale(fingerprints) @ self._turn

    def standardised(self, fingerprints: Float[ndarray, "m d"]) -> Float[ndarray, "m d"]:
        """Other fingerprints before they are turned."""
        return self._scale(fingerprints)
