"""Which singular values make an image unlikely: its score taken apart beside a reference.

The score is a sum over k, so it differs from that of an image with the reference's median singular values by

    sum over k = 1..rank of (log sigma_k - median over the reference of log sigma_k),

and each k has its own part in that. Where the sum is negative it is called a shortfall, else a surplus.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from jepa_core.jacobian.score_variants import quarter

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""The quantiles of a `SpectrumSpread`."""
_TINY = float(np.finfo(np.float32).tiny)
# A run that holds half of the difference and is longer than this share of the spectrum says that it is everywhere.
_EVERYWHERE = 0.4


@dataclass(frozen=True, eq=False)
class SpectrumSpread:
    """How the singular values of a reference's images are spread: `logs` are `LEVELS` of log sigma_k.

    `middle` is how far the middle half of its scores lies from the sum of the medians (25 % and 75 % quantile).
    """

    name: str
    size: int
    logs: Float[ndarray, "levels k"]
    middle: tuple[float, float]

    @property
    def median(self) -> Float[ndarray, "k"]:
        """The median of each log sigma_k."""
        return self.logs[2]


def spectrum_spread(name: str, spectra: Float[ndarray, "images k"], rank: int) -> SpectrumSpread:
    """The spread of spectra (n, K), sorted largest first, up to the rank."""
    logs = np.log(np.maximum(spectra[:, :rank].astype(np.float64), _TINY))
    levels = np.quantile(logs, LEVELS, axis=0)
    low, high = np.quantile(logs.sum(axis=1) - levels[2].sum(), [0.25, 0.75])
    return SpectrumSpread(name, len(spectra), levels, (float(low), float(high)))


@dataclass(frozen=True, eq=False)
class ScoreAttribution:
    """A score beside a reference: `difference` of each log sigma_k from the median, `cumulated` from the largest on.

    `run` is the shortest run of directions, first and last from 1, that holds half of the whole difference, and None
    where half of the reference differs by no more; `outside` counts the singular values beyond the reference's 5 % and
    95 % quantiles.
    """

    difference: Float[ndarray, "k"]
    cumulated: Float[ndarray, "k"]
    run: tuple[int, int] | None
    outside: int

    @property
    def total(self) -> float:
        """The score minus the sum of the reference's medians: negative for a shortfall."""
        return float(self.cumulated[-1])


def attribute(sigma: Float[ndarray, "k"], reference: SpectrumSpread) -> ScoreAttribution:
    """The score of a spectrum taken apart beside a reference of the same encoder and output."""
    rank = len(reference.median)
    logs = np.log(np.maximum(sigma[:rank].astype(np.float64), _TINY))
    difference = logs - reference.median
    low, high = reference.logs[0], reference.logs[-1]
    ordinary = reference.middle[0] <= difference.sum() <= reference.middle[1]
    run = None if ordinary else shortest_run(difference)
    return ScoreAttribution(difference, np.cumsum(difference), run, int(((logs < low) | (logs > high)).sum()))


def shortest_run(values: Float[ndarray, "k"]) -> tuple[int, int]:
    """First and last (from 1) of the shortest run of values that add up to half of the sum of all, or more.

    Of several, the one that adds up to most. "More" is meant on the side of the sum's sign.

    >>> shortest_run(np.array([1.0, -1.0, -4.0, -2.0, 0.0]))
    (3, 3)
    """
    sums = np.concatenate([[0.0], np.cumsum(values)])
    sums = sums * (np.sign(sums[-1]) or 1.0)
    for length in range(1, len(values) + 1):
        runs = sums[length:] - sums[:-length]
        best = int(runs.argmax())
        if runs[best] >= sums[-1] / 2:
            return best + 1, best + length
    raise AssertionError("the whole is no less than half of itself")


def in_words(found: ScoreAttribution, reference: SpectrumSpread) -> str:
    """What the attribution says, in two or three plain sentences."""
    rank, total = len(found.difference), found.total
    side, more = ("shortfall", "less") if total < 0 else ("surplus", "more")
    sentences = [
        f"Its singular values add up to {abs(total):.1f} {more} than the medians of the {reference.size} images of "
        f"{reference.name}."
    ]
    if found.run is None:
        sentences.append("Half of those images differ by no more than that, so there is little to explain.")
    else:
        first, last = found.run
        if rank > 3 and last - first + 1 > _EVERYWHERE * rank:
            sentences.append(f"That {side} is spread over the whole spectrum.")
        else:
            named = f"direction {first}" if first == last else f"directions {first} to {last}"
            sentences.append(f"Half of that {side} comes from {named} of {rank}{_where(first, last, rank)}.")
        against = float(np.clip(-np.sign(total) * found.difference, 0.0, None).sum())
        if against > abs(total) / 2:
            sentences.append(f"Some of the others pull the other way, by {against:.1f}.")
    beyond = "1 lies" if found.outside == 1 else f"{found.outside} lie"
    sentences.append(
        f"Of its {rank} singular values {beyond} outside of the band that holds 90 % of the reference's; of an "
        f"ordinary image about {rank / 10:.0f} would."
    )
    return " ".join(sentences)


def _where(first: int, last: int, rank: int) -> str:
    if rank < 8:
        return ""
    if last <= quarter(rank):
        return ", among the changes of the picture that the encoder notices most"
    if first > rank - quarter(rank):
        return ", among the changes of the picture that the encoder notices least"
    return ""
