"""Baselines on embeddings: `fit` on some, `score` others; larger is more outlying.

Another detector is one small file here and its line in `DETECTORS`: the Domains and Check pages and `bench ood` all
take them from there.
"""

from collections.abc import Callable
from typing import Protocol

from jaxtyping import Float
from numpy import ndarray

from jepa_core.detectors.knn import KNN
from jepa_core.detectors.mahalanobis import Mahalanobis
from jepa_core.detectors.norm import EmbeddingNorm


class Detector(Protocol):
    """What a detector has.

    `title` heads a column, `words` name it in a sentence, `least` is how many embeddings a fit needs; 0 for a detector
    that is not fitted, so that there is no image it may not judge.
    """

    title: str
    words: str

    @property
    def least(self) -> int:
        """How many embeddings a fit needs."""
        ...

    def fit(self, embeddings: Float[ndarray, "n dim"]) -> "Detector":
        """Learn what is normal; raises `NotEnoughData` for fewer than `least`."""
        ...

    def score(self, embeddings: Float[ndarray, "m dim"]) -> Float[ndarray, "m"]:
        """Outlier score of each embedding; judge only images that were not fitted on."""
        ...


DETECTORS: dict[str, Callable[[], Detector]] = {"knn": KNN, "mahalanobis": Mahalanobis, "norm": EmbeddingNorm}
"""All detectors by name; each is called for a new one that is not fitted yet."""
