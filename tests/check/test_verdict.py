"""From evidence to plain words: what is concluded, and the reason that is named."""

import numpy as np
import pytest

from jepa_core.check.combined import Combined
from jepa_core.check.disturbances import Disturbed
from jepa_core.check.reasons import reasons
from jepa_core.check.verdict import Complexity, Explains, Findings, Verdict, VerdictKind, complexity_of, verdict
from jepa_core.confounds.image_stats import MEASURES
from jepa_core.confounds.matching import Measured
from jepa_core.confounds.visible import VISIBLE
from jepa_core.stats.conformal import Reference

NAMES = list(MEASURES)
SEEN = [measure.name for measure in VISIBLE]
BRIGHTNESS = NAMES.index("brightness")
NORMAL = Reference("held-out images", np.random.default_rng(0).normal(size=700))
LOW, USUAL, HIGH = -5.0, 0.1, 5.0  # in units of the reference's spread: a score, or minus a distance
FITTED = "the 100 images of training"


def seen(**values: float) -> np.ndarray:
    """Visible measures, usual but for those given."""
    return np.array([values.get(name.replace(" ", "_"), 0.0) for name in SEEN])


KNOWN = np.random.default_rng(1).normal(size=(1000, len(SEEN))) * 1e-3


def found(
    p: float = 0.001,
    first: str = "joint",
    disturbed: Disturbed | None = None,
    complexity: Complexity | None = None,
    score: float = USUAL,
    **values: float,
) -> Findings:
    """Findings with this p-value, which rests on the method `first`, and with these visible measures."""
    combined = Combined(p, {first: p, **{name: 1.0 for name in ("joint", "visible") if name != first}}, (first,))
    places = {"jepa": NORMAL.place(score), "joint": NORMAL.place(USUAL)}
    return Findings(combined, places, reasons(seen(**values), KNOWN), disturbed, complexity, FITTED)


def said(one: Verdict) -> str:
    return " ".join([one.headline, *one.sentences])


