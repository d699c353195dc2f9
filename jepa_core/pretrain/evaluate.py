"""What an embedding is worth: linear probe, nearest neighbours, effective rank, how Gaussian it is.

Probes are fitted on the train part; the strength of their penalty is chosen on the validation part; the test part is
only counted.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import nn

from jepa_core.pretrain.sigreg import epps_pulley

Features = Mapping[str, tuple[Float[ndarray, "n k"], Int[ndarray, "n"]]]
"""For each part ("train", "validation", perhaps "test") its embeddings and labels."""

_PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)
_NEIGHBOURS = 10
_DIRECTIONS = 1000
_BATCH = 1024


class Probe(NamedTuple):
    """Accuracies by part, and the C that the validation part chose."""

    accuracy: dict[str, float]
    c: float


@torch.no_grad()
def embed(module: nn.Module, inputs: Float[torch.Tensor, "n channel height width"]) -> Float[ndarray, "n k"]:
    """The embeddings of normalised inputs in eval mode; the module's mode is put back afterwards."""
    was_training = module.training
    module.eval()
    try:
        chunks = [module(chunk).float().cpu() for chunk in inputs.split(_BATCH)]
    finally:
        module.train(was_training)
    return torch.cat(chunks).numpy()


def linear_probe(parts: Features) -> Probe:
    """Multinomial logistic regression on standardised features, fitted on "train", its C chosen on "validation".

    Of equally good values the smallest C, the strongest penalty, is taken. Features outside the train part are
    standardised by the train part's mean and deviation.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

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
    """The accuracy, by part, of the majority among the 10 nearest train embeddings (Euclidean)."""
    from sklearn.neighbors import KNeighborsClassifier

    fit = KNeighborsClassifier(_NEIGHBOURS).fit(*parts["train"])
    return {part: fit.score(*data) for part, data in parts.items() if part != "train"}


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
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(embeddings.shape[1], _DIRECTIONS, generator=generator, dtype=torch.float64)
    samples = torch.from_numpy(embeddings).double() @ (directions / directions.norm(dim=0))
    return float(epps_pulley(samples).mean())
