"""Neighbourhoods in the embedding, and UMAP: a picture of them in two dimensions.

UMAP (McInnes, Healy, Melville, arXiv 1802.03426) joins each point to its nearest neighbours and looks for places in the
plane where joined points lie together and others apart. It keeps neighbourhoods; distances between far groups, and the
sizes of groups, it does not. `kept_neighbours` and `distance_agreement` measure what a map has kept.
"""

import io
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Float32, Int
from numpy import ndarray
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr
from sklearn.neighbors import NearestNeighbors

from jepa_core.errors import NotEnoughData

NEIGHBOURS = 15  # each point is joined to so many, itself among them: UMAP's own default
LEAST = 10  # points; fewer have no neighbourhoods to speak of
_CLOSE = 0.1  # how close two points may come on the map ("min_dist"): UMAP's own default

Progress = Callable[[int, int], None]


def nearest(
    queries: Float[ndarray, "n k"], references: Float[ndarray, "m k"], count: int
) -> tuple[Float[ndarray, "n count"], Int[ndarray, "n count"]]:
    """Euclidean distances to, and indices of, the `count` nearest references of each query, nearest first.

    `count` may exceed the number of references; all of them are returned then.
    """
    finder = NearestNeighbors(n_neighbors=min(count, len(references))).fit(references)
    return finder.kneighbors(queries)


def umap_places(
    embeddings: Float[ndarray, "n k"],
    seed: int = 0,
    progress: Progress = lambda _done, _total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Float32[ndarray, "n 2"] | None:
    """Places (x, y) by UMAP of Euclidean neighbourhoods; None where it was cancelled.

    It starts from the first two principal components, which keeps more of the large-scale order than a random start
    (Kobak and Linderman, doi 10.1038/s41587-020-00809-z). The same embeddings and seed give the same places on one
    machine. Importing UMAP takes seconds, and much longer the first time: its code is compiled then.

    Raises `NotEnoughData` for fewer than `LEAST` points.
    """
    if len(embeddings) < LEAST:
        raise NotEnoughData(f"There are {len(embeddings)} different images; a map needs at least {LEAST}; add some.")
    progress(0, 0)
    from umap.umap_ import find_ab_params, fuzzy_simplicial_set, simplicial_set_embedding

    if cancelled():
        return None
    count = min(NEIGHBOURS, len(embeddings) - 1)
    # Exact neighbours: UMAP's own search is approximate above 4,096 points, and takes half a minute to be compiled.
    distances, neighbours = nearest(embeddings, embeddings, count)
    random = np.random.RandomState(seed)
    graph, _sigmas, _rhos = fuzzy_simplicial_set(
        embeddings, count, random, "euclidean", knn_indices=neighbours, knn_dists=distances.astype(np.float32)
    )
    spread, fall = find_ab_params(1.0, _CLOSE)
    try:
        places, _aside = simplicial_set_embedding(
            embeddings,
            graph,
            n_components=2,
            initial_alpha=1.0,
            a=spread,
            b=fall,
            gamma=1.0,
            negative_sample_rate=5,
            n_epochs=None,  # 500 up to 10,000 points, then 200
            init=_start(embeddings, random),
            random_state=random,
            metric="euclidean",
            metric_kwds={},
            densmap=False,
            densmap_kwds={},
            output_dens=False,
            tqdm_kwds={
                "disable": False,
                "bar_format": "{n} {total}",
                "mininterval": 0.2,
                "file": _Steps(progress, cancelled),
            },
        )
    except _Stopped:
        return None
    return places.astype(np.float32)


class _Stopped(Exception):
    """The person does not wait any longer."""


class _Steps(io.StringIO):
    """What UMAP's progress bar writes to: the only place from which its loop can be watched and left."""

    def __init__(self, progress: Progress, cancelled: Callable[[], bool]) -> None:
        super().__init__()
        self._progress, self._cancelled = progress, cancelled

    def write(self, text: str) -> int:
        if self._cancelled():
            raise _Stopped
        numbers = text.split()
        if len(numbers) == 2 and all(number.isdecimal() for number in numbers):
            self._progress(int(numbers[0]), int(numbers[1]))
        return len(text)


def _start(embeddings: Float[ndarray, "n k"], random: np.random.RandomState) -> Float[ndarray, "n 2"]:
    """The first two principal components, with a little noise: equal points could not be told apart."""
    centred = embeddings - embeddings.mean(0)
    _values, axes = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
    axes = axes[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])  # else their sign is a convention
    start = np.zeros((len(embeddings), 2))
    start[:, : axes.shape[1]] = centred @ axes
    scale = np.abs(start).max() or 1.0
    return start + random.normal(scale=1e-4 * scale, size=start.shape)


def kept_neighbours(embeddings: Float[ndarray, "n k"], places: Float[ndarray, "n 2"], count: int = NEIGHBOURS) -> float:
    """The share of each point's `count` nearest in the embedding that are among its `count` nearest on the map."""
    _distances, high = nearest(embeddings, embeddings, count + 1)
    _distances, low = nearest(places, places, count + 1)
    # The point itself is left out of both, wherever equal points have put it.
    shares = [
        len((set(a) - {i}) & (set(b) - {i})) / max(1, len(set(a) - {i}))
        for i, (a, b) in enumerate(zip(high.tolist(), low.tolist(), strict=True))
    ]
    return float(np.mean(shares))


def distance_agreement(embeddings: Float[ndarray, "n k"], places: Float[ndarray, "n 2"], seed: int = 0) -> float:
    """Spearman's correlation of distances in the embedding with those on the map, over up to 500 points."""
    chosen = np.random.default_rng(seed).permutation(len(embeddings))[:500]
    pairs = np.triu_indices(len(chosen), 1)
    high, low = (cdist(points[chosen], points[chosen])[pairs] for points in (embeddings, places))
    if np.ptp(high) == 0 or np.ptp(low) == 0:
        return float("nan")
    return float(spearmanr(high, low).statistic)
