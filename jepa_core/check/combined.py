"""One p-value of what several methods find of a picture, which are unequal and depend on each other.

With the one-sided conformal p-values p_m of the methods m (`jepa_core.stats.conformal`), and weights w_m that were
fixed beforehand,

    T = min_m p_m / w_m,    p = (1 + #{i: T_i <= T}) / (n + 1),

where the T_i are those of the n references, and the p-values of each of the n + 1 pictures are taken among all of them.
So T treats the picture and the references alike, and p is a conformal p-value itself: for a picture that is
exchangeable with the references P(p <= alpha) <= alpha, whatever the methods have to do with each other. Weighted
Bonferroni, which calls min_m p_m / w_m <= alpha for weights that sum to 1, gives the same guarantee, and calls fewer.

Sources: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World, 2005; weighted Bonferroni: Genovese, Roeder,
Wasserman, False Discovery Control with p-value Weighting, Biometrika 2006.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from jepa_core.stats.conformal import ALPHA

WEIGHTS = {"joint": 0.3, "visible": 0.3, "disturbed": 0.3, "spectrum_knn": 0.05, "likely": 0.025, "unlikely": 0.025}
"""What each method is worth, chosen on training pictures (`docs/decisions.md`). `unlikely` and `likely` are the two
sides of the JEPA-SCORE, since foreign pictures score too low or too high; nothing is too near or too ordinary."""

_HAIR = 1 + 1e-12

INSTEAD = {"joint": "knn"}
"""What is asked where a method is not there: an encoder that cannot be traced has no sizes of layers."""


@dataclass(frozen=True)
class Combined:
    """What was found of one picture: `p`, and the methods with their p_m, those that count most (p_m / w_m) first.

    `raised` are those that would call it by themselves.
    """

    p: float
    by_method: dict[str, float]
    raised: tuple[str, ...] = ()

    @property
    def first(self) -> str:
        """The method that counts most."""
        return next(iter(self.by_method))


class CombinedTest:
    """The references' outlier scores by method, each (n), larger being more outlying; all of them known.

    Raises `ValueError` for methods without a weight and for no method.
    """

    def __init__(self, references: Mapping[str, Float[ndarray, "n"]]) -> None:
        if not references or not references.keys() <= weights_of(references).keys():
            raise ValueError(f"Methods with a weight are accepted: {', '.join(WEIGHTS)}. Got {', '.join(references)}.")
        self._references = {name: values.astype(np.float64) for name, values in references.items()}
        self._weights = weights_of(references)
        # How many of the references are at least as outlying as each, itself among them.
        self._above = {
            name: len(values) - np.searchsorted(np.sort(values), values, side="left")
            for name, values in self._references.items()
        }

    @property
    def size(self) -> int:
        """n."""
        return len(next(iter(self._references.values())))

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that are asked."""
        return tuple(self._references)

    def __call__(self, outlying: Mapping[str, float]) -> Combined:
        """A picture with these outlier scores; a method that it has none of, or NaN, does not speak against it."""
        count = self.size + 1
        mine: dict[str, float] = {}
        theirs = np.full(self.size, np.inf)
        for name, references in self._references.items():
            value = outlying.get(name, np.nan)
            known = not np.isnan(value)
            weight = self._weights[name]
            theirs = np.minimum(theirs, (self._above[name] + (references <= value if known else 0)) / count / weight)
            mine[name] = (1 + int((references >= value).sum())) / count if known else 1.0
        order = sorted(mine, key=lambda name: mine[name] / self._weights[name])
        least = mine[order[0]] / self._weights[order[0]]
        # A hair more, so that rounding does not part equal ones.
        p = (1 + int((theirs <= least * _HAIR).sum())) / count
        called = int(ALPHA * count)  # so many of the n + 1 are called
        limit = np.sort(theirs)[called - 1] if called else 0.0
        raised = tuple(name for name in order if called and mine[name] / self._weights[name] * _HAIR < limit)
        return Combined(p, {name: mine[name] for name in order}, raised)


def weights_of(methods: Collection[str]) -> dict[str, float]:
    """The weights of the methods that are there, a stand-in (`INSTEAD`) having that of what it stands for."""
    found = {name: weight for name, weight in WEIGHTS.items() if name in methods}
    return found | {other: WEIGHTS[name] for name, other in INSTEAD.items() if name not in methods and other in methods}