def measured(seed: int, count: int = 300, follows: float = 0.0) -> Measured:
    """Pictures whose outlier score follows their brightness with this weight."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(count, len(NAMES)))
    noise = np.sqrt(1 - follows**2) * generator.normal(size=count)
    return Measured("held-out images", follows * values[:, BRIGHTNESS] + noise, values.astype(np.float32))


# --- the conclusion ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kind", "headline"),
    [
        (found(0.3), VerdictKind.IN_DISTRIBUTION, "Nothing tells it from the references."),
        (found(0.3, brightness=-90), VerdictKind.IN_DISTRIBUTION, "Nothing tells it from the references."),
        (
            found(brightness=-90),
            VerdictKind.OUT_OF_DISTRIBUTION,
            "It is none of them: it is darker than all of them.",
        ),
        (
            found(detail=-9, border=0.4),
            VerdictKind.OUT_OF_DISTRIBUTION,
            "It is none of them: it has an even border.",
        ),
        (
            found(),
            VerdictKind.OUT_OF_DISTRIBUTION,
            "It is none of them by its layers and its embedding, though nothing is odd about how it looks.",
        ),
        (
            found(disturbed=Disturbed("dark", 0.4), brightness=-90),
            VerdictKind.DISTURBED,
            "It looks like one of them made darker.",
        ),
        (
            found(disturbed=Disturbed("dark", 0.01), brightness=-90),
            VerdictKind.OUT_OF_DISTRIBUTION,
            "It is none of them: it is darker than all of them.",
        ),
        (
            found(first="likely", score=HIGH),
            VerdictKind.REVIEW,
            "More likely than 99.9 % of them, and nothing else is unusual.",
        ),
        (
            found(first="unlikely", score=LOW),
            VerdictKind.REVIEW,
            "Less likely than 99.9 % of them, and nothing else is unusual.",
        ),
    ],
)
def test_one_p_value_decides_and_one_reason_is_named(given, kind, headline):
    one = verdict(given)
    assert (one.kind, one.headline) == (kind, headline)


def test_without_what_is_known_of_the_references_there_is_no_verdict():
    one = verdict(Findings(None, {}, (), None, None, FITTED))
    assert one.kind is VerdictKind.UNKNOWN
    assert "score more of them" in one.headline


def test_the_evidence_is_told_in_shares_of_the_references():
    score = Reference("held-out images", np.arange(720.0)).place(20.5)
    given = found(brightness=-90, disturbed=Disturbed("dark", 0.01))
    given = Findings(given.combined, {**given.places, "jepa": score}, given.reasons, given.disturbed, None, FITTED)
    sentences = verdict(given).sentences
    assert sentences[0] == (
        "Of 100 pictures like the references, 0.1 would be as unusual; 5 of 100 are called anything. "
        "This rests on its layers and its embedding most."
    )
    assert sentences[1] == "Seen beside the references, it is darker than all of them."
    assert sentences[2] == "No disturbance that is known of here makes the known images look like it."
    assert sentences[3].startswith(f"Its layers and its embedding are farther from {FITTED} than those of ")
    assert sentences[4] == "By its score it is less likely than 97 % of the references (96 to 98 %)."


# --- the reason that is seen ------------------------------------------------------------------------------------------


def test_only_what_lies_beyond_nearly_all_references_is_a_reason_and_no_value_is_named():
    generator = np.random.default_rng(0)
    known = generator.normal(size=(500, len(SEEN))) * [measure.least for measure in VISIBLE]
    for picture in generator.normal(size=(200, len(SEEN))) * [4 * measure.least for measure in VISIBLE]:
        for reason in reasons(picture, known):
            column = SEEN.index(reason.measure.name)
            beyond = (known[:, column] < picture[column]) if reason.high else (known[:, column] > picture[column])
            assert beyond.mean() == reason.share >= 0.99
            assert not any(
                word.replace(".", "").isdigit() for word in reason.words.split() if word not in _shares(reason)
            )


def _shares(reason) -> set[str]:
    return {f"{100 * reason.share:.1f}".rstrip("0").rstrip("."), f"{100 * reason.share:.0f}"}


def test_a_difference_that_nobody_could_see_is_no_reason():
    assert reasons(seen(brightness=-9), KNOWN) == []
    assert [one.measure.name for one in reasons(seen(brightness=-11), KNOWN)] == ["brightness"]


def test_of_references_that_were_not_measured_nothing_is_said():
    assert reasons(seen(brightness=-90), np.full((9, len(SEEN)), np.nan)) == []


# --- complexity -------------------------------------------------------------------------------------------------------


def test_brightness_explains_a_score_that_follows_it():
    reference = measured(0, follows=0.95)
    values = np.zeros(len(NAMES), dtype=np.float32)
    values[BRIGHTNESS] = 1.7
    explained = complexity_of(-0.95 * 1.7, values, reference)
    assert explained.explains is Explains.YES
    assert explained.measure.name == "brightness"
    low = verdict(found(first="unlikely", score=LOW, complexity=explained))
    assert low.kind is VerdictKind.REVIEW
    assert "Its brightness explains the score: of the references of its brightness," in said(low)


def test_brightness_does_not_explain_a_score_that_is_low_among_its_equals_too():
    explained = complexity_of(-6.0, np.zeros(len(NAMES), dtype=np.float32), measured(0, follows=0.6))
    assert explained.explains is Explains.NO
    assert explained.share > 0.99
    words = said(verdict(found(score=LOW, complexity=explained)))
    assert "Its brightness does not explain the score: of the references of its brightness, 99.9 % are" in words


def test_a_score_that_follows_no_measure_is_explained_by_none():
    explained = complexity_of(-6.0, np.full(len(NAMES), 9, dtype=np.float32), measured(0))
    assert explained == Complexity(Explains.NO)
    assert "which follows none of its measures" in said(verdict(found(score=LOW, complexity=explained)))


def test_a_picture_without_equals_leaves_it_open():
    values = np.zeros(len(NAMES), dtype=np.float32)
    values[BRIGHTNESS] = 50
    explained = complexity_of(-6.0, values, measured(0, follows=0.9))
    assert explained.explains is Explains.UNKNOWN
    assert "too few of them are like it" in said(verdict(found(score=LOW, complexity=explained)))
