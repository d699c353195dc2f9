"""What an embedding is worth: linear probe, nearest neighbours, effective rank, how Gaussian it is.

Probes are fitted on the train part; the strength of their penalty is chosen on the validation part; the test part is
only counted.
"""

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import nn

from jepa_core.pretrain.inputs import normalise, to_float
from jepa_core.pretrain.sigreg import epps_pulley

Features = Mapping[str, tuple[Float[ndarray, "n k"], Int[ndarray, "n"]]]
"""For each part ("train", "validation", perhaps "test") its embeddings and labels."""

_PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)
_NEIGHBOURS = 10
_DIRECTIONS = 1000
_QUANTILES = 41
_QUANTILE_DIRECTIONS = 200
_BATCH = 1024


class Probe(NamedTuple):
    """Accuracies by part, and the C that the validation part chose; neither where there are not two classes."""

    accuracy: dict[str, float]
    c: float | None


@torch.no_grad()
def embed(
    module: nn.Module, pictures: UInt8[torch.Tensor, "n channel height width"], data_config: dict[str, Any]
) -> Float[ndarray, "n k"]:
    """The embeddings of pictures in eval mode, where the module is; its mode is put back afterwards."""
    device = next(module.parameters()).device
    was_training = module.training
    module.eval()
    try:
        inputs = (normalise(to_float(chunk.to(device)), data_config) for chunk in pictures.split(_BATCH))
        chunks = [module(chunk).float().cpu() for chunk in inputs]
    finally:
        module.train(was_training)
    return torch.cat(chunks).numpy()


def linear_probe(parts: Features) -> Probe:
    """Multinomial logistic regression on standardised features, fitted on "train", its C chosen on "validation".

    Of equally good values the smallest C, the strongest penalty, is taken. Features outside the train part are
    standardised by the train part's mean and deviation. Where the train part has fewer than two classes there is
    nothing to fit, and no accuracy.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    if not _has_classes(parts):
        return Probe({}, None)
    fits = {
        c: make_pipeline(StandardScaler(), LogisticRegression(C=c, solver="newton-cg", max_iter=1000))
        for c in _PENALTIES
    }
    with threadpool_limits(1):  # matrices this small only lose by being shared out, most of all on a busy machine
        for fit in fits.values():
            fit.fit(*parts["train"])
    best = max(_PENALTIES, key=lambda c: (fits[c].score(*parts["validation"]), -c))
    return Probe({part: fits[best].score(*data) for part, data in parts.items() if part != "train"}, best)


def nearest_neighbours(parts: Features) -> dict[str, float]:
    """The accuracy, by part, of the majority among the 10 nearest train embeddings (Euclidean); {} without classes."""
    from sklearn.neighbors import KNeighborsClassifier

    if not _has_classes(parts):
        return {}
    fit = KNeighborsClassifier(_NEIGHBOURS).fit(*parts["train"])
    return {part: fit.score(*data) for part, data in parts.items() if part != "train"}


def _has_classes(parts: Features) -> bool:
    return len(np.unique(parts["train"][1])) > 1


def effective_rank(embeddings: Float[ndarray, "n k"]) -> float:
    """exp of the entropy of the covariance's eigenvalues as shares of their sum (Roy and Vetterli, EUSIPCO 2007).

    >>> round(effective_rank(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])), 6)
    2.0
    """
    centred = np.asarray(embeddings, dtype=np.float64)
    shares = np.square(np.linalg.svd(centred - centred.mean(axis=0), compute_uv=False))
    shares = shares[shares > 0] / shares.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def gaussianity(embeddings: Float[ndarray, "n k"]) -> float:
    """The mean Epps-Pulley statistic over 1000 fixed random directions; 1.06 for exact N(0, I) samples of any size."""
    return float(epps_pulley(_projections(embeddings, _DIRECTIONS)).mean())


def quantiles(embeddings: Float[ndarray, "n k"]) -> dict[str, list[float]]:
    """A Q-Q table: "embedding", the quantiles of the projections on 200 fixed random directions, pooled; "normal".

    At the 41 probabilities (i + 1/2) / 41. Both columns agree where the embeddings are N(0, I).
    """
    probabilities = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    pooled = _projections(embeddings, _QUANTILE_DIRECTIONS).numpy()
    return {
        "normal": [NormalDist().inv_cdf(probability) for probability in probabilities.tolist()],
        "embedding": np.quantile(pooled, probabilities).tolist(),
    }


def _projections(embeddings: Float[ndarray, "n k"], count: int) -> Float[torch.Tensor, "n count"]:
    """The embeddings along fixed random unit directions."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(embeddings.shape[1], count, generator=generator, dtype=torch.float64)
    return torch.from_numpy(embeddings).double() @ (directions / directions.norm(dim=0))
