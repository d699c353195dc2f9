"""Two encoders on the same images: what they agree on, and what a larger training set changed."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jepa_core.analysis import agreement, training_size
from jepa_core.analysis.agreement import Agreement, Overlap, in_words, joined, overlap, relation
from jepa_core.analysis.training_size import Pair, compare, pairs
from jepa_core.encoders.registry import get_spec
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import NotEnoughData
from jepa_core.figures.agreement import agreement_figure
from jepa_core.figures.training_size import training_size_figure
from jepa_core.stats.metrics import auroc

RNG = np.random.default_rng(0)


def scores(values: object, digests: list[str] | None = None) -> pd.DataFrame:
    values = np.asarray(values, dtype=float)
    return pd.DataFrame({"digest": digests or [str(i) for i in range(len(values))], "jepa_score": values})


# --- agreement --------------------------------------------------------------------------------------------------------


def test_orders_are_compared_image_by_image_whatever_the_order_of_the_tables():
    one, other = scores([1.0, 2.0, 3.0], ["a", "b", "c"]), scores([9.0, 7.0, 8.0], ["c", "x", "a"])
    assert joined(one, other).to_dict("index") == {
        "a": {"first": 1.0, "second": 8.0},
        "c": {"first": 3.0, "second": 9.0},
    }


def test_an_image_that_is_there_twice_counts_once():
    assert len(joined(scores([1.0, 1.0], ["a", "a"]), scores([2.0, 2.0], ["a", "a"]))) == 1


def test_equal_orders_agree_and_turned_ones_do_not_whatever_the_scale():
    values = RNG.normal(size=200)
    same = agreement.agreement(scores(values), scores(np.exp(values) - 1000))
    assert (same.images, same.least.size, same.rho) == (200, 10, pytest.approx(1.0))
    assert (same.least.share, same.most.share) == (1.0, 1.0)
    turned = agreement.agreement(scores(values), scores(-values))
    assert (turned.least.share, turned.most.share, turned.rho) == (0.0, 0.0, pytest.approx(-1.0))


def test_the_ends_are_told_apart():
    # The ten least likely are the same, the ten most likely are not.
    first = np.arange(200.0)
    second = np.concatenate([first[:10], RNG.permutation(np.arange(10, 190)), first[190:] - 300])
    second[190:] = np.arange(100.0, 110.0) + 0.5
    found = agreement.agreement(scores(first), scores(second))
    assert (found.least.share, found.most.share) == (1.0, 0.0)


def test_an_overlap_with_ties_by_hand():
    # Of 40 images 2 are at the end. First: image 0 is in, images 1, 2, 3 tie for the place that is left, a third each.
    first = np.array([0.0, 1.0, 1.0, 1.0, *range(2, 38)])
    # Second: images 1 and 2 tie for the two places, so both are in.
    second = np.array([9.0, 0.0, 0.0, *range(10, 47)])
    assert overlap(first, second).share == pytest.approx((1 / 3 + 1 / 3) / 2)
    # Third: images 0 and 3 and 4 tie for two places, two thirds each: 2/3 of image 0, and 1/3 of 2/3 of image 3.
    third = np.array([0.0, 5.0, 5.0, 0.0, 0.0, *range(6, 41)])
    assert overlap(first, third).share == pytest.approx((2 / 3 + 2 / 9) / 2)


def test_where_all_tie_the_overlap_is_that_of_chance():
    found = overlap(np.zeros(100), RNG.normal(size=100))
    assert found.share == pytest.approx(found.chance)
    assert found.verdict == "no more than chance"


def test_the_overlap_with_ties_is_the_mean_over_random_choices_among_them():
    first, second = RNG.integers(0, 12, 60).astype(float), RNG.integers(0, 9, 60).astype(float)

    def chosen(values: np.ndarray) -> set[int]:
        return set(np.lexsort([RNG.random(60), values])[:3].tolist())

    drawn = [len(chosen(first) & chosen(second)) / 3 for _ in range(20_000)]
    assert overlap(first, second).share == pytest.approx(np.mean(drawn), abs=0.005)


def test_chance_is_what_unrelated_orders_share():
    found = overlap(RNG.normal(size=200), RNG.normal(size=200))
    drawn = [len(set(RNG.choice(200, 10, replace=False)) & set(range(10))) / 10 for _ in range(20_000)]
    assert found.chance == 0.05 == pytest.approx(np.mean(drawn), abs=0.003)
    assert np.mean(np.array(drawn) < found.low) <= 0.05
    assert np.mean(np.array(drawn) > found.high) <= 0.05 + 0.005
    assert np.mean(np.array(drawn) >= found.high) > 0.05  # no wider than it has to be


@pytest.mark.parametrize(
    ("share", "verdict"),
    [(0.3, "more than chance"), (0.2, "no more than chance"), (0.0, "less than chance")],
)
def test_a_share_is_held_against_chance(share, verdict):
    assert Overlap(10, share, 0.1, 0.1, 0.2).verdict == verdict


def test_an_end_may_be_of_any_share():
    first, second = RNG.normal(size=200), RNG.normal(size=200)
    fifth = agreement.of_orders(first, second, 0.2)
    assert (fifth.least.size, fifth.most.size) == (40, 40)
    least = set(np.argsort(first)[:40]) & set(np.argsort(second)[:40])
    assert fifth.least.share == len(least) / 40
    with pytest.raises(NotEnoughData, match="at least 100 are needed"):
        agreement.of_orders(first[:99], second[:99], 0.01)


def test_one_score_for_all_is_no_order():
    found = agreement.agreement(scores(np.zeros(40)), scores(np.arange(40.0)))
    assert all(math.isnan(value) for value in (found.rho, found.low, found.high))
    assert "One of them gives all 40 images the same score" in in_words(found, "a", "b")


def test_too_few_common_images_are_told_in_a_sentence():
    with pytest.raises(
        NotEnoughData, match=r"asked for 19 images that both .*; at least 20 are needed; score the same"
    ):
        agreement.agreement(scores(np.arange(19.0)), scores(np.arange(400.0)))


FOUND = Agreement(200, Overlap(10, 0.3, 0.05, 0.0, 0.2), Overlap(10, 0.1, 0.05, 0.0, 0.2), 0.456, 0.4, 0.5)


def test_an_agreement_in_words():
    assert in_words(FOUND, "one", "other") == (
        "one and other share 30 % of the 10 least likely images (more than chance) and 10 % of the 10 most likely "
        "(no more than chance); chance gives 5 %, mostly 0 % to 20 %. "
        "Their orders of all 200 images have Spearman's rho 0.46 (0.40 to 0.50)."
    )


def test_several_agreements_are_counted_at_each_end():
    opposite = replace(FOUND, least=FOUND.most, most=FOUND.most)
    assert agreement.all_in_words([FOUND, FOUND, opposite]) == (
        "By more than chance, 2 of 3 other encoders agree with this one on the least likely images, and 0 on the most "
        "likely."
    )


def test_the_figure_has_both_ends_and_chance_for_each_encoder_and_shows_names_as_they_are():
    figure = agreement_figure({"<b>one": FOUND, "two": FOUND})
    ends = {trace.name: (list(trace.y), list(trace.x)) for trace in figure.data if trace.mode == "markers"}
    assert ends == {
        "least likely": (["&lt;b&gt;one", "two"], [0.3, 0.3]),
        "most likely": (["&lt;b&gt;one", "two"], [0.1, 0.1]),
    }
    chance = [list(trace.x) for trace in figure.data if trace.name == "chance"]
    assert chance == [[0.0, 0.2]] * 2


# --- recipes ----------------------------------------------------------------------------------------------------------

RECIPE = {"name": "big", "description": "Saw all.", "limits": [], "share": 1.0, "seed": 0, "steps": 100}


@pytest.fixture
def trained(install_tiny: Callable[..., Path]) -> Callable[..., EncoderSpec]:
    """Install an encoder with the recipe of `RECIPE` but for some fields; None leaves one out."""

    def trained(name: str, **changes: object) -> EncoderSpec:
        recipe = {key: value for key, value in (RECIPE | {"name": name} | changes).items() if value is not None}
        template = install_tiny()
        card = json.loads(template.read_text()) | {"name": name, "recipe": recipe}
        template.with_name(f"{name}.json").write_text(json.dumps(card))
        return get_spec(name)

    return trained


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 1}, "same recipe, another seed"),
        ({"seed": 1, "description": "Another.", "limits": ["It fails."]}, "same recipe, another seed"),
        ({"seed": 1, "steps": 200}, "another recipe"),
        ({"share": 0.1}, "another recipe"),
        ({"seed": 1, "widths": [1, 2]}, "another recipe"),  # a field that the other lacks
        ({}, "another recipe"),  # the same weights under two names are no second seed
    ],
)
def test_two_seeds_are_recipes_that_differ_in_nothing_else(trained, changes, words):
    assert relation(trained("one"), trained("other", **changes)) == words


def test_an_encoder_without_a_recipe_is_related_to_none(trained):
    assert relation(trained("one"), get_spec("tiny")) == "another recipe"
    assert pairs([get_spec("tiny"), replace(get_spec("tiny"), source="timm")]) == []


def test_pairs_differ_in_the_share_of_the_training_images_alone(trained):
    whole = trained("whole")
    tenth = trained("tenth", share=0.1, description="A tenth.", limits=["Fails."])
    others = [trained("half-otherwise", share=0.5, steps=200), trained("whole-again", seed=1)]
    [pair] = pairs([whole, tenth, *others])
    assert (pair.smaller.name, pair.smaller_share, pair.larger.name, pair.larger_share) == ("tenth", 0.1, "whole", 1.0)


def test_a_card_from_before_there_were_shares_saw_everything(trained):
    [pair] = pairs([trained("old", share=None), trained("half", share=0.5)])
    assert (pair.smaller.name, pair.larger.name, pair.larger_share) == ("half", "old", 1.0)


# --- training sets ----------------------------------------------------------------------------------------------------


def numbered(name: str, values: object) -> pd.DataFrame:
    return scores(values, [f"{name}/{position}" for position in range(len(np.asarray(values)))])


REFERENCE = RNG.normal(size=60)
FOREIGN = RNG.normal(size=50)
SMALLER = {"own": numbered("own", REFERENCE), "down": numbered("down", FOREIGN), "up": numbered("up", FOREIGN)}
SMALLER |= {"same": numbered("same", FOREIGN), "only here": numbered("only here", FOREIGN)}
# On another scale, which must not matter.
LARGER = {
    "own": numbered("own", 7 * REFERENCE - 300),
    "down": numbered("down", 7 * (FOREIGN - 2) - 300),
    "up": numbered("up", 7 * (FOREIGN + 2) - 300),
    "same": numbered("same", 7 * FOREIGN - 300),
}
PAIR = Pair(replace(get_spec("digits"), name="tenth"), replace(get_spec("digits"), name="whole"), 0.1, 1.0)


def test_a_change_is_that_of_the_auroc_in_each_encoders_own_reference():
    table = compare(SMALLER, LARGER, "own").set_index("domain")
    assert table.index.tolist() == ["down", "up", "same"]
    assert table.loc["down", "auroc_smaller"] == auroc(-REFERENCE, -FOREIGN)
    assert table.loc["down", "auroc_larger"] == auroc(-REFERENCE, -(FOREIGN - 2))
    assert table.loc["down", "change"] == pytest.approx(auroc(-REFERENCE, 2 - FOREIGN) - auroc(-REFERENCE, -FOREIGN))
    assert table.loc["down", "percentile_larger"] < 10 < table.loc["down", "percentile_smaller"]
    assert 0 < table.loc["down", "change_low"] < table.loc["down", "change"] < table.loc["down", "change_high"]
    assert table.loc["up", "change_high"] < 0
    # The same draws for both encoders: where nothing changed, no draw has a difference.
    assert table.loc["same", ["change", "change_low", "change_high"]].tolist() == [0.0, 0.0, 0.0]


def test_only_images_that_both_have_scored_are_compared():
    extra = pd.concat([SMALLER["down"], scores([-1e6] * 50, [f"extra/{i}" for i in range(50)])])
    table = compare(SMALLER | {"down": extra}, LARGER, "own")
    pd.testing.assert_frame_equal(table, compare(SMALLER, LARGER, "own"))
    assert table["images"].tolist() == [50, 50, 50]


def test_no_common_image_of_the_reference_is_told_in_a_sentence():
    with pytest.raises(NotEnoughData, match="0 inliers and 50 outliers"):
        compare(SMALLER, LARGER | {"own": numbered("other", REFERENCE)}, "own")


def test_the_words_count_for_and_against_the_claim():
    table = compare(SMALLER, LARGER, "own")
    figures = {
        line.domain: f"{line.auroc_smaller:.2f} to {line.auroc_larger:.2f}, "
        f"{{}}{line.percentile_smaller:.0f} to {line.percentile_larger:.0f}"
        for line in table.itertuples()
    }
    assert training_size.in_words(table, PAIR, "own") == (
        "whole was trained on all of the training images, tenth on 10 % of them, and all else in their recipes is "
        "equal. The claim holds on 1 of 3 sets, is wrong on 1 and open on 1. "
        f"The larger training set made down (AUROC {figures['down'].format('percentile ')}) less likely beside own, as "
        f"the claim says. It made up ({figures['up'].format('')}) more likely beside own, against the claim. "
        f"Nothing sure changed on same ({figures['same'].format('')})."
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("down", "holds on 1 of 1 sets, is wrong on 0 and open on 0. The larger training set made down (AUROC"),
        ("up", "holds on 0 of 1 sets, is wrong on 1 and open on 0. The larger training set made up (AUROC"),
        ("same", "holds on 0 of 1 sets, is wrong on 0 and open on 1. Nothing sure changed on same (AUROC"),
    ],
)
def test_the_words_read_well_whatever_was_found(name, words):
    table = compare(SMALLER, {kept: LARGER[kept] for kept in ("own", name)}, "own")
    assert words in training_size.in_words(table, PAIR, "own")


def test_without_a_common_domain_the_words_say_so():
    table = compare({"own": SMALLER["own"]}, LARGER, "own")
    assert training_size.in_words(table, PAIR, "own").endswith("no common images but those of own.")


def test_the_figure_has_both_encoders_on_every_domain():
    table = compare(SMALLER, LARGER, "own")
    figure = training_size_figure(table, "<i>tenth", "whole")
    shown = {trace.name: list(trace.x) for trace in figure.data if trace.mode == "markers"}
    assert shown == {
        "&lt;i&gt;tenth (smaller training set)": table["auroc_smaller"].tolist(),
        "whole (larger training set)": table["auroc_larger"].tolist(),
    }


def test_a_twin_that_was_compared_before_is_found_as_it_was_written(tmp_path):
    found = Agreement(10, Overlap(2, 0.5, 0.2, 0.0, 0.5), Overlap(2, 1.0, 0.2, 0.0, 0.5), 0.9, 0.8, 0.95)
    twin = agreement.Twin("photo", "projector", "imagenette-val", "photo-2", "on a card", found)
    agreement.write_twins([twin], tmp_path / "twins.json")
    assert agreement.twin_of("photo", "projector", "imagenette-val", tmp_path / "twins.json") == twin
    assert agreement.twin_of("photo", "backbone", "imagenette-val", tmp_path / "twins.json") is None
    assert agreement.twin_of("photo", "projector", "imagenette-val", tmp_path / "none.json") is None


def test_the_shipped_twins_are_of_bundled_encoders_and_have_shares():
    for said in json.loads(agreement.TWINS.read_text(encoding="utf-8")):
        twin = agreement.twin_of(said["encoder"], said["output"], said["dataset"])
        assert get_spec(twin.encoder).reference == twin.dataset
        assert 0 <= twin.agreement.least.share <= 1
        assert twin.made
