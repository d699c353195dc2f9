"""What is normal for an encoder: where a score falls among the scores of held-out images.

Split-conformal p-values, in this file's sense: with n reference scores s_1..s_n and a new image's score s,

    p_lower:     p = (1 + #{s_i <= s}) / (n + 1)
    p_two_sided: p = min(1, 2 min(p of s among the s_i, p of -s among the -s_i))

**Guarantee.** If the new image is exchangeable with the reference (drawn like its images, with no choice made on any of
them), then P(p <= alpha) <= alpha for every alpha; without ties it is floor(alpha (n + 1)) / (n + 1) one-sided and
2 floor(alpha (n + 1) / 2) / (n + 1) two-sided, for alpha < 1. The probability is over the draw of the reference *and*
the image: it is no statement about one image, and with one reference in hand the rate on many images is a draw too
(without ties from Beta(l, n + 1 - l), one-sided, with l = floor(alpha (n + 1))).

Sources: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World, 2005; Bates, Candes, Lei, Romano, Sesia,
Testing for Outliers with Conformal p-values, Annals of Statistics 2023, arXiv 2104.08279.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.special import betaincinv
from scipy.stats import false_discovery_control

from jepa_core.errors import NotEnoughData
from jepa_core.stats.bootstrap import LEVEL
from jepa_core.wording import per_cent

ALPHA = 0.05
"""What a reference has to be able to speak at; another level is anybody's choice."""

LEAST_REFERENCES = 19
"""References that a one-sided p-value of `ALPHA` needs, since the smallest that n of them can give is 1 / (n + 1)."""


def percentile(scores: Float[ndarray, "n"], reference: Float[ndarray, "m"]) -> Float[ndarray, "n"]:
    """Percentile (0 to 100) of each score in the reference: the share of the reference below it, ties counting half.

    2 means that 98 % of the reference is more likely. Raises `NotEnoughData` for an empty reference.

    >>> percentile(np.array([0.0, 2.0, 9.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    array([  0. ,  37.5, 100. ])
    """
    if not reference.size:
        raise NotEnoughData("The reference has no scored images; a percentile needs some; score the reference first.")
    ordered = np.sort(reference)
    below = np.searchsorted(ordered, scores, side="left")
    not_above = np.searchsorted(ordered, scores, side="right")
    return 50.0 * (below + not_above) / reference.size


@dataclass(frozen=True)
class Place:
    """Where one image falls in a reference of `size` images.

    `percentile` (0 to 100, low: unlikely) has the interval `low` to `high`: where it would be in a reference without
    end. The p-values `p_lower` and `p_two_sided` are None where the reference is too small to speak at 5 %
    (`Reference.too_few` says so in words).
    """

    score: float
    size: int
    percentile: float
    low: float
    high: float
    p_lower: float | None
    p_two_sided: float | None


@dataclass(frozen=True, eq=False)
class Reference:
    """Scores of held-out images (n) by one method, high for likely images; of a distance its negative.

    They are kept in rising order. `name` says which images they are. Raises `NotEnoughData` if there are none.
    """

    name: str
    scores: Float[ndarray, "n"]

    def __post_init__(self) -> None:
        ordered = np.sort(self.scores)
        percentile(ordered[:1], ordered)  # refuses an empty reference
        ordered.setflags(write=False)
        object.__setattr__(self, "scores", ordered)

    def too_few(self, sides: int = 1) -> str:
        """Why p-values of one or two sides cannot speak at `ALPHA` with this reference; "" if they can."""
        size, least = self.scores.size, sides * (LEAST_REFERENCES + 1) - 1
        if size >= least:
            return ""
        word = "unlikely" if sides == 1 else "unlikely or too likely"
        return (
            f"The reference {self.name!r} has {size} scored images, too few to call an image {word} at "
            f"{per_cent(ALPHA)}; at least {least} are needed; score more of them, or take a larger reference."
        )

    def p_lower(self, scores: Float[ndarray, "m"]) -> Float[ndarray, "m"]:
        """One-sided p-values: small for scores that are low among the reference's; a tie counts as that low.

        Raises `NotEnoughData` for fewer than `LEAST_REFERENCES` references.

        >>> Reference("held-out images", np.arange(19.0)).p_lower(np.array([-1.0, 0.0, 30.0]))
        array([0.05, 0.1 , 1.  ])
        """
        self._refuse(sides=1)
        return (1 + np.searchsorted(self.scores, scores, side="right")) / (self.scores.size + 1)

    def p_two_sided(self, scores: Float[ndarray, "m"]) -> Float[ndarray, "m"]:
        """Two-sided p-values: small for scores at either end of the reference's.

        Raises `NotEnoughData` for fewer than twice `LEAST_REFERENCES` and one references.

        >>> Reference("held-out images", np.arange(39.0)).p_two_sided(np.array([-1.0, 19.0, 38.0, 39.0]))
        array([0.05, 1.  , 0.1 , 0.05])
        """
        self._refuse(sides=2)
        mirrored = Reference(self.name, -self.scores)
        return np.minimum(1.0, 2 * np.minimum(self.p_lower(scores), mirrored.p_lower(-scores)))

    def place(self, score: float) -> Place:
        """Where one score falls."""
        value = np.array([float(score)])
        low, high = self._interval(value[0])
        return Place(
            score=float(score),
            size=self.scores.size,
            percentile=float(percentile(value, self.scores)[0]),
            low=low,
            high=high,
            p_lower=None if self.too_few(1) else float(self.p_lower(value)[0]),
            p_two_sided=None if self.too_few(2) else float(self.p_two_sided(value)[0]),
        )

    def _refuse(self, sides: int) -> None:
        if sentence := self.too_few(sides):
            raise NotEnoughData(sentence)

    def _interval(self, score: float) -> tuple[float, float]:
        """The Clopper-Pearson interval of a percentile, at `LEVEL`.

        Of c successes in n it is the outer quantiles of Beta(c, n - c + 1) and Beta(c + 1, n - c). Wilson's is shorter,
        but holds its level only on average over percentiles: at the ends, where a percentile matters, it falls below.
        With ties the lower end counts what is below the score and the upper one what is not above it, so it holds the
        level for any share of ties.
        """
        size = self.scores.size
        below, not_above = (int(np.searchsorted(self.scores, score, side=side)) for side in ("left", "right"))
        low = betaincinv(below, size - below + 1, (1 - LEVEL) / 2) if below else 0.0
        high = betaincinv(not_above + 1, size - not_above, (1 + LEVEL) / 2) if not_above < size else 1.0
        return 100 * float(low), 100 * float(high)


def adjusted(p_values: Float[ndarray, "m"]) -> Float[ndarray, "m"]:
    """p-values of m images checked at once, after Benjamini and Hochberg.

    Calling those at or below q unlikely keeps the expected share of false calls among all calls at or below q. For
    one-sided p-values of one reference that is proven, although they depend on each other through it (Bates and
    others); for two-sided ones it is not. Where m is large the reference must be too: among m images a single one can
    be called only if 1 / (n + 1) <= q / m.

    >>> adjusted(np.array([0.01, 0.04, 0.03, 0.5]))
    array([0.04      , 0.05333333, 0.05333333, 0.5       ])
    """
    return false_discovery_control(p_values, method="bh")
