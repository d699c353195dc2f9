"""Variants of the score, all read from one stored spectrum; each is high for likely images.

`head` and `trimmed` keep whole quarters of the singular values, chosen once and for every encoder, so that none of them
is fitted to a set of images. Together they say whether the largest or the smallest singular values carry a score:
`jepa` minus `trimmed` is the smallest quarter alone.

Several views of an image (`jepa_core.jacobian.spectrum.multi_view_score`, Eq. 4 of the paper) need a spectrum of each
view. The store keeps none, so this variant is not among them.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from numpy import ndarray

from jepa_core.jacobian.spectrum import Scores, gaussian_score, jepa_score, listing_score


def quarter(rank: int) -> int:
    """How many of `rank` singular values are a quarter of them: at least one.

    >>> quarter(32), quarter(126), quarter(1)
    (8, 32, 1)
    """
    return -(-rank // 4)


def head_score(sigma: Float[ndarray, "*batch k"], rank: int) -> Scores:
    """Sum of log sigma_k over the largest quarter of the `rank` singular values that count, of spectra sorted so."""
    return jepa_score(sigma, quarter(rank))


def trimmed_score(sigma: Float[ndarray, "*batch k"], rank: int) -> Scores:
    """Sum of log sigma_k without the smallest quarter of the `rank` singular values that count; one is always left."""
    return jepa_score(sigma, max(rank - quarter(rank), 1))


@dataclass(frozen=True)
class Variant:
    """A score of spectra (n, K), sorted largest first, with the rank and the squared norms (n) of the embeddings."""

    title: str
    score: Callable[[ndarray, int, ndarray], Scores]


VARIANTS = {
    "jepa": Variant("JEPA-SCORE", lambda sigma, rank, _norm: jepa_score(sigma, rank)),
    "listing": Variant("listing score", lambda sigma, _rank, _norm: listing_score(sigma)),
    "gaussian": Variant("with Gaussian term", gaussian_score),
    "head": Variant("largest quarter only", lambda sigma, rank, _norm: head_score(sigma, rank)),
    "trimmed": Variant("without smallest quarter", lambda sigma, rank, _norm: trimmed_score(sigma, rank)),
}
"""All variants by name. A score table has a column NAME_score of each."""
