"""From a Gram to singular values, and from singular values to scores. NumPy only.

Sign: every score here is high for likely images. Scores of different encoders are not on one scale; compare ranks or
percentiles, never raw values.

Source: Balestriero, Ballas, Rabbat, LeCun, arXiv 2510.05949 ("the paper" below).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

CALIBRATION_IMAGES = 8
"""How many images confirm a rank."""

# A direction that the architecture forbids shows as a step: the next value is at least ten times smaller.
_STEP = 0.1
# Float32 Jacobians carry rounding noise of about this share of the largest singular value.
_NOISE = 1e-6
# Words by which what is on record is told apart.
_SHOW, _SUMMED = "show", "; scores are summed over"
# Share of the calibration images that must show the architecture's rank.
_AGREE = 0.75

Scores = Float[ndarray, "*batch"] | float
"""One number for each spectrum; NumPy gives a plain float (`numpy.float64`) where there is one spectrum."""

LISTING_FLOOR = 1e-6
"""The paper's listing clips singular values here before the log."""


def singular_values(gram: Float[ndarray, "*batch k k"]) -> Float[ndarray, "*batch k"]:
    """sigma_k(J) = sqrt(lambda_k(J J^T)), largest first, from a symmetric Gram in float64.

    Rounding leaves eigenvalues of about -1e-16 of the largest where the truth is 0; they become 0.
    Raises `numpy.linalg.LinAlgError` for a Gram that is not finite.

    >>> singular_values(np.diag([4.0, 9.0]))
    array([3., 2.])
    """
    if not np.isfinite(gram).all():
        raise np.linalg.LinAlgError("The Gram has entries that are not finite.")
    eigenvalues = np.linalg.eigvalsh(np.asarray(gram, dtype=np.float64))
    return np.sqrt(np.clip(eigenvalues[..., ::-1], 0.0, None))


def jepa_score(sigma: Float[ndarray, "*batch k"], rank: int) -> Scores:
    """JEPA-SCORE(x) = sum over k = 1..rank of log sigma_k (Eq. 5 of the paper), of spectra sorted largest first.

    It is a sum of logs: one direction more would add its own log, so `rank` is one number per encoder and output
    (see `jepa_core.jacobian.rank`). A zero among the first `rank` gives -inf.

    >>> float(jepa_score(np.array([np.e, 1.0, 1e-9]), rank=2))
    1.0
    """
    k = sigma.shape[-1]
    if not 1 <= rank <= k:
        raise ValueError(f"The rank must lie between 1 and the {k} singular values there are. Got {rank}.")
    with np.errstate(divide="ignore"):
        return np.log(sigma[..., :rank].astype(np.float64)).sum(axis=-1)


def listing_score(sigma: Float[ndarray, "*batch k"]) -> Scores:
    """The paper's listing: all K values, clipped from below at 1e-6, log, sum.

    It differs from `jepa_score` where the rank is below K: directions that should be 0 come out of float32 as noise
    around 1e-6 and survive the clip at random.

    >>> float(np.round(listing_score(np.array([1.0, 0.0])), 4))
    -13.8155
    """
    return np.log(np.clip(sigma.astype(np.float64), LISTING_FLOOR, None)).sum(axis=-1)


def gaussian_term(squared_norm: Scores) -> Scores:
    """-|f(x)|^2 / 2, the log-density of the embedding under N(0, I) up to a constant."""
    return -0.5 * np.asarray(squared_norm, dtype=np.float64)


def gaussian_score(sigma: Float[ndarray, "*batch k"], rank: int, squared_norm: Scores) -> Scores:
    """sum log sigma_k - |f(x)|^2 / 2.

    This is the exact log-density up to a constant if f is injective, K = D and f(x) ~ N(0, I): the change of variables
    keeps a Gaussian term that Eq. 5 drops. For larger K it does not vanish, since |f|^2 / 2 varies by sqrt(K / 2) for
    Gaussian embeddings of any K, so the term need not be negligible.
    """
    return jepa_score(sigma, rank) + gaussian_term(squared_norm)


def multi_view_score(scores: Float[ndarray, "views *batch"]) -> Scores:
    """-log(mean over views of exp(-score)) (Eq. 4 of the paper); the views of one sample run along the first axis.

    >>> float(multi_view_score(np.array([2.0, 2.0])))
    2.0
    """
    scores = np.asarray(scores, dtype=np.float64)
    from scipy.special import logsumexp  # takes a second to import, and whoever lists encoders reads their ranks

    return np.log(scores.shape[0]) - logsumexp(-scores, axis=0)


@dataclass(frozen=True)
class Rank:
    """The rank used for every image of an (encoder, output), and why, in one sentence.

    One number for all images: a sum of logs over more directions is another quantity.
    """

    rank: int
    reason: str


def disagrees(sigma: Float[ndarray, "images k"], rank: int) -> Bool[ndarray, "images"]:
    """True where a spectrum (largest first) does not have this rank.

    Either its rank-th value is rounding noise, or no step follows although directions should be missing.
    """
    last = sigma[..., rank - 1]
    too_small = last <= _NOISE * sigma[..., 0]
    if rank == sigma.shape[-1]:
        return too_small
    return too_small | (sigma[..., rank] > _STEP * last)


def observed_rank(allowed: Rank, spectra: Float[ndarray, "images k"]) -> Rank:
    """What calibration spectra show: the architecture's rank, confirmed, or another, which is said and changes nothing.

    The other is the largest rank whose last value stands above rounding noise on every calibration image.
    """
    count = spectra.shape[0]
    if np.mean(~disagrees(spectra, allowed.rank)) >= _AGREE:
        return Rank(allowed.rank, f"{allowed.reason}; confirmed on {count} calibration images")
    measured = max(int((spectra > _NOISE * spectra[:, :1]).sum(axis=1).min()), 1)
    shown = f"but {count} calibration images {_SHOW} {measured} above rounding noise"
    return Rank(measured, f"{allowed.reason} ({allowed.rank}), {shown}{_SUMMED} {allowed.rank}")


def finding(shown: Rank, used: Rank) -> Rank:
    """A rank that differs from the one that scores are summed over, with a reason that says so."""
    if is_finding(shown):
        return shown
    return Rank(shown.rank, f"{shown.reason}{_SUMMED} {used.rank}: {used.reason}")


def is_finding(rank: Rank) -> bool:
    """Whether a rank on record is what was found beside the one that is used, and says so."""
    return _SUMMED in rank.reason


def is_replaced(rank: Rank) -> bool:
    """Whether an earlier version put what calibration images show in the place of the architecture's rank."""
    return f"calibration images {_SHOW} " in rank.reason and not is_finding(rank)
