"""What all evidence says of one picture, in plain words: does it belong to the images that it is held against?

Four methods are asked: the JEPA-SCORE, the distance to the 10th nearest training image, the Mahalanobis distance, and
plain measures of the picture. They fail on different pictures, the first three on either side: foreign images can score
too low or too high, and lie too far or too near (an encoder whose training views add noise alone draws simple pictures
together). So these are asked on both sides, by the two-sided p-value of `reference`, and a method is *raised* at or
below `ALPHA` divided by the number of methods. By Bonferroni's inequality at most `ALPHA` of the images drawn like the
reference raise any, whatever the methods have to do with each other; `reference` states what that guarantees.

What a raised score is worth hangs on whether the picture's complexity alone would explain it: `complexity_of`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from jepa_core.confounds.image_stats import MEASURES, Measure
from jepa_core.confounds.matching import FOLLOWS, Measured, among_equals
from jepa_core.detectors import DETECTORS
from jepa_core.stats.conformal import ALPHA, Place
from jepa_core.stats.rank_correlation import spearman
from jepa_core.wording import percentile

DISTANCES = ("knn", "mahalanobis")
PLAIN = "plain"
ASKED = ("jepa", *DISTANCES, PLAIN)
"""The methods that are asked. The embedding's norm is a part of the Mahalanobis distance and says little by itself."""


class VerdictKind(StrEnum):
    """The verdict in a word or two."""

    OUT_OF_DISTRIBUTION = "Out of distribution"
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
    """`kind`, `headline` (what to think of the picture, one sentence), and the evidence in `sentences`."""

    kind: VerdictKind
    headline: str
    sentences: tuple[str, ...]


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


def least_references(name: str, methods: int) -> int:
    """How many references a method needs among so many: the smallest p-value is 1 / (n + 1), two-sided twice that.

    >>> least_references("jepa", 4), least_references("plain", 4)
    (159, 79)
    """
    return round((1 if name == PLAIN else 2) * methods / ALPHA) - 1


def smallest_p_value(places: Mapping[str, Place]) -> float:
    """The smallest p-value of the methods that are asked: 1 where none finds a picture unusual at all."""
    return min(_p_value(name, places[name]) for name in ASKED if name in places)


def verdict(
    places: Mapping[str, Place],
    fitted_on: str,
    complexity: Complexity | None = None,
    strangest: tuple[Measure, float, float, float] | None = None,
) -> Verdict:
    """The verdict on a picture.

    Args:
        places: where it falls in each method's reference; those of `ASKED` are heard. All but the score may be missing.
        fitted_on: what the distances are to, in words ("the 1077 images of digits-train").
        complexity: None where the reference's pictures are not there to be measured.
        strangest: of `PlainMeasures`, to be named where plain measures are unusual.
    """
    asked = {name: places[name] for name in ASKED if name in places}
    score = asked["jepa"]
    sentences = [_of_score(score, len(asked)), _of_distances(asked, fitted_on)]
    for name, place in asked.items():
        least = least_references(name, len(asked))
        if place.size < least:
            headline = f"There are {place.size} references; a verdict by {len(asked)} methods needs at least {least}."
            return Verdict(VerdictKind.UNKNOWN, headline, tuple(sentences))
    raised = _raised(asked)
    if _p_value("jepa", score) <= 2 * ALPHA:
        sentences.append(_of_complexity(score, complexity))
    if PLAIN in raised and strangest:
        sentences.append(_of_measure(asked[PLAIN], *strangest))
    if PLAIN not in asked:
        sentences.append("Plain measures were not compared: the references' pictures are not here.")
    kind, headline = _conclusion(raised, score, complexity)
    sentences.append(
        f"Of pictures like the references, at most {100 * ALPHA:.0f} in 100 are called unusual by any of the "
        f"{len(asked)} methods."
        if raised
        else "That does not prove that it belongs: a foreign picture can be like the references in all of this."
    )
    return Verdict(kind, headline, tuple(sentences))


def raised_by(places: Mapping[str, Place]) -> set[str]:
    """The methods that find a picture unusual; none where a reference is too small for a verdict."""
    asked = {name: places[name] for name in ASKED if name in places}
    enough = all(place.size >= least_references(name, len(asked)) for name, place in asked.items())
    return set(_raised(asked)) if enough else set()


def _raised(asked: Mapping[str, Place]) -> dict[str, bool]:
    """The methods that find a picture unusual: True for an unlikely score or a large distance."""
    return {name: _low(place) for name, place in asked.items() if _p_value(name, place) <= ALPHA / len(asked)}


