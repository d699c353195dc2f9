"""The calibrated sketch: a score from r vector-Jacobian products in place of K, with an interval.

A full score is s = 1/2 log det G over the rank, with G = J J^T. A sketch knows two cheaper things of an image:

- `small`, the r x r Gram D G D^T of r chosen directions D, which costs r products;
- `features`, numbers that come with the forward pass: the embedding, and the sizes of the layers' slopes, attention
  maps and inverse standard deviations, of which the Jacobian is made. They cost no product at all.

Both are calibrated on images of the dataset that have a full score:

- D starts as random orthonormal rows of the whitener W (the inverse square root of the mean Gram within the rank) and
  is then chosen so that log det(D G D^T) correlates best with the score over the calibration images;
- a ridge regression predicts the score from the features, its strength chosen by leave-one-out error;
- both predictions are mixed by least squares. What is mixed, and all errors, come from predictions for images that were
  left out (`FOLDS` parts), since a chosen D fits the images that it was chosen on almost perfectly.

The 90 % interval is the quantile of those errors (split conformal prediction: it holds on average for images drawn like
the calibration images). An image gets a wider interval, and is flagged because it needs a full score, where it is
farther from them than all but `NEEDLESS` of them are from each other, or where the two predictions disagree more than
they do for any of them.
"""

import io
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.optimize import minimize
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeCV
from threadpoolctl import threadpool_limits

from jepa_core.errors import NotEnoughData
from jepa_core.images import digest
from jepa_core.stats.neighbors import nearest

FORMAT = 2
"""Changes with the arrays of a calibration and what they mean; kept ones of another format are not found."""
LEAST_IMAGES = 16
"""Calibration on fewer images is refused."""
COVERAGE = 0.9
"""Nominal coverage of the interval."""
NEEDLESS = 0.05
"""Share of the images like the calibration images that are flagged for their distance, and scored fully for nothing.

The largest distance among the calibration images is no bound for it: a single odd one of them hid a quarter of the
pictures of other kinds, whose estimates were half a spread off."""
FOLDS = 6
# D interpolates the calibration scores soon; more steps change nothing for other images.
_STEPS = 40
# Strengths of the ridge, in units of the features' variance.
_STRENGTHS = np.logspace(-2, 6, 33)
_NEIGHBOURS = 5


@dataclass(frozen=True, eq=False)
class Estimates:
    """Estimated scores with their intervals; `far` marks images unlike the calibration images: score them fully."""

    score: ndarray
    low: ndarray
    high: ndarray
    far: ndarray


@dataclass(frozen=True, eq=False)
class Calibration:
    """What turns small Grams and features into scores. All of it is arrays, so it can be stored and compared."""

    directions: ndarray  # D (r, K)
    line: ndarray  # slope and offset: 1/2 log det(D G D^T) -> score
    center: ndarray  # of the features
    scale: ndarray
    weights: ndarray  # of the standardised features
    offset: ndarray
    mix: ndarray  # shares of the sketch's and the features' prediction, and a constant
    known: ndarray  # standardised features of the calibration images
    half_width: ndarray  # of the interval, for images like the calibration images
    usual: ndarray  # the distance and the disagreement that `COVERAGE` of the calibration images stay below
    limits: ndarray  # the distance and the disagreement above which an image is flagged
    fidelity: ndarray  # Spearman between left-out predictions and scores of the calibration images

    @property
    def r(self) -> int:
        """Products an image."""
        return len(self.directions)

    @cached_property
    def id(self) -> str:
        """A digest of everything: equal ids give equal estimates."""
        return digest(self.to_bytes())[:16]

    def to_bytes(self) -> bytes:
        """The arrays as an .npz file without a time stamp."""
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **{field.name: getattr(self, field.name) for field in fields(self)})
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Calibration":
        """The inverse of `to_bytes`."""
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return cls(**{name: arrays[name] for name in arrays.files})

    def estimate(self, small: Float[ndarray, "images r r"], features: Float[ndarray, "images features"]) -> Estimates:
        """Scores of images from their small Grams D G D^T and features; not finite where those are not."""
        by_sketch = self.line[0] * _half_log_det(small) + self.line[1]
        standard = (features - self.center) / self.scale
        by_features = standard @ self.weights + self.offset
        score = self.mix[0] * by_sketch + self.mix[1] * by_features + self.mix[2]
        apart = np.stack([_distance(self.known, standard), np.abs(by_sketch - by_features)])
        widening = np.maximum(1.0, (apart / self.usual[:, None]).max(axis=0))
        half = self.half_width * widening
        far = np.any(apart > self.limits[:, None], axis=0)
        return Estimates(score, score - half, score + half, np.asarray(far))


def calibrate(
    grams: Float[ndarray, "images k k"], features: Float[ndarray, "images features"], rank: int, r: int, seed: int = 0
) -> Calibration:
    """Calibrate a sketch of r products on images with full Grams.

    Raises `NotEnoughData` for fewer than `LEAST_IMAGES` images.
    """
    count = len(grams)
    if count < LEAST_IMAGES:
        raise NotEnoughData(
            f"A sketch was to be calibrated on {count} images; at least {LEAST_IMAGES} are needed; "
            "choose a larger dataset or full scores."
        )
    # BLAS with threads of its own loses on matrices this small: eight times as slow where another program has a core.
    with threadpool_limits(1, "blas"):
        return _calibrate(grams, features, rank, r, np.random.default_rng(seed))


