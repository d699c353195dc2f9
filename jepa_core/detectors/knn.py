"""Distance to the k-th nearest training embedding.

Source: Sun, Ming, Zhu, Li, Out-of-Distribution Detection with Deep Nearest Neighbors, ICML 2022, arXiv 2204.06507.
"""

from jaxtyping import Float
from numpy import ndarray

from jepa_core.errors import NotEnoughData
from jepa_core.stats.neighbors import nearest


class KNN:
    """Outlier score: Euclidean distance to the k-th nearest embedding it was fitted on."""

    def __init__(self, k: int = 10) -> None:
        self.k = self.least = k
        self.title = f"{k}-NN distance"
        self.words = f"distance to the {k}th nearest training image"

    def fit(self, embeddings: Float[ndarray, "n dim"]) -> "KNN":
        """Keep the training embeddings. Raises `NotEnoughData` for fewer than k."""
        if len(embeddings) < self.k:
            raise NotEnoughData(
                f"{self.k}-nearest-neighbours was given {len(embeddings)} embeddings to fit on; at least {self.k} are "
                "needed; score more of the training images."
            )
        self._embeddings = embeddings
        return self

    def score(self, embeddings: Float[ndarray, "m dim"]) -> Float[ndarray, "m"]:
        """Distance of each embedding; judge only images that were not fitted on, which are their own neighbours."""
        distances, _indices = nearest(embeddings, self._embeddings, self.k)
        return distances[:, -1]
