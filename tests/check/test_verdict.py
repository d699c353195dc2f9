"""From evidence to plain words: what is concluded, and how often pictures that belong are called unusual."""

import numpy as np
import pytest

from jepa_core.check.image_stats_detector import PlainMeasures
from jepa_core.check.verdict import ASKED, Complexity, Explains, Verdict, VerdictKind, complexity_of, verdict
from jepa_core.confounds.image_stats import MEASURES
from jepa_core.confounds.matching import Measured
from jepa_core.stats.conformal import Place, Reference

NAMES = list(MEASURES)
BRIGHTNESS, UPSCALING = NAMES.index("brightness"), NAMES.index("upscaling")
NORMAL = Reference("held-out images", np.random.default_rng(0).normal(size=700))
# In units of the reference's spread: a score, or minus a distance.
LOW, USUAL, HIGH = -5.0, 0.1, 5.0


def places(**values: float) -> dict[str, Place]:
    """Where a picture falls whose methods all find it usual, but for those given."""
    return {name: NORMAL.place(values.get(name, USUAL)) for name in ASKED}


def said(found: Verdict) -> str:
    return " ".join([found.headline, *found.sentences])


def measured(seed: int, count: int = 300, follows: float = 0.0) -> Measured:
    """Pictures whose outlier score follows their brightness with this weight."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(count, len(NAMES)))
    noise = np.sqrt(1 - follows**2) * generator.normal(size=count)
    return Measured("held-out images", follows * values[:, BRIGHTNESS] + noise, values.astype(np.float32))


# --- the conclusion ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        ({}, VerdictKind.IN_DISTRIBUTION, "are like those of the references"),
        (
            {"jepa": LOW, "knn": LOW},
            VerdictKind.OUT_OF_DISTRIBUTION,
            "finds it unlikely, and the 10-NN distance says that it is far",
        ),
        (
            {"jepa": LOW, "knn": LOW, "mahalanobis": LOW},
            VerdictKind.OUT_OF_DISTRIBUTION,
            "finds it unlikely, and both distances say",
        ),
        (
            {"jepa": HIGH, "knn": LOW},
            VerdictKind.OUT_OF_DISTRIBUTION,
            "finds it likely, but the 10-NN distance says that it is far",
        ),
        (
            {"mahalanobis": LOW},
            VerdictKind.OUT_OF_DISTRIBUTION,
            "nothing unusual, but the Mahalanobis distance says that it is far",
        ),
        (
            {"plain": LOW},
            VerdictKind.OUT_OF_DISTRIBUTION,
            "nothing unusual, but plain measures say that it is unlike the references",
        ),
        (
            {"plain": LOW, "knn": LOW},
            VerdictKind.OUT_OF_DISTRIBUTION,
            "is far from the training images and plain measures say",
        ),
        ({"jepa": LOW}, VerdictKind.REVIEW, "finds it unlikely, and the distances find nothing unusual"),
        ({"jepa": HIGH}, VerdictKind.REVIEW, "higher than the references', which foreign pictures can have too"),
        ({"knn": HIGH}, VerdictKind.REVIEW, "nearer to the training images than the references do"),
        ({"plain": HIGH}, VerdictKind.IN_DISTRIBUTION, "are like those of the references"),  # nothing is too ordinary
    ],
)
def test_what_the_methods_find_is_weighed(values, kind, words):
    found = verdict(places(**values), "the 100 images of training")
    assert found.kind is kind
    assert words in found.headline


def test_the_evidence_gives_shares_intervals_and_p_values():
    score = Reference("held-out images", np.arange(720.0)).place(20.5)
    found = verdict({**places(), "jepa": score}, "the 100 images of training")
    said = "96 to 98 %; p = 0.06, which counts only from 0.013 down"
    assert found.sentences[0] == f"Less likely than 97 % of the 720 references ({said})."
    assert "counts only" not in " ".join(verdict(places(jepa=LOW), "").sentences), "it does count there"
    assert found.sentences[1].startswith("Farther from the 100 images of training than this share of 700 references: ")
    assert verdict(places(jepa=LOW), "").sentences[0].startswith("Less likely than 100 % of the 700")
    assert verdict(places(jepa=HIGH), "").sentences[0].startswith("More likely than 100 % of the 700")


def test_two_hands_that_are_half_raised_are_not_raised():
    near = float(np.quantile(NORMAL.scores, 0.02))  # p of .04 on both sides, and .0125 is needed
    assert verdict(places(jepa=near, knn=near), "").kind is VerdictKind.IN_DISTRIBUTION


def test_a_method_that_is_missing_is_told_and_the_others_judge():
    without = {name: place for name, place in places(jepa=LOW).items() if name in {"jepa"}}
    found = verdict(without, "")
    assert found.kind is VerdictKind.REVIEW
    assert "There are no distances" in said(found)
    assert "Plain measures were not compared" in said(found)
    assert "by any of the 1 methods" in said(found)


@pytest.mark.parametrize(("size", "kind"), [(158, VerdictKind.UNKNOWN), (159, VerdictKind.OUT_OF_DISTRIBUTION)])
def test_too_few_references_give_no_verdict(size, kind):
    small = Reference("held-out images", np.arange(float(size)))
    found = verdict({**places(jepa=LOW), "knn": small.place(-1.0)}, "")
    assert found.kind is kind
    if kind is VerdictKind.UNKNOWN:
        assert found.headline == "There are 158 references; a verdict by 4 methods needs at least 159."


def test_at_most_five_in_a_hundred_pictures_that_belong_are_called_unusual():
    generator, called = np.random.default_rng(1), []
    for _ in range(20):
        together = generator.normal(size=(1, 500))  # the methods agree in part
        values = dict(zip(ASKED, 0.7 * together + generator.normal(size=(4, 500)), strict=True))
        references = {name: Reference(name, column[:400]) for name, column in values.items()}
        for picture in range(400, 500):
            found = verdict({name: references[name].place(column[picture]) for name, column in values.items()}, "")
            called.append(found.kind is not VerdictKind.IN_DISTRIBUTION)
    assert 0.01 < np.mean(called) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)


# --- complexity -------------------------------------------------------------------------------------------------------


def test_brightness_explains_a_score_that_follows_it():
    reference = measured(0, follows=0.95)
    values = np.zeros(len(NAMES), dtype=np.float32)
    values[BRIGHTNESS] = 1.7
    found = complexity_of(-0.95 * 1.7, values, reference)
    assert found.explains is Explains.YES
    assert found.measure.name == "brightness"
    low = verdict(places(jepa=LOW), "", found)
    assert low.kind is VerdictKind.REVIEW
    assert low.headline == "The score finds it unlikely, as it does references of its brightness."
    assert "Its brightness explains the score: of the references of its brightness," in said(low)


def test_brightness_does_not_explain_a_score_that_is_low_among_its_equals_too():
    found = complexity_of(-6.0, np.zeros(len(NAMES), dtype=np.float32), measured(0, follows=0.6))
    assert found.explains is Explains.NO
    assert found.share > 0.99
    words = said(verdict(places(jepa=LOW), "", found))
    assert "Its brightness does not explain the score: of the references of its brightness, 99.9 % are" in words


def test_a_score_that_follows_no_measure_is_explained_by_none():
    found = complexity_of(-6.0, np.full(len(NAMES), 9, dtype=np.float32), measured(0))
    assert found == Complexity(Explains.NO)
    assert "which follows none of its measures" in said(verdict(places(jepa=LOW), "", found))


def test_a_picture_without_equals_leaves_it_open():
    values = np.zeros(len(NAMES), dtype=np.float32)
    values[BRIGHTNESS] = 50
    found = complexity_of(-6.0, values, measured(0, follows=0.9))
    assert found.explains is Explains.UNKNOWN
    assert "too few of them are like it" in said(verdict(places(jepa=LOW), "", found))


# --- plain measures ---------------------------------------------------------------------------------------------------


def test_a_picture_like_the_others_is_ordinary_and_one_unlike_them_is_named():
    plain = PlainMeasures(measured(0))
    usual = np.zeros(len(NAMES), dtype=np.float32)
    assert plain.place(usual).percentile > 50
    odd = usual.copy()
    odd[BRIGHTNESS] = 30
    assert plain.place(odd).p_lower == pytest.approx(1 / 151)
    measure, value, low, high = plain.strangest(odd)
    assert (measure.name, value) == ("brightness", 30)
    assert (low, high) == (plain.measured.values[:, BRIGHTNESS].min(), plain.measured.values[:, BRIGHTNESS].max())
    words = said(verdict({**places(), "plain": plain.place(odd)}, "", None, plain.strangest(odd)))
    assert "Its brightness is 30 (grey levels), theirs" in words


def test_the_size_of_a_file_is_not_held_against_it_but_colours_where_all_are_grey_are():
    reference = measured(0)
    reference.values[:, [UPSCALING, NAMES.index("colourfulness")]] = [2.0, 0.0]
    plain = PlainMeasures(reference)
    picture = np.zeros(len(NAMES), dtype=np.float32)
    picture[UPSCALING] = 40
    assert plain.place(picture).percentile > 50
    picture[NAMES.index("colourfulness")] = 5
    assert plain.place(picture).p_lower == pytest.approx(1 / 151)


def test_plain_measures_of_pictures_that_belong_are_uniform_among_the_others():
    drawn = [PlainMeasures(measured(seed)).place(measured(1000 + seed, 1).values[0]).p_lower for seed in range(300)]
    rate = 15 / 151  # floor(alpha (n + 1)) / (n + 1) for alpha .1, n 150
    assert np.mean(np.array(drawn) <= 0.1) == pytest.approx(rate, abs=3 * np.sqrt(rate * (1 - rate) / 300))
