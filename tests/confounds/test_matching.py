"""Planted confounds: what is brightness is unmasked, what is not is left alone, and what cannot be said is not said."""

import warnings

import numpy as np
import pandas as pd
import pytest

from jepa_core.confounds.image_stats import MEASURES
from jepa_core.confounds.matching import Confound, Explanation, Kind, Measured, among_equals, equals, explain
from jepa_core.confounds.report import as_table, in_words
from jepa_core.errors import NotEnoughData
from jepa_core.figures.confounds import confounds_figure

BRIGHTNESS = list(MEASURES).index("brightness")


def planted(seed: int, *, shift: float = 1.0, content: float = 0.0, follows: float = 0.0) -> tuple[Measured, Measured]:
    """A reference of 300 and a domain of 200 that is `shift` brighter; all else that is measured is alike in both.

    The outlier score has variance 1: it follows brightness with weight `follows`, and the domain by `content` itself.
    """
    rng = np.random.default_rng(seed)
    sets = []
    for name, size, moved, own in (("digits", 300, 0.0, 0.0), ("galaxies", 200, shift, content)):
        values = rng.normal(size=(size, len(MEASURES)))
        values[:, BRIGHTNESS] += moved
        noise = np.sqrt(1 - follows**2) * rng.normal(size=size)
        sets.append(Measured(name, follows * values[:, BRIGHTNESS] + noise + own, values))
    return sets[0], sets[1]


def brightness(found: Explanation) -> Confound:
    return found.confounds[BRIGHTNESS]


# --- the planted cases ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [1, -1])
def test_a_score_that_is_brightness_is_unmasked(shift):
    found = explain(*planted(0, shift=shift, follows=1))
    assert abs(found.auroc - 0.5) > 0.2
    assert (found.kind, found.chief) == (Kind.MOST, brightness(found))
    assert found.chief.auroc == pytest.approx(found.auroc)
    assert found.chief.after == pytest.approx(0.5, abs=0.02)
    assert found.chief.share == pytest.approx(1, abs=0.05)
    assert found.chief.spearman == pytest.approx(-1), "a high outlier score is a low likelihood"
    words = in_words(found)
    assert words.startswith("Brightness explains most of what tells galaxies from digits.")
    assert "Within digits the score falls with brightness (Spearman -1.00)." in words
    assert all(one.kind is Kind.NOT for one in found.confounds if one is not found.chief)


def test_a_score_that_follows_brightness_with_noise_is_unmasked_too_or_the_images_do_not_allow_it():
    found = [explain(*planted(seed, follows=0.8)) for seed in range(8)]
    assert {one.chief.measure.name for one in found} == {"brightness"}
    assert {one.kind for one in found} <= {Kind.MOST, Kind.UNKNOWN}
    assert sum(one.kind is Kind.MOST for one in found) >= 6


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("content", [0.6, -1.5])
def test_a_score_that_is_independent_of_all_is_left_alone(seed, content):
    found = explain(*planted(seed, content=content))
    assert found.kind is Kind.NOT
    assert brightness(found).strength > 0.2
    assert brightness(found).after == pytest.approx(found.auroc, abs=0.05)
    assert in_words(found).startswith("No measure explains what tells galaxies from digits.")


@pytest.mark.parametrize("seed", range(3))
def test_a_score_that_is_half_brightness_is_named_as_such(seed):
    found = explain(*planted(seed, shift=1, follows=0.7, content=0.7))
    assert (found.kind, found.chief) == (Kind.PART, brightness(found))
    assert 0.25 < found.chief.share < 0.5
    assert found.chief.after_low < found.chief.after < found.chief.after_high < found.chief.before
    assert "Brightness explains part of" in in_words(found)


def test_a_score_that_hides_its_separation_behind_brightness_is_not_explained_by_it():
    found = explain(*planted(0, shift=1, follows=-0.7, content=1.2))
    assert found.kind is Kind.NOT
    assert brightness(found).share < -0.3
    assert brightness(found).after > found.auroc + 0.1


def test_a_score_that_does_not_separate_leaves_nothing_to_explain():
    found = explain(*planted(0, shift=1))
    assert (found.kind, found.chief) == (Kind.NOTHING, None)
    assert {one.kind for one in found.confounds} == {Kind.NOTHING}
    assert "there is nothing to explain" in in_words(found)


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_sets_that_do_not_overlap_are_not_matched():
    found = explain(*planted(0, shift=20, content=1))
    assert (found.kind, found.chief) == (Kind.UNKNOWN, brightness(found))
    assert (found.chief.matched, found.chief.comparable) == (0, False)
    assert np.isnan([found.chief.before, found.chief.after, found.chief.share]).all()
    words = in_words(found)
    assert "cannot be told apart from brightness: no images of digits are as bright as those of galaxies." in words
    assert "Within digits it follows nothing of this in that direction, which speaks against it." in words


