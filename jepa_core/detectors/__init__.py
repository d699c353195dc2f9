"""Detectors on fingerprints of images: `fit` on some, `score` others; larger is more outlying.

Another detector is one small file here and its line in `DETECTORS`: the Domains and Check pages and `bench ood` all
take them from there.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from jaxtyping import Float
from numpy import ndarray

from jepa_core.detectors.fingerprints import Fingerprint
from jepa_core.detectors.knn import KNN
from jepa_core.detectors.mahalanobis import Mahalanobis
from jepa_core.detectors.norm import EmbeddingNorm
from jepa_core.detectors.residual import Residual


class Detector(Protocol):
    """What a detector has.

    `title` heads a column, `words` name it in a sentence, `reads` is what of an image it is given, `least` how many
    images a fit needs; 0 for a detector that is not fitted, so that there is no image it may not judge.
    """

    title: str
    words: str
    reads: Fingerprint

    @property
    def least(self) -> int:
        """How many images a fit needs."""
        ...

    def fit(self, fingerprints: Float[ndarray, "n d"]) -> "Detector":
        """Learn what is normal; raises `NotEnoughData` for fewer than `least`."""
        ...

    def score(self, fingerprints: Float[ndarray, "m d"]) -> Float[ndarray, "m"]:
        """Outlier score of each image; judge only images that were not fitted on."""
        ...


DETECTORS: dict[str, Callable[[], Detector]] = {
    "knn": KNN,
    "mahalanobis": Mahalanobis,
    "norm": EmbeddingNorm,
    "spectrum_knn": partial(KNN, reads="spectrum"),
    "spectrum_mahalanobis": partial(Mahalanobis, reads="spectrum"),
    "sizes_knn": partial(KNN, reads="sizes"),
    "sizes_mahalanobis": partial(Mahalanobis, reads="sizes"),
    "joint": partial(Mahalanobis, reads="joint"),
    "visible": partial(KNN, reads="visible"),
    "residual": Residual,
}
"""All detectors by name; each is called for a new one that is not fitted yet."""
