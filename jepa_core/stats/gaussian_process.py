"""Gaussian process regression over several sets of images at once, with leave-one-out errors in closed form.

The prior covariance of the values at x and x', standardised coordinates of F numbers each, is

    k(x, x') = a l(x, x') + b e(x, x') + 1[same set] (c + d l(x, x')),
    l(x, x') = x . x' / F,    e(x, x') = exp(-|x - x'|^2 / 2 F),

with noise of variance s on each value. The first two terms are what all sets have in common, the others what a set has
of its own: an offset, and a line that may differ. How much of either there is, the weights a, b, c, d and s, is chosen
by the marginal likelihood, so a set that is unlike the others takes little from them, and says so by a wide predictive
deviation.

Of a value that is left out the error and the deviation are `[K^-1 y]_i / [K^-1]_ii` and `[K^-1]_ii^(-1/2)`.

Source: Rasmussen, Williams, Gaussian Processes for Machine Learning, 2006, Eqs. 2.25, 2.26, 5.9, 5.12. The terms by
sets: Bonilla, Chai, Williams, Multi-task Gaussian Process Prediction, NeurIPS 2007.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.linalg import LinAlgError, cho_solve, cholesky
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

_CHOSEN_ON = 256
"""Points that the weights are chosen on, as many of each set where it has them: their number is taken to the cube."""
_PRIOR = np.log(np.array([1.0, 1.0, 1.0, 0.1, 0.01]))
"""The logs of the weights and the noise before anything is seen, in units of the values' variance."""
_SPREAD = 3.0
"""Standard deviation of the logs about `_PRIOR`: weak, for weights that nothing is known of."""
_JITTER = 1e-6


# BLAS with threads of its own loses on matrices this small: eight times as slow where another program has a core.
_one_thread = threadpool_limits.wrap(limits=1, user_api="blas")


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """A fitted regression; `fit` makes one.

    Attributes:
        points: standardised coordinates (n, F) of what it was fitted on, and `groups` (n) the set of each.
        center, scale: of the coordinates as they were given.
        mean, unit: of the values; all else is in standardised values.
        weights: a, b, c, d and the noise s.
        inverse: K^-1 (n, n), with the noise.
        values: the standardised values (n).
    """

    points: ndarray
    groups: ndarray
    center: ndarray
    scale: ndarray
    mean: float
    unit: float
    weights: ndarray
    inverse: ndarray
    values: ndarray

    @_one_thread
    def predict(
        self, points: Float[ndarray, "m features"], group: int
    ) -> tuple[Float[ndarray, "m"], Float[ndarray, "m"]]:
        """The mean and the standard deviation of the value, noise included, at points of one set."""
        standard = (points - self.center) / self.scale
        groups = np.full(len(standard), group)
        across = _covariance(self.weights, _terms(standard, groups, self.points, self.groups))
        a, b, c, d, noise = self.weights
        own = (a + d) * np.square(standard).mean(axis=1) + b + c + noise
        variance = own - np.einsum("ij,ij->i", across @ self.inverse, across)
        mean = across @ (self.inverse @ self.values)
        return self.mean + self.unit * mean, self.unit * np.sqrt(np.maximum(variance, _JITTER))

    def left_out(self) -> tuple[Float[ndarray, "n"], Float[ndarray, "n"]]:
        """The error of each value, left out, and the standard deviation that it was predicted with."""
        diagonal = np.diag(self.inverse)
        return self.unit * (self.inverse @ self.values) / diagonal, self.unit / np.sqrt(diagonal)


@_one_thread
def fit(
    points: Float[ndarray, "n features"], values: Float[ndarray, "n"], groups: Int[ndarray, "n"], seed: int = 0
) -> GaussianProcess:
    """Fit to values at points of several sets; coordinates that are the same everywhere say nothing and are left out.

    >>> x = np.random.default_rng(0).standard_normal((60, 3))
    >>> found = fit(x, x @ [1.0, 2.0, 0.0], np.zeros(60, int))
    >>> bool(np.abs(found.left_out()[0]).max() < 0.1)
    True
    """
    center, spread = points.mean(axis=0), points.std(axis=0)
    scale = np.where(spread > 1e-6 * np.abs(center) + np.finfo(float).tiny, spread, np.inf)
    standard, mean, unit = (points - center) / scale, float(values.mean()), float(values.std()) or 1.0
    target = (values - mean) / unit
    chosen = _balanced(groups, np.random.default_rng(seed))
    weights = _weights(_terms(standard[chosen], groups[chosen], standard[chosen], groups[chosen]), target[chosen])
    covariance = _covariance(weights, _terms(standard, groups, standard, groups))
    covariance[np.diag_indices_from(covariance)] += weights[-1] + _JITTER
    inverse = cho_solve((cholesky(covariance, lower=True), True), np.eye(len(values)))
    return GaussianProcess(standard, groups, center, scale, mean, unit, weights, inverse, target)


def _balanced(groups: ndarray, generator: np.random.Generator) -> ndarray:
    """Places of at most `_CHOSEN_ON` points: the first of each set in a random order, then the second, and so on."""
    order = generator.permutation(len(groups))
    turn = np.empty(len(groups), dtype=int)
    for group in np.unique(groups):
        places = order[groups[order] == group]
        turn[places] = np.arange(len(places))
    return np.sort(order[np.argsort(turn[order], kind="stable")][:_CHOSEN_ON])


def _terms(points: ndarray, groups: ndarray, others: ndarray, theirs: ndarray) -> list[ndarray]:
    """The four terms of the covariance between points and others, without their weights."""
    count = points.shape[1]
    same = (groups[:, None] == theirs).astype(float)
    linear = points @ others.T / count
    squares = np.square(points).sum(axis=1)[:, None] + np.square(others).sum(axis=1)
    near = np.exp(np.minimum(linear - squares / (2 * count), 0))
    return [linear, near, same, same * linear]


def _covariance(weights: ndarray, terms: list[ndarray]) -> ndarray:
    return sum((weight * term for weight, term in zip(weights[:-1], terms, strict=True)), np.zeros_like(terms[0]))


def _weights(terms: list[ndarray], target: ndarray) -> ndarray:
    """The weights and the noise of the largest posterior: marginal likelihood times a weak log-normal prior."""
    diagonal = np.diag_indices(len(target))

    def loss(logs: ndarray) -> tuple[float, ndarray]:
        weights = np.exp(logs)
        covariance = _covariance(weights, terms)
        covariance[diagonal] += weights[-1] + _JITTER
        try:
            lower = cholesky(covariance, lower=True)
        except LinAlgError:
            return 1e10, np.zeros_like(logs)
        inverse = cho_solve((lower, True), np.eye(len(target)))
        solved = inverse @ target
        value = 0.5 * target @ solved + np.log(lower[diagonal]).sum()
        slopes = [0.5 * (np.vdot(inverse, term) - solved @ term @ solved) for term in terms]
        slopes.append(0.5 * (np.trace(inverse) - solved @ solved))
        away = (logs - _PRIOR) / _SPREAD
        return value + 0.5 * away @ away, np.array(slopes) * weights + away / _SPREAD

    return np.exp(minimize(loss, _PRIOR, jac=True, method="L-BFGS-B", options={"maxiter": 25}).x)