def test_what_the_reference_alone_says_of_an_unmatched_measure_is_told():
    reference, domain = planted(0, shift=-20, follows=0.8)
    words = in_words(explain(reference, domain))
    assert "no images of digits are as dark as those of galaxies" in words
    assert "Within digits it does follow brightness (Spearman -0.8" in words
    against = Measured(domain.name, -domain.outlying, domain.values)
    assert "which speaks against it" in in_words(explain(reference, against))
    alike = Measured(reference.name, reference.outlying, reference.values * (np.arange(len(MEASURES)) != BRIGHTNESS))
    assert "All of digits is alike in this" in in_words(explain(alike, domain))


def test_of_many_unmatched_measures_the_strongest_are_named_and_the_others_counted():
    reference, domain = planted(0, content=1)
    domain.values[:, :5] += 20
    words = in_words(explain(reference, domain))
    assert "from PNG size, JPEG size, gradient energy and 2 other measures: no images of digits are as" in words
    assert "as complex or rough as those of galaxies" in words


def test_a_gap_in_the_reference_is_no_overlap():
    reference, domain = planted(0, content=1)
    reference.values[:150, BRIGHTNESS] -= 50
    reference.values[150:, BRIGHTNESS] += 50
    domain.values[:, BRIGHTNESS] = 0
    found = brightness(explain(reference, domain))
    assert (found.matched, found.kind) == (0, Kind.UNKNOWN)
    assert found.strength < 0.1, "their medians are the same"


def test_half_of_the_domain_has_to_be_matched():
    for share, comparable in ((0.6, True), (0.4, False)):
        reference, domain = planted(0, shift=0, content=1)
        domain.values[int(share * len(domain)) :, BRIGHTNESS] += 50
        found = brightness(explain(reference, domain))
        assert found.comparable is comparable
        assert abs(found.matched - share * len(domain)) < 10


def test_where_the_unmatched_images_alone_stand_out_nothing_is_said():
    reference, domain = planted(0, shift=0)
    domain.values[110:, BRIGHTNESS] += 50
    domain.outlying[110:] += 50
    found = explain(reference, domain)
    assert found.auroc > 0.7
    assert brightness(found).comparable
    assert brightness(found).before == pytest.approx(0.5, abs=0.1)
    assert found.kind is brightness(found).kind is Kind.UNKNOWN
    assert "For brightness the images that have equals are too few, or not those that stand out." in in_words(found)


def test_the_interval_of_the_matched_area_covers_the_truth_as_often_as_it_says_or_nearly():
    found = [brightness(explain(*planted(seed, follows=0.5))) for seed in range(20, 30)]
    covered = [one.after_low <= 0.5 <= one.after_high for one in found if one.comparable]
    assert len(covered) >= 8
    assert np.mean(covered) > 0.6  # 90 % are meant; six or fewer of ten that hold 85 % happen once in a hundred times


def test_few_equals_are_not_enough_however_many_images_have_them():
    for grey, comparable in ((12, False), (30, True)):
        reference, domain = planted(0, content=1)
        reference.values[grey:, BRIGHTNESS] += 50
        reference.values[:grey, BRIGHTNESS] = domain.values[:, BRIGHTNESS] = 0
        found = brightness(explain(reference, domain))
        assert (found.matched, found.equals) == (len(domain), pytest.approx(grey))
        assert found.comparable is comparable


def test_a_separation_that_turns_round_among_equals_is_said_to():
    found = explain(*planted(0, shift=1.2, follows=0.9, content=-0.4))
    assert found.auroc > 0.6 > 0.4 > found.chief.after
    assert found.kind is Kind.MOST
    assert "Among equals the score tells the two apart the other way round." in in_words(found)
    assert "other way" not in in_words(explain(*planted(0, shift=1, follows=1)))


def test_few_images_are_not_enough_to_say_anything():
    reference, domain = planted(0, follows=0.7, content=0.7)
    few = Measured(domain.name, domain.outlying[:15], domain.values[:15])
    assert explain(reference, few).kind is Kind.UNKNOWN
    with pytest.raises(NotEnoughData):
        explain(reference, Measured("nothing", np.empty(0), np.empty((0, len(MEASURES)))))