def _calibrate(grams: ndarray, features: ndarray, rank: int, r: int, generator: np.random.Generator) -> Calibration:
    count, scores = len(grams), _scores(grams, rank)
    left_out = np.empty((2, count))
    order = generator.permutation(count)
    for part in range(FOLDS):
        outside = order[part::FOLDS]
        inside = np.setdiff1d(order, outside)
        line, directions = _fit_directions(grams[inside], scores[inside], rank, r, generator)
        ridge = _fit_ridge(features[inside], scores[inside])
        left_out[0, outside] = line[0] * _half_log_det(directions @ grams[outside] @ directions.T) + line[1]
        left_out[1, outside] = ridge(features[outside])
    terms = np.stack([*left_out, np.ones(count)], axis=1)
    mix = np.linalg.lstsq(terms, scores, rcond=None)[0]
    mixed = terms @ mix
    line, directions = _fit_directions(grams, scores, rank, r, generator)
    ridge = _fit_ridge(features, scores)
    known = (features - ridge.center) / ridge.scale
    apart = np.stack([_distance(known, known, skip_itself=True), np.abs(left_out[0] - left_out[1])])
    return Calibration(
        directions=directions,
        line=line,
        center=ridge.center,
        scale=ridge.scale,
        weights=ridge.weights,
        offset=np.array(ridge.offset),
        mix=mix,
        known=known,
        half_width=np.array(_conformal(np.abs(scores - mixed))),
        usual=np.quantile(apart, COVERAGE, axis=1),
        limits=np.array([np.quantile(apart[0], 1 - NEEDLESS), apart[1].max()]),
        fidelity=np.array(spearmanr(mixed, scores).statistic),
    )


def _conformal(errors: ndarray) -> float:
    """The smallest width that holds `COVERAGE` of as many errors and one more."""
    place = int(np.ceil((len(errors) + 1) * COVERAGE)) - 1
    return float(np.sort(errors)[min(place, len(errors) - 1)])


def _scores(grams: ndarray, rank: int) -> ndarray:
    """The JEPA-SCORE of each Gram: half the sum of the logs of its `rank` largest eigenvalues."""
    eigenvalues = np.linalg.eigvalsh(grams)[:, -rank:]
    return 0.5 * np.log(np.maximum(eigenvalues, np.finfo(float).tiny)).sum(axis=1)


def _half_log_det(small: ndarray) -> ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        sign, value = np.linalg.slogdet(small)
    return np.where(sign > 0, 0.5 * value, np.nan)


def _distance(known: ndarray, asked: ndarray, *, skip_itself: bool = False) -> ndarray:
    """Mean distance to the nearest calibration images."""
    distances, _places = nearest(asked, known, _NEIGHBOURS + skip_itself)
    return distances[:, int(skip_itself) :].mean(axis=1)


def _whitener(grams: ndarray, rank: int) -> Float[ndarray, "rank k"]:
    """W (rank x K) with W mean(G) W^T = I: the pseudo-inverse square root of the mean Gram."""
    eigenvalues, vectors = np.linalg.eigh(grams.mean(axis=0))
    return (vectors[:, -rank:] / np.sqrt(eigenvalues[-rank:])).T


def _fit_directions(
    grams: ndarray, scores: ndarray, rank: int, r: int, generator: np.random.Generator
) -> tuple[ndarray, ndarray]:
    """The line and the directions D (r, K) whose log det(D G D^T) correlates best with the scores.

    The correlation's gradient is exact: d log det(D A D^T) / dD = 2 (D A D^T)^-1 D A for symmetric A.
    """
    whitener = _whitener(grams, rank)
    whitened = (whitener @ grams @ whitener.T).astype(np.float32)
    target = scores - scores.mean()
    target /= np.linalg.norm(target)

    def loss(flat: ndarray) -> tuple[float, ndarray]:
        rows = flat.reshape(r, rank)
        product = rows.astype(np.float32) @ whitened
        small = product @ rows.T
        values = 2 * _half_log_det(small)
        values -= values.mean()
        length = np.linalg.norm(values)
        correlation = values @ target / length
        weight = (target - correlation * values / length) / length
        weight -= weight.mean()
        gradient = np.einsum("n,nij->ij", 2 * weight, np.linalg.solve(small, product.astype(np.float64)))
        return 1 - correlation, -gradient.ravel()

    start = np.linalg.qr(generator.standard_normal((rank, r)))[0].T
    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _STEPS})
    directions = found.x.reshape(r, rank) @ whitener
    values = _half_log_det(directions @ grams @ directions.T)
    return np.polyfit(values, scores, 1), directions


@dataclass(frozen=True, eq=False)
class _Ridge:
    center: ndarray
    scale: ndarray
    weights: ndarray
    offset: float

    def __call__(self, features: ndarray) -> ndarray:
        return (features - self.center) / self.scale @ self.weights + self.offset


def _fit_ridge(features: ndarray, scores: ndarray) -> _Ridge:
    """Ridge regression on standardised features; the strength with the least leave-one-out error is taken."""
    center, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-6 * np.abs(center) + np.finfo(float).tiny, scale, np.inf)  # constant ones say nothing
    fitted = RidgeCV(alphas=_STRENGTHS).fit((features - center) / scale, scores)
    return _Ridge(center, scale, fitted.coef_, float(fitted.intercept_))
