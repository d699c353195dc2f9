"""Length of the embedding: the Gaussian term alone.

`-|z|^2 / 2` is the log-density of an embedding under N(0, I), which LeJEPA's training asks for, so a long embedding
should be unlikely. In networks trained with labels it is the other way round, short ones being foreign (Tack, Mo,
Jeong, Shin, CSI, NeurIPS 2020, arXiv 2007.08176): an AUROC far below 0.5 says that an encoder is of that kind.
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from jepa_core.detectors.fingerprints import Fingerprint


class EmbeddingNorm:
    """Outlier score: `|z|`. Nothing is fitted, so it may judge any image."""

    title = words = "embedding norm"
    reads: Fingerprint = "embedding"
    least = 0

    def fit(self, embeddings: Float[ndarray, "n dim"]) -> "EmbeddingNorm":  # noqa: ARG002
        """Nothing to learn."""
        return self

    def score(self, embeddings: Float[ndarray, "m dim"]) -> Float[ndarray, "m"]:
        """Length of each embedding."""
        return np.linalg.norm(embeddings.astype(np.float64), axis=1)
