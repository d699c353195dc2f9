"""Distance to the k-th nearest training image.

Source: Sun, Ming, Zhu, Li, Out-of-Distribution Detection with Deep Nearest Neighbors, ICML 2022, arXiv 2204.06507, for
embeddings.
"""

from jaxtyping import Float
from numpy import ndarray

from jepa_core.detectors.fingerprints import SHORT, WORDS, Fingerprint
from jepa_core.detectors.standardised import Standardised, Whitened
from jepa_core.errors import NotEnoughData
from jepa_core.stats.neighbors import nearest

_SCALES: dict[Fingerprint, type[Standardised] | type[Whitened]] = {
    "spectrum": Standardised,
    "sizes": Whitened,
    "joint": Whitened,
    "visible": Whitened,
}


class KNN:
    """Outlier score: Euclidean distance to the k-th nearest fingerprint it was fitted on.

    Embeddings are taken as they are, spectra standardised, and whitened what has columns with units of their own.
    """

    def __init__(self, k: int = 10, reads: Fingerprint = "embedding") -> None:
        self.k = self.least = k
        self.reads: Fingerprint = reads
        plain = reads == "embedding"
        self.title = f"{k}-NN distance" if plain else f"{k}-NN, {SHORT[reads]}"
        self.words = f"distance to the {k}th nearest training image" + ("" if plain else f" in {WORDS[reads]}")

    def fit(self, fingerprints: Float[ndarray, "n d"]) -> "KNN":
        """Keep the training images' fingerprints. Raises `NotEnoughData` for fewer than k."""
        if len(fingerprints) < self.k:
            raise NotEnoughData(
                f"{self.k}-nearest-neighbours was given {len(fingerprints)} images to fit on; at least {self.k} are "
                "needed; score more of the training images."
            )
        self._scale = _SCALES[self.reads](fingerprints) if self.reads in _SCALES else None
        self._known = fingerprints if self._scale is None else self._scale(fingerprints)
        return self

    def score(self, fingerprints: Float[ndarray, "m d"]) -> Float[ndarray, "m"]:
        """Distance of each; judge only images that were not fitted on, which are their own neighbours."""
        queries = fingerprints if self._scale is None else self._scale(fingerprints)
        distances, _indices = nearest(queries, self._known, self.k)
        return distances[:, -1]