def _conclusion(raised: Mapping[str, bool], score: Place, complexity: Complexity | None) -> tuple[VerdictKind, str]:
    far = [name for name in DISTANCES if raised.get(name)]
    unlikely, too_likely = raised.get("jepa") is True, raised.get("jepa") is False
    reasons = [f"{_say(far)} that it is far from the training images"] if far else []
    if PLAIN in raised:
        reasons.append("plain measures say that it is unlike the references")
    if reasons:
        against = " and ".join(reasons)
        if unlikely:
            return VerdictKind.OUT_OF_DISTRIBUTION, f"The score finds it unlikely, and {against}."
        finds = "it likely" if score.percentile >= 75 else "nothing unusual"
        return (
            VerdictKind.OUT_OF_DISTRIBUTION,
            f"The score finds {finds}, but {against}: treat it as out of distribution.",
        )
    if unlikely and complexity and complexity.measure and complexity.explains is Explains.YES:
        return (
            VerdictKind.REVIEW,
            f"The score finds it unlikely, as it does references of its {complexity.measure.title}.",
        )
    if unlikely:
        return VerdictKind.REVIEW, "The score finds it unlikely, and the distances find nothing unusual."
    if too_likely:
        return VerdictKind.REVIEW, "The score is higher than the references', which foreign pictures can have too."
    if raised:
        return (
            VerdictKind.REVIEW,
            "It lies nearer to the training images than the references do, which foreign pictures can do too: with "
            "some encoders simple pictures fall together.",
        )
    return VerdictKind.IN_DISTRIBUTION, "The score, the distances and plain measures are like those of the references."


def _of_score(score: Place, methods: int) -> str:
    """Where the score falls, with the interval that the size of the reference leaves."""
    if _low(score):
        comparison, share, low, high = "Less", 100 - score.percentile, 100 - score.high, 100 - score.low
    else:
        comparison, share, low, high = "More", score.percentile, score.low, score.high
    interval = f"{percentile(low)} to {percentile(high)} %{_p_words(score, methods)}"
    return f"{comparison} likely than {percentile(share)} % of the {score.size} references ({interval})."


def _of_distances(asked: Mapping[str, Place], fitted_on: str) -> str:
    there = [name for name in DISTANCES if name in asked]
    if not there:
        return "There are no distances: the encoder's training images have no embeddings here."
    parts = []
    for name in there:
        share, words = f"{percentile(100 - asked[name].percentile)} %", _p_words(asked[name], len(asked), brackets=True)
        parts.append(f"{share} by the {DETECTORS[name]().title}{words}")
    size = asked[there[0]].size
    return f"Farther from {fitted_on} than this share of {size} references: {' and '.join(parts)}."


def _of_measure(place: Place, measure: Measure, value: float, low: float, high: float) -> str:
    return (
        f"Plain measures: more unlike the others than {percentile(100 - place.percentile)} % of {place.size} "
        f"references. Its {measure.title} is {value:.3g} ({measure.unit}), theirs {low:.3g} to {high:.3g}."
    )


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
    if _low(score):
        among = f"of the references of its {title}, {percentile(100 * complexity.share)} % are more likely"
    else:
        among = f"of the references of its {title}, {percentile(100 * (1 - complexity.share))} % are less likely"
    if complexity.explains is Explains.YES:
        return f"Its {title} explains the score: {among}."
    return f"Its {title} does not explain the score: {among}."


def _p_value(name: str, place: Place) -> float:
    # Nothing is too ordinary in its plain measures.
    p = place.p_lower if name == PLAIN else place.p_two_sided
    return 1.0 if p is None else p


def _low(place: Place) -> bool:
    """Whether it is on the side of unlikely images; a distance's place is turned, so that this is far."""
    return place.percentile < 50


def _p_words(place: Place, methods: int, *, brackets: bool = False) -> str:
    """The two-sided p-value that the verdict asks, for places near an end, and where it is not small enough."""
    p = _p_value("jepa", place)
    if p > 2 * ALPHA:
        return ""
    words = f"p = {p:.1g}"
    if p > ALPHA / methods:
        words += f", which counts only from {ALPHA / methods:.2g} down"
    return f" ({words})" if brackets else f"; {words}"


def _say(far: list[str]) -> str:
    if len(far) == len(DISTANCES):
        return "both distances say"
    return f"the {DETECTORS[far[0]]().title} says"
