"""What all evidence says of one picture, in plain words: does it belong to the images that it is held against?

One p-value of all methods together decides (`jepa_core.check.combined`): at most `ALPHA` of the pictures like the
references are called anything but `IN_DISTRIBUTION`, whatever the methods have to do with each other. A picture that is
called is *disturbed* where it lies among copies of known images that were darkened, blurred and so on
(`jepa_core.check.disturbances`); otherwise it is *out of distribution*, unless only its score is unusual: that follows
how simple a picture is, and is a reason to look twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from jepa_core.check.combined import Combined
from jepa_core.check.disturbances import Disturbed
from jepa_core.check.reasons import AS_DISTURBED, Reason
from jepa_core.confounds.image_stats import MEASURES, Measure
from jepa_core.confounds.matching import FOLLOWS, Measured, among_equals
from jepa_core.stats.conformal import ALPHA, Place
from jepa_core.stats.rank_correlation import spearman
from jepa_core.wording import listed, percentile

AMONG = 0.1
"""The share of disturbed known images that have to lie as far from the others as a picture for it to be one of them. So
one in ten of these is called foreign; of drawn foreign pictures half as many pass for disturbed as at 5 %."""
_SCORE = ("unlikely", "likely")
_FOUND = {
    "joint": "its layers and its embedding",
    "knn": "its embedding",
    "visible": "what can be seen of it",
    "disturbed": "traces of a disturbance",
    "spectrum_knn": "the shape of its spectrum",
    "unlikely": "its low score",
    "likely": "its high score",
}
"""What each method of `combined.WEIGHTS` goes by, in a sentence."""


class VerdictKind(StrEnum):
    """The verdict in a word or two."""

    OUT_OF_DISTRIBUTION = "Out of distribution"
    DISTURBED = "Disturbed"
    REVIEW = "Look twice"
    IN_DISTRIBUTION = "Nothing unusual"
    UNKNOWN = "Cannot be said"


class Explains(StrEnum):
    """What a picture's complexity has to do with its score."""

    YES = "explains"
    NO = "does not explain"
    UNKNOWN = "cannot be told apart"


@dataclass(frozen=True)
class Complexity:
    """Whether the references that are as complex (bright, ...) as a picture score as it does.

    `measure` is the one that the answer rests on: for `Explains.NO` the one that comes closest, None where the score
    follows no measure. `share` (0 to 1) of the picture's equals by that measure are more likely than it.
    """

    explains: Explains
    measure: Measure | None = None
    share: float = float("nan")


@dataclass(frozen=True)
class Verdict:
    """`kind`, `headline` (what to think of the picture, one sentence with one reason), the evidence in `sentences`."""

    kind: VerdictKind
    headline: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Findings:
    """All that a verdict on one picture goes by.

    Attributes:
        combined: what all methods say together; None where the references are too little known.
        places: where the picture falls in each method's reference; empty of the score before it is there.
        reasons: by which visible measures it is beyond them.
        disturbed: the disturbed references that it is most like; None where there are none to compare with.
        complexity: what may explain the score; None where that is not known.
        fitted_on: what the methods were fitted on, in words ("the 1077 images of digits-train").
    """

    combined: Combined | None
    places: Mapping[str, Place]
    reasons: Sequence[Reason]
    disturbed: Disturbed | None
    complexity: Complexity | None
    fitted_on: str

    @property
    def called(self) -> bool:
        """Whether so unusual a picture is one of at most `ALPHA` of those like the references."""
        return self.combined is not None and self.combined.p <= ALPHA

    @property
    def was_disturbed(self) -> bool:
        """Whether it lies among disturbed references."""
        return self.disturbed is not None and self.disturbed.p > AMONG


def complexity_of(score: float, values: Float[ndarray, "measures"], reference: Measured) -> Complexity:
    """Whether complexity explains the score of a picture with these `MEASURES`, by a reference that was measured too.

    Only measures that the reference's own scores follow can explain anything (Spearman of at least `FOLLOWS`). One
    explains a score if the picture is at no end (of `ALPHA` each) of the references of its own complexity. One by which
    the picture has no equals leaves the question open.
    """
    found: list[tuple[float, Measure]] = []
    alone: list[Measure] = []
    for column, measure in enumerate(MEASURES.values()):
        of_reference = reference.values[:, column]
        if not abs(spearman(reference.outlying, of_reference)) >= FOLLOWS:  # NaN where all are alike
            continue
        share = among_equals(np.array([-score]), values[column : column + 1], reference.outlying, of_reference)[0]
        if np.isnan(share):
            alone.append(measure)
        else:
            found.append((float(share), measure))
    if found:
        share, measure = min(found, key=lambda one: abs(one[0] - 0.5))
        if ALPHA < share < 1 - ALPHA:
            return Complexity(Explains.YES, measure, share)
    if alone:
        return Complexity(Explains.UNKNOWN, alone[0])
    return Complexity(Explains.NO, measure, share) if found else Complexity(Explains.NO)