# --- equals -----------------------------------------------------------------------------------------------------------


def test_equals_lie_on_both_sides_and_weigh_the_same_on_each():
    reference = np.arange(101.0)  # the spread is 90, so equals are at most 9 away
    (weights,) = equals(np.array([50.5]), reference)
    assert np.flatnonzero(weights).tolist() == list(range(42, 60))
    assert weights @ reference == pytest.approx(50.5)
    assert weights.sum() == pytest.approx(1)
    lopsided = np.concatenate([reference, np.full(30, 51.0)])
    (weights,) = equals(np.array([50.5]), lopsided)
    assert weights[reference.size :].sum() + weights[51:60].sum() == pytest.approx(0.5)


def test_ties_are_equals_on_both_sides():
    reference = np.array([0.0] * 10 + [1.0] * 10)
    weights = equals(np.array([1.0, 0.5]), reference)
    assert weights[0].tolist() == [0.0] * 10 + [0.1] * 10
    assert not weights[1].any()


def test_an_image_at_the_edge_of_the_reference_has_no_equals():
    weights = equals(np.array([3.0, 5.0, 95.0, 97.0, 200.0]), np.arange(101.0))
    assert weights.any(axis=1).tolist() == [False, True, True, False, False]


def test_one_image_is_held_against_its_equals_alone():
    values = np.linspace(0, 1, 200)
    outlying = 10 * values + np.tile([0.0, 1.0], 100)
    bright = among_equals(np.array([5.5, 9.0, 5.5]), np.array([0.5, 0.5, 2.0]), outlying, values)
    assert bright[0] == pytest.approx(0.5, abs=0.05)
    assert bright[1] == 1
    assert np.isnan(bright[2])


def test_tied_scores_count_one_half():
    reference, domain = planted(0, shift=1)
    tied = [Measured(one.name, np.zeros(len(one)), one.values) for one in (reference, domain)]
    found = explain(*tied)
    assert found.auroc == 0.5
    assert brightness(found).after == pytest.approx(0.5)


def test_measures_of_few_values_are_matched_by_their_ties():
    rng = np.random.default_rng(0)
    reference, domain = planted(0, content=1)
    for one, share in ((reference, 0.5), (domain, 0.9)):
        one.values[:, BRIGHTNESS] = rng.random(len(one)) < share
    found = brightness(explain(reference, domain))
    assert found.matched == len(domain)
    assert found.kind is Kind.NOT


# --- correlations -----------------------------------------------------------------------------------------------------


def test_each_measure_is_given_the_strongest_and_the_strongest_the_second():
    reference, domain = planted(0, follows=0.8)
    contrast = list(MEASURES).index("contrast")
    follower = reference.values[:, BRIGHTNESS] + np.random.default_rng(1).normal(size=len(reference))
    reference.values[:, contrast] = follower
    found = explain(reference, domain).confounds
    assert found[contrast].spearman < -0.4
    assert abs(found[contrast].partial) < 0.2
    assert found[BRIGHTNESS].partial < -0.6


# --- what a page gets -------------------------------------------------------------------------------------------------


def test_constant_measures_warn_of_nothing_and_explain_nothing():
    reference, domain = planted(0, content=1)
    reference.values[:] = domain.values[:] = 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = explain(reference, domain)
        table = as_table(found)
        words = in_words(found)
    assert found.kind is Kind.NOT
    assert table["spearman"].isna().all()
    assert table["partial"].isna().all()
    assert (table["matched"] == len(domain)).all()
    assert np.allclose(table["after"], found.auroc)
    assert "nan" not in words


def test_the_figure_has_a_row_for_each_measure_and_a_diamond_for_each_that_can_be_matched():
    found = explain(*planted(0, shift=20, content=1))
    table = as_table(found)
    figure = confounds_figure(table, found.auroc, found.low, found.high)
    score, alone, matched = figure.data
    assert set(score.x) == {found.auroc}
    assert alone.y[0] == "Brightness", "the strongest is on top"
    assert dict(zip(alone.y, alone.x, strict=True)) == dict(zip(table["measure"], table["auroc"], strict=True))
    assert set(table["measure"]) - set(matched.y) == {"Brightness"}
    edges = pd.Series(matched.x + matched.error_x.array, index=matched.y)
    assert np.allclose(edges, table.set_index("measure")["after_high"][edges.index])


def test_the_same_sets_give_the_same_figures():
    assert explain(*planted(3, follows=0.5)) == explain(*planted(3, follows=0.5))
