"""The nearest neighbours of points."""

from jaxtyping import Float, Int
from numpy import ndarray
from sklearn.neighbors import NearestNeighbors


def nearest(
    queries: Float[ndarray, "n k"], references: Float[ndarray, "m k"], count: int
) -> tuple[Float[ndarray, "n count"], Int[ndarray, "n count"]]:
    """Euclidean distances to, and indices of, the `count` nearest references of each query, nearest first.

    `count` may exceed the number of references; all of them are returned then.
    """
    finder = NearestNeighbors(n_neighbors=min(count, len(references))).fit(references)
    return finder.kneighbors(queries)
