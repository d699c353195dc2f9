"""Is it the content that a score reads, or a measure such as brightness? Confounds of a separation of two sets.

A measure explains a separation as far as the separation goes away once the sets are matched in it (Stuart, "Matching
methods for causal inference", Stat. Sci. 25, 2010, arXiv 1010.5586): the reference is weighted so that it is as bright
(as complex, ...) as the domain, and the AUROC is taken anew. As in `metrics`, outliers are the positives, and a larger
outlier score means more outlying.

The matched sets are compared, not each image with its equals alone. That covariate-adjusted AUROC (Janes and Pepe,
Biometrika 96, 2009) takes away the measure's noise in both sets too, and rises with a score that is half confounded.

Measures are taken one at a time; two that explain a separation only together go unnoticed. And a measure that explains
a separation may be what the domain is: dark pictures differ from bright ones by nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Bool, Float, Int32
from numpy import ndarray

from jepa_core.confounds.image_stats import MEASURES, Measure
from jepa_core.stats.bootstrap import interval, times_drawn
from jepa_core.stats.metrics import auroc, resampled, weighted_auroc
from jepa_core.stats.rank_correlation import partial_spearman, spearman

# All of these were fixed before any real set was looked at.
EXPLAINS_MOST, EXPLAINS_PART = 2 / 3, 1 / 5
"""From which share of a separation on a measure explains most of it, and part of it. Since an AUROC ends at 1, taking
half of an effect away takes away a quarter (of a large separation) to a half (of a small one) of its distance from
0.5: a score that is half confounded lies well between the two."""
LEAST_SEPARATION = 0.1
"""How far from 0.5 an AUROC has to be for there to be anything to explain: below, the Domains page says "hardly"."""
SUPPORT, LEAST_MATCHED = 0.5, 20
"""The share of a domain's images that need equals in the reference, which is also the share of the separation that they
have to show; and the least number of them, and of their equals. Of less than half, nothing follows for the set; of
fewer than 20 images, an AUROC is anything."""
CALIPER, LEAST_EQUALS = 0.1, 5
"""Equals are at most this share of the reference's spread (its 5 % to 95 % quantiles) apart, about a third of a
standard deviation of a normal measure; so many of them are needed on either side of an image."""
FOLLOWS = 0.2
"""The absolute Spearman correlation from which on a score follows a measure: two standard errors with 100 images."""


class Kind(StrEnum):
    """What a measure has to do with a separation. All of them have the first of these that one of them has."""

    MOST = "explains most"
    PART = "explains part"
    UNKNOWN = "cannot be said"
    NOT = "does not explain"
    NOTHING = "nothing to explain"  # the score does not separate the two sets


@dataclass(frozen=True, eq=False)
class Measured:
    """A set of images: its `name`, their outlier scores, and their measures in the order of `MEASURES`."""

    name: str
    outlying: Float[ndarray, "images"]
    values: Float[ndarray, "images measures"]

    def __len__(self) -> int:
        return len(self.outlying)


@dataclass(frozen=True)
class Confound:
    """A measure's part in a separation.

    `auroc` is that of the measure alone, large values counting as outlying; it has no right sign, and `strength` is its
    distance from 0.5. `spearman` is its correlation with the likelihood (minus the outlier score) within the reference,
    `partial` the same given another measure (`partial_spearman`); NaN where a column is constant.

    Of the domain's images `matched` have equals in the reference, which count like `equals` images of one weight
    (Kish's effective size, `(sum w)^2 / sum w^2`). `before` is the AUROC of the matched images against all of the
    reference, `after` against their equals in it, with its interval; `share` is how much of before's distance from 0.5
    is gone, with its interval. All are NaN where too few images are matched. On drawn sets of 100 to 300 images the
    90 % interval of `after` held the truth in 82 to 95 %.
    """

    measure: Measure
    auroc: float
    spearman: float
    partial: float
    matched: int
    equals: float
    before: float
    after: float
    after_low: float
    after_high: float
    share: float
    share_low: float
    share_high: float
    kind: Kind

    @property
    def strength(self) -> float:
        """How far the measure alone separates the sets: max(a, 1 - a) - 0.5 for its AUROC a."""
        return abs(self.auroc - 0.5)

    @property
    def comparable(self) -> bool:
        """Whether enough images of the domain have equals in the reference."""
        return not np.isnan(self.after)

    @property
    def end(self) -> str:
        """What the domain's pictures are by this measure, beside the reference's: "dark", "complex"."""
        return self.measure.high if self.auroc > 0.5 else self.measure.low

    @property
    def push(self) -> float:
        """Where the reference's own trend would move the domain's AUROC: up (positive) or down."""
        return -self.spearman * (self.auroc - 0.5)


@dataclass(frozen=True)
class Explanation:
    """What the measures have to do with the separation of a domain from a reference.

    `kind` is the conclusion and `chief` the measure that it is about, the one of that kind with the largest share; None
    where the score does not separate the sets. `images` are those of the domain.
    """

    domain: str
    reference: str
    images: int
    auroc: float
    low: float
    high: float
    confounds: tuple[Confound, ...]
    kind: Kind
    chief: Confound | None


def equals(values: Float[ndarray, "m"], reference: Float[ndarray, "n"]) -> Float[ndarray, "m n"]:
    """Which images of a reference are an image's equals by one measure, as weights that add to 1.

    Equals are within `CALIPER` of the image's value. Those below and those above share one half each, however many
    there are, so that on the average they have the image's value; ties count on both sides. An image with fewer than
    `LEAST_EQUALS` on either side has none, and zeros for weights.
    """
    below, above = _sides(values, reference)
    there = [np.maximum(side.sum(axis=1, keepdims=True), 1) for side in (below, above)]
    return (below / there[0] + above / there[1]) / 2


def among_equals(
    outlying: Float[ndarray, "m"],
    values: Float[ndarray, "m"],
    reference: Float[ndarray, "n"],
    reference_values: Float[ndarray, "n"],
) -> Float[ndarray, "m"]:
    """The share (0 to 1) of each image's `equals` that are less outlying than it, ties counting half; NaN without any.

    `outlying` and `reference` are outlier scores, `values` and `reference_values` one measure of the same images. One
    image is told by it whether it is outlying for a picture as bright (as complex, ...) as it is.
    """
    weights = equals(values, reference_values)
    shares = np.sum(weights * _exceeds(reference, outlying), axis=1)
    return np.where(weights.any(axis=1), shares, np.nan)


def _exceeds(inliers: Float[ndarray, "n"], outliers: Float[ndarray, "m"]) -> Float[ndarray, "m n"]:
    """1 where an outlier is more outlying than an inlier, 0.5 where they tie."""
    return ((outliers[:, None] > inliers) + 0.5 * (outliers[:, None] == inliers)).astype(np.float32)


def _sides(values: Float[ndarray, "m"], reference: Float[ndarray, "n"]) -> list[Bool[ndarray, "m n"]]:
    """Which references are equals of each image from below, and from above."""
    low, high = np.quantile(reference, [0.05, 0.95])
    reach = CALIPER * (high - low)
    apart = reference.astype(np.float64) - values.astype(np.float64)[:, None]
    below, above = (apart <= 0) & (apart >= -reach), (apart >= 0) & (apart <= reach)
    enough = np.minimum(below.sum(axis=1), above.sum(axis=1)) >= LEAST_EQUALS
    return [below & enough[:, None], above & enough[:, None]]


def explain(reference: Measured, domain: Measured) -> Explanation:
    """What the measures have to do with the separation of a domain from a reference.

    Each measure gets a kind of its own (`Confound.kind`), and the first of them in the order of `Kind` is the
    conclusion: one that explains most is enough, and one of which nothing can be said keeps "does not explain" from
    being said. Raises `NotEnoughData` for an empty set.
    """
    area = auroc(reference.outlying, domain.outlying)
    low, high = interval(resampled(reference.outlying, domain.outlying)["auroc"])
    separated = abs(area - 0.5) >= LEAST_SEPARATION and not low <= 0.5 <= high
    comparison = _Comparison(reference, domain, area if separated else None)
    confounds = tuple(comparison.of(column) for column in range(len(MEASURES)))
    kind = next(kind for kind in Kind if any(one.kind is kind for one in confounds))
    among = [one for one in confounds if one.kind is kind]
    chief = max(among, key=lambda one: (one.comparable, np.nan_to_num(one.share), one.strength)) if separated else None
    return Explanation(domain.name, reference.name, len(domain), area, low, high, confounds, kind, chief)


class _Comparison:
    """A domain beside a reference, image by image, and on bootstrap resamples of both sets.

    The first column of `times_in` and `times_out`, how often each image is drawn, is the sets themselves.
    """

    def __init__(self, reference: Measured, domain: Measured, area: float | None) -> None:
        self.reference, self.domain = reference, domain
        self.area = area  # of the score; None where it does not separate the sets
        drawn = times_drawn(len(reference), len(domain))
        self.times_in, self.times_out = map(_with_the_set_itself, drawn)
        self.correlations = [spearman(-reference.outlying, column) for column in reference.values.T]

    def of(self, column: int) -> Confound:
        """A measure's part in the separation."""
        values, reference_values = self.domain.values[:, column], self.reference.values[:, column]
        weights = equals(values, reference_values)
        found, total = np.any(weights, axis=1), weights.sum(axis=0)
        matched, effective = int(found.sum()), float(total.sum() ** 2 / max(np.sum(total**2), 1e-9))
        before, after, share = np.nan, (np.nan,) * 3, (np.nan,) * 3
        if matched >= SUPPORT * len(self.domain) and min(matched, effective) >= LEAST_MATCHED:
            sides = [side[found].astype(np.float32) for side in _sides(values, reference_values)]
            befores, afters = self._areas(found, sides)
            excess = befores - 0.5
            gone = 1 - (afters - 0.5) / np.where(np.abs(excess) > 1e-9, excess, 1e-9)
            before, after, share = float(befores[0]), _value_and_interval(afters), _value_and_interval(gone)
        return Confound(
            list(MEASURES.values())[column],
            auroc(reference_values, values),
            self.correlations[column],
            self._partial(column),
            matched,
            effective,
            before,
            *after,
            *share,
            self._kind(before, *share),
        )

    def _areas(
        self, found: Bool[ndarray, "m"], sides: Sequence[Float[ndarray, "k n"]]
    ) -> tuple[Float[ndarray, "draws"], Float[ndarray, "draws"]]:
        """AUROC of the matched images against all of the reference, and against it weighted as their equals are."""
        times_out = self.times_out[found]
        weights = np.zeros_like(self.times_in)
        for side in sides:
            there = side @ self.times_in
            # An image whose equals on this side are not drawn counts by its other side alone.
            weights += side.T @ np.divide(times_out, there, out=np.zeros_like(there), where=there > 0)
        weights *= self.times_in
        near, far = self.reference.outlying, self.domain.outlying[found]
        return weighted_auroc(near, far, self.times_in, times_out), weighted_auroc(near, far, weights, times_out)

    def _kind(self, before: float, share: float, low: float, high: float) -> Kind:
        if self.area is None:
            return Kind.NOTHING
        if np.isnan(before):
            return Kind.UNKNOWN  # too few images are matched
        if (before - 0.5) / (self.area - 0.5) < SUPPORT:
            return Kind.UNKNOWN  # what the score tells apart is rather the images that are not matched
        if low < EXPLAINS_PART and high > EXPLAINS_MOST:
            return Kind.UNKNOWN  # too few images to tell "most" from "not"
        if share >= EXPLAINS_MOST:
            return Kind.MOST
        if share >= EXPLAINS_PART:
            return Kind.PART if low > 0 else Kind.UNKNOWN
        return Kind.NOT

    def _partial(self, column: int) -> float:
        """Spearman given the measure that the score follows most; of that one, given the second.

        Not given all others: several of them measure nearly the same, and what is left of each would be noise (Hoyle,
        Lynam, Miller and Pek, Annu. Rev. Clin. Psychol. 19, 2023, doi 10.1146/annurev-clinpsy-071720-015436).
        """
        others = [place for place in range(len(MEASURES)) if place != column]
        given = max(others, key=lambda place: np.nan_to_num(abs(self.correlations[place])))
        values = self.reference.values
        return partial_spearman(-self.reference.outlying, values[:, column], values[:, given])


def _with_the_set_itself(drawn: Int32[ndarray, "size resamples"]) -> Float[ndarray, "size draws"]:
    return np.column_stack([np.ones(len(drawn)), drawn]).astype(np.float32)


def _value_and_interval(draws: Float[ndarray, "draws"]) -> tuple[float, float, float]:
    """The value of the sets themselves, which is the first, and the interval of the others."""
    return float(draws[0]), *interval(draws[1:])
