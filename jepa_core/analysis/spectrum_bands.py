"""Which end of the spectrum separates two domains: the largest singular values (the head) or the smallest (the tail)?

The score adds up log sigma_k over all k. Here each k is held alone, and sums are cut off from either end, so that it
can be seen where a separation comes from, and where one end hides what the other shows.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from jepa_core.analysis.separation import CHANCE, GAIN
from jepa_core.errors import NotEnoughData
from jepa_core.jacobian.score_variants import quarter
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.stats.bootstrap import interval
from jepa_core.stats.metrics import auroc, auroc_each, resampled
from jepa_core.store.results import Store
from jepa_core.wording import with_interval


@dataclass(frozen=True)
class SpectrumBand:
    """The AUROC of one quarter of the singular values alone, with its bootstrap interval."""

    auroc: float
    low: float
    high: float

    @property
    def separates(self) -> bool:
        """Whether it is surely away from chance, on either side, and by enough to matter."""
        return (self.low > 0.5 or self.high < 0.5) and abs(self.auroc - 0.5) >= CHANCE


@dataclass(frozen=True, eq=False)
class SpectrumBands:
    """AUROC of one domain against another, by index k of the singular values, largest first; outliers are positives.

    `single` (rank): log sigma_k alone. `from_top`: the sum over 1..k. `from_bottom`: the sum over k..rank. `head` and
    `tail` are the largest and the smallest quarter. `stronger` says whose distance from 0.5 is surely larger by enough
    to matter, "head", "tail" or "". `inliers` and `outliers` are how many images there were.
    """

    single: Float[ndarray, "rank"]
    from_top: Float[ndarray, "rank"]
    from_bottom: Float[ndarray, "rank"]
    head: SpectrumBand
    tail: SpectrumBand
    stronger: str
    inliers: int
    outliers: int

    @property
    def separating(self) -> str:
        """The end that separates, of two that do the stronger: "head", "tail", "both" if they are alike, or ""."""
        if self.head.separates and self.tail.separates:
            return self.stronger or "both"
        return "head" if self.head.separates else "tail" if self.tail.separates else ""

    @property
    def quarter(self) -> int:
        """How many singular values the head and the tail have."""
        return quarter(len(self.single))


def spectrum_bands(inliers: Float[ndarray, "n k"], outliers: Float[ndarray, "m k"], rank: int) -> SpectrumBands:
    """The head and the tail of two sets of spectra, sorted largest first. Raises `NotEnoughData` if one has none."""
    with np.errstate(divide="ignore"):
        # An outlier score, so the negative: small singular values are unlikely.
        near, far = (-np.log(spectra[:, :rank].astype(np.float64)) for spectra in (inliers, outliers))
    size = quarter(rank)
    parts = [[one[:, part].sum(axis=1) for one in (near, far)] for part in (slice(size), slice(rank - size, None))]
    draws = [resampled(*part)["auroc"] for part in parts]
    head, tail = (SpectrumBand(auroc(*part), *interval(drawn)) for part, drawn in zip(parts, draws, strict=True))
    gained = abs(head.auroc - 0.5) - abs(tail.auroc - 0.5)
    low, high = interval(np.abs(draws[0] - 0.5) - np.abs(draws[1] - 0.5))
    return SpectrumBands(
        single=auroc_each(near, far),
        from_top=auroc_each(np.cumsum(near, axis=1), np.cumsum(far, axis=1)),
        from_bottom=auroc_each(*(np.cumsum(one[:, ::-1], axis=1)[:, ::-1] for one in (near, far))),
        head=head,
        tail=tail,
        stronger="head" if low > 0 and gained > GAIN else "tail" if high < 0 and gained < -GAIN else "",
        inliers=len(near),
        outliers=len(far),
    )


def spectrum_bands_between(
    store: Store, output: EncoderOutput, reference: str, domain: str, precision: str = "fp32"
) -> SpectrumBands:
    """`spectrum_bands` of two datasets' stored spectra, images with full scores only; no image is in both.

    Raises `NotEnoughData` where one of them has no such images.
    """
    config = output.config(precision)
    inliers, outliers = (store.rows(config, name) for name in (reference, domain))
    own = {member.digest for member in inliers.members}
    foreign = [place for place, member in enumerate(outliers.members) if member.digest not in own]
    if not (own and foreign):
        raise NotEnoughData(
            f"The spectrum was asked of {len(own)} images of {reference} and {len(foreign)} others of {domain}; at "
            "least one fully scored image of each is needed; score both sets fully first."
        )
    return spectrum_bands(inliers.spectra, outliers.spectra[foreign], output.rank.rank)


def in_words(found: SpectrumBands, domain: str, reference: str) -> str:
    """Which end separates the domain from the reference, in plain sentences: the head, the tail, both or neither."""
    head, tail = found.head, found.tail
    if not found.separating:
        words = f"Neither end of the spectrum separates {domain} from {reference}."
    elif found.separating == "both":
        words = f"Both ends of the spectrum separate {domain} from {reference}, about equally well."
    else:
        other = "tail" if found.separating == "head" else "head"
        less = f"more than the {other} does" if head.separates and tail.separates else f"the {other} does not"
        words = f"The {found.separating} of the spectrum separates {domain} from {reference}, {less}."
    alone = [with_interval(one.auroc, one.low, one.high) for one in (head, tail)]
    words += (
        f" AUROC of the largest {found.quarter} of {len(found.single)} singular values alone (the head): "
        f"{alone[0]}; of the smallest {found.quarter} (the tail): {alone[1]}; of all: {found.from_top[-1]:.2f}."
    )
    down = [name for name, band in (("head", head), ("tail", tail)) if band.separates and band.auroc < 0.5]
    if down:
        which = "Both ends are" if len(down) == 2 else f"The {down[0]} is"
        words += f" {which} upside down: there the singular values are larger for {domain}."
    if head.separates and tail.separates and len(down) == 1:
        words += " The two ends point opposite ways, so adding all up hides a part of what each shows."
    return words
