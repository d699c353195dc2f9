"""Distributions whose density is known: Gaussian mixtures by a fixed law, two moons, rings. NumPy only.

**The law of the mixtures** (fixed before any encoder was trained on them): three components; weights from a Dirichlet
distribution with all parameters 5; means from N(0, spread^2 / (2 D) I), so that two of them are `spread` apart on
average (root mean square) in any dimension D; each covariance has independent, uniformly random axes and standard
deviations drawn log-uniformly between 1/2 and 1. A mixture is known by D and its seed. Settings of the training were
chosen on seeds from 100 on; what is reported has seeds 0, 1, 2.

Moons and rings are equal mixtures of round Gaussians of standard deviation `WIDTH` along a curve, which makes their
density a finite sum.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import logsumexp

COMPONENTS = 3
SPREAD = 4.0
WIDTH = 0.12
_POINTS = 200  # along a curve


@dataclass(frozen=True, eq=False)
class Mixture:
    """sum_c weights_c N(means_c, factors_c factors_c^T), with weights (c), means (c, D) and factors (c, D, D)."""

    weights: ndarray
    means: ndarray
    factors: ndarray

    @property
    def dim(self) -> int:
        """D."""
        return self.means.shape[1]

    def sample(self, count: int, seed: int | tuple[int, ...]) -> Float[ndarray, "n dim"]:
        """`count` independent points."""
        generator = np.random.default_rng(seed)
        of = generator.choice(len(self.weights), count, p=self.weights)
        noise = generator.normal(size=(count, self.dim))
        for component in np.unique(of):  # not all at once: a factor for each point would take gigabytes
            mine = of == component
            noise[mine] = self.means[component] + noise[mine] @ self.factors[component].T
        return noise

    def log_density(self, points: Float[ndarray, "n dim"]) -> Float[ndarray, "n"]:
        """log p(x), by the log of a sum of exponentials."""
        whitened = np.einsum("cij,cnj->cni", np.linalg.inv(self.factors), points[None] - self.means[:, None])
        volumes = np.linalg.slogdet(self.factors).logabsdet + self.dim * np.log(2 * np.pi) / 2
        parts = np.log(self.weights)[:, None] - 0.5 * np.square(whitened).sum(axis=-1) - volumes[:, None]
        return logsumexp(parts, axis=0)


def drawn(dim: int, seed: int, spread: float = SPREAD, components: int = COMPONENTS) -> Mixture:
    """The mixture of that dimension and seed by the law above."""
    generator = np.random.default_rng((dim, seed))
    weights = generator.dirichlet(np.full(components, 5.0))
    means = generator.normal(size=(components, dim)) * spread / np.sqrt(2 * dim)
    axes = np.linalg.qr(generator.normal(size=(components, dim, dim))).Q
    deviations = np.exp(generator.uniform(np.log(0.5), 0.0, size=(components, 1, dim)))
    return Mixture(weights, means, axes * deviations)


def moons() -> Mixture:
    """Two half circles of radius 1 that reach into each other, about the origin."""
    angles = np.linspace(0, np.pi, _POINTS // 2)
    upper = np.stack([np.cos(angles) - 0.5, np.sin(angles) - 0.25], axis=1)
    return _along(np.concatenate([upper, -upper]))


def rings() -> Mixture:
    """Two circles about the origin, of radius 0.7 and 1.6, with as many points on either."""
    angles = np.linspace(0, 2 * np.pi, _POINTS // 2, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return _along(np.concatenate([0.7 * circle, 1.6 * circle]))


def _along(points: ndarray) -> Mixture:
    count, dim = points.shape
    return Mixture(np.full(count, 1 / count), points, np.tile(WIDTH * np.eye(dim), (count, 1, 1)))


def gaussian_log_density(fitted: Float[ndarray, "m dim"], points: Float[ndarray, "n dim"]) -> Float[ndarray, "n"]:
    """log-density, up to a constant, of one Gaussian with the mean and covariance of `fitted`.

    A pseudo-inverse takes the place of the inverse where there are too few points for a covariance of full rank.
    """
    centred = points - fitted.mean(axis=0)
    inverse = np.linalg.pinv(np.atleast_2d(np.cov(fitted, rowvar=False)), hermitian=True)
    return -0.5 * np.einsum("ni,ij,nj->n", centred, inverse, centred)
