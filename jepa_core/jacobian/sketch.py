"""What a few vector-Jacobian products tell of a score: the sizes of the Jacobian along random whitened directions.

A full score is s = 1/2 log det G over the rank, with G = J J^T. For r directions D (r x K) the small Gram D G D^T costs
r products in place of K. Its Cholesky factor L has `log L_jj` as what direction j adds to those before it, so that

    1/2 log det(D G D^T) = sum_j log L_jj,

and the first j of the logs are those of the first j directions alone: who knows r of them knows any fewer.

Directions are random orthonormal rows of the whitener W of a mean Gram (W mean(G) W^T = I), since along the plain ones
the few largest singular values hide all others. Directions that were fitted to the scores of calibration images were no
better for other images than these (docs/performance.md).
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

SHARE = 6
"""At most one direction for every so many numbers of the embedding: more products are better spent on full scores."""


def most_rows(k: int) -> int:
    """How many directions are kept for an embedding of K numbers.

    >>> most_rows(384)
    64
    """
    return max(1, round(k / SHARE))


def whitened_directions(
    mean_gram: Float[ndarray, "k k"], rank: int, count: int, seed: int = 0
) -> Float[ndarray, "count k"]:
    """Random directions D (count, K) with D mean(G) D^T = I.

    >>> mean = np.diag([4.0, 1.0])
    >>> found = whitened_directions(mean, rank=2, count=2)
    >>> np.allclose(found @ mean @ found.T, np.eye(2))
    True
    """
    eigenvalues, vectors = np.linalg.eigh(mean_gram)
    floor = eigenvalues[-1] * np.finfo(np.float32).eps ** 2
    whitener = (vectors[:, -rank:] / np.sqrt(np.maximum(eigenvalues[-rank:], floor))).T
    rows = np.linalg.qr(np.random.default_rng(seed).standard_normal((rank, min(count, rank))))[0].T
    return rows @ whitener


def log_pivots(small: Float[ndarray, "images r r"]) -> Float[ndarray, "images r"]:
    """`log L_jj` of each small Gram D G D^T = L L^T; NaN in the rows of those that are not positive definite.

    >>> log_pivots(np.array([[[1.0, 0.0], [0.0, np.e**2]]]))
    array([[0., 1.]])
    """
    found = np.full(small.shape[:2], np.nan)
    for place, gram in enumerate(small):
        try:
            diagonal = np.diag(np.linalg.cholesky(gram))
        except np.linalg.LinAlgError:
            continue
        if np.isfinite(diagonal).all() and (diagonal > 0).all():
            found[place] = np.log(diagonal)
    return found