def verdict(found: Findings) -> Verdict:
    """The verdict on a picture."""
    kind, headline = _conclusion(found)
    sentences = [] if found.combined is None else [_of_p(found.combined)]
    if found.called and found.reasons:
        sentences.append(f"Seen beside the references, it {listed([one.words for one in found.reasons])}.")
    if found.called and found.disturbed:
        sentences.append(_of_disturbance(found.disturbed))
    sentences.append(_of_distance(found))
    if score := found.places.get("jepa"):
        sentences.append(_of_score(score))
        if score.p_two_sided is not None and score.p_two_sided <= 2 * ALPHA:
            sentences.append(_of_complexity(score, found.complexity))
        if given := found.places.get("residual"):
            sentences.append(_of_residual(given))
    else:
        sentences.append("Its score is not there yet.")
    if kind is VerdictKind.IN_DISTRIBUTION:
        sentences.append(
            "That does not prove that it belongs: a foreign picture can be like the references in all of this."
        )
    return Verdict(kind, headline, tuple(sentences))


def _conclusion(found: Findings) -> tuple[VerdictKind, str]:
    combined = found.combined
    if combined is None:
        return VerdictKind.UNKNOWN, "Too little is known of the references for a verdict: score more of them."
    if not found.called:
        return VerdictKind.IN_DISTRIBUTION, "Nothing tells it from the references."
    if found.was_disturbed and found.disturbed:
        return VerdictKind.DISTURBED, f"It looks like one of them {AS_DISTURBED[found.disturbed.kind]}."
    if combined.first in _SCORE and combined.by_method[combined.first] * 2 <= ALPHA and not found.reasons:
        how = "Less" if combined.first == "unlikely" else "More"
        share = percentile(100 * (1 - combined.by_method[combined.first]))
        return VerdictKind.REVIEW, f"{how} likely than {share} % of them, and nothing else is unusual."
    if found.reasons:
        return VerdictKind.OUT_OF_DISTRIBUTION, f"It is none of them: it {found.reasons[0].words}."
    return (
        VerdictKind.OUT_OF_DISTRIBUTION,
        f"It is none of them by {_FOUND[combined.first]}, though nothing is odd about how it looks.",
    )


def _of_p(combined: Combined) -> str:
    rests = f" This rests on {_FOUND[combined.first]} most." if combined.p <= ALPHA else ""
    return (
        f"Of 100 pictures like the references, {percentile(100 * combined.p)} would be as unusual; "
        f"{100 * ALPHA:.0f} of 100 are called anything.{rests}"
    )


def _of_disturbance(disturbed: Disturbed) -> str:
    if disturbed.p > ALPHA:
        return (
            f"Of known images {AS_DISTURBED[disturbed.kind]}, {percentile(100 * disturbed.p)} % lie as far out as it."
        )
    return "No disturbance that is known of here makes the known images look like it."


def _of_distance(found: Findings) -> str:
    for name, what in (("joint", "Its layers and its embedding"), ("knn", "Its embedding")):
        if place := found.places.get(name):
            share = percentile(100 - place.percentile)
            return f"{what} are farther from {found.fitted_on} than those of {share} % of {place.size} references."
    return "How far it lies from known images cannot be said: nothing is known of these but their scores."


def _of_score(score: Place) -> str:
    """Where the score falls, with the interval that the size of the reference leaves."""
    if score.percentile < 50:
        comparison, share, low, high = "Less", 100 - score.percentile, 100 - score.high, 100 - score.low
    else:
        comparison, share, low, high = "More", score.percentile, score.low, score.high
    interval = f"{percentile(low)} to {percentile(high)} %"
    return f"By its score it is {comparison.lower()} likely than {percentile(share)} % of the references ({interval})."


def _of_residual(given: Place) -> str:
    low = given.percentile < 50
    share = percentile(100 - given.percentile if low else given.percentile)
    return f"Given what can be seen of it, its score is {'lower' if low else 'higher'} than {share} % of theirs."


def _of_complexity(score: Place, complexity: Complexity | None) -> str:
    if complexity is None:
        return "Whether its complexity explains the score cannot be said: the references' pictures are not here."
    if complexity.measure is None:
        return "Its complexity does not explain the score, which follows none of its measures among the references."
    title = complexity.measure.title
    if complexity.explains is Explains.UNKNOWN:
        return (
            f"Its {title} may explain the score: the score follows that among the references, and too few of them are "
            "like it."
        )
    low = score.percentile < 50
    share = percentile(100 * (complexity.share if low else 1 - complexity.share))
    among = f"of the references of its {title}, {share} % are {'more' if low else 'less'} likely"
    if complexity.explains is Explains.YES:
        return f"Its {title} explains the score: {among}."
    return f"Its {title} does not explain the score: {among}."
