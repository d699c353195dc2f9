"""UMAP: a picture of the neighbourhoods of embeddings in two dimensions.

UMAP (McInnes, Healy, Melville, arXiv 1802.03426) joins each point to its nearest neighbours and looks for places in the
plane where joined points lie together and others apart. It keeps neighbourhoods; distances between far groups, and the
sizes of groups, it does not. `kept_neighbours` and `distance_agreement` measure what a map has kept.
"""

import io
import warnings

import numpy as np
from jaxtyping import Float, Float32
from numpy import ndarray
from scipy.spatial.distance import cdist

from jepa_core.errors import NotEnoughData
from jepa_core.progress import Cancelled, Progress, never, silent
from jepa_core.stats.neighbors import nearest
from jepa_core.stats.rank_correlation import spearman

NEIGHBOURS = 15  # each point is joined to so many, itself among them: UMAP's own default
LEAST_POINTS = 10  # points; fewer have no neighbourhoods to speak of
_CLOSE = 0.1  # how close two points may come on the map ("min_dist"): UMAP's own default


def umap_places(
    embeddings: Float[ndarray, "n k"],
    seed: int = 0,
    progress: Progress = silent,
    cancelled: Cancelled = never,
) -> Float32[ndarray, "n 2"] | None:
    """Places (x, y) by UMAP of Euclidean neighbourhoods; None where it was cancelled.

    It starts from the first two principal components, which keeps more of the large-scale order than a random start
    (Kobak and Linderman, doi 10.1038/s41587-020-00809-z). The same embeddings and seed give the same places on one
    machine. Importing UMAP takes seconds, and much longer the first time: its code is compiled then.

    Raises `NotEnoughData` for fewer than `LEAST_POINTS` points.
    """
    if len(embeddings) < LEAST_POINTS:
        raise NotEnoughData(
            f"There are {len(embeddings)} different images; a map needs at least {LEAST_POINTS}; add some."
        )
    progress(0, 0)
    from umap import UMAP

    if cancelled():
        return None
    count = min(NEIGHBOURS, len(embeddings) - 1)
    # Exact neighbours: UMAP's own search is approximate above 4,096 points, and takes half a minute to be compiled.
    distances, neighbours = nearest(embeddings, embeddings, count)
    random = np.random.RandomState(seed)
    mapper = UMAP(
        n_neighbors=count,
        min_dist=_CLOSE,
        precomputed_knn=(neighbours, distances.astype(np.float32)),
        init=_start(embeddings, random),
        random_state=random,
        n_jobs=1,  # what a seed asks for
        tqdm_kwds={
            "disable": False,
            "bar_format": "{n} {total}",
            "mininterval": 0.2,
            "file": _Steps(progress, cancelled),
        },
    )
    # It warns that other points cannot be placed on the map without an index of its own search; none are.
    warnings.filterwarnings("ignore", r"precomputed_knn\[2\]", UserWarning, "umap")
    try:
        return mapper.fit_transform(embeddings)
    except _Stopped:
        return None


class _Stopped(Exception):
    """The person does not wait any longer."""


class _Steps(io.StringIO):
    """What UMAP's progress bar writes to: the only place from which its loop can be watched and left."""

    def __init__(self, progress: Progress, cancelled: Cancelled) -> None:
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
    return spearman(high, low)
