"""Estimating a dataset with a tiny encoder: what is estimated, what is scored fully, and what is remembered."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from jepa_core.datasets.registry import get_dataset
from jepa_core.jacobian import engine
from jepa_core.keys import make_key
from jepa_core.scoring import allocator, calibration, estimation, looks, precision, stopwatch
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.extremes import open_extremes, verify_extremes
from jepa_core.scoring.method import LEAST_IMAGES, Goal, ScoringMethod
from jepa_core.scoring.run import ScoringRun
from jepa_core.scoring.stored import in_words, scored, stored_scores
from jepa_core.store import sketches
from jepa_core.store.records import Estimate, Member
from jepa_core.store.results import Store
from tests.helpers import score

NAME = "digits-test"
QUICK = ScoringMethod.named("quick")
BALANCED = ScoringMethod.named("balanced")
COUNT = 60
AUTO = ScoringMethod(precision="auto")
FEW = 24  # for bfloat16, which is slow where it is emulated


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def items() -> list:
    return list(get_dataset(NAME).items())[:COUNT]


def output(tiny) -> EncoderOutput:
    return EncoderOutput.of(tiny, "projector")


def table(store, tiny, method=QUICK):
    return stored_scores(store, output(tiny), NAME, method)


def estimate_all(store, tiny, items, method=QUICK, **options):
    return score(store, tiny, NAME, items, method=method, whole=False, **options)


def a_run(store, tiny, items, method):
    return ScoringRun(store, output(tiny), NAME, items, method, whole=False)


@pytest.fixture
def truth(tiny, items, tmp_path):
    exact = Store(tmp_path / "exact.sqlite")
    score(exact, tiny, NAME, items, whole=False)
    return stored_scores(exact, output(tiny), NAME).set_index("name")["jepa_score"]


def test_few_images_are_scored_fully_and_the_others_estimated_with_an_interval(store, tiny, items):
    summary = estimate_all(store, tiny, items)
    found = table(store, tiny)
    assert summary.done >= COUNT
    assert len(found) == COUNT
    estimated = found[found["estimated"]]
    assert 0 < len(estimated) <= COUNT - LEAST_IMAGES
    assert (estimated["low"] < estimated["jepa_score"]).all()
    assert (estimated["jepa_score"] < estimated["high"]).all()
    full = found[~found["estimated"]]
    assert (full["low"] == full["jepa_score"]).all()
    assert found["position"].is_monotonic_increasing


def test_estimates_are_close_to_the_full_scores_and_their_intervals_cover_most_of_them(store, tiny, items, truth):
    estimate_all(store, tiny, items)
    found = table(store, tiny).set_index("name")
    truth = truth[found.index]
    assert found["jepa_score"].corr(truth, method="spearman") > 0.7
    inside = (found["low"] <= truth + 1e-3) & (truth - 1e-3 <= found["high"])
    assert inside[found["estimated"]].mean() > 0.7
    assert np.allclose(found["jepa_score"][~found["estimated"]], truth[~found["estimated"]], atol=1e-3)


def test_a_higher_goal_goes_on_where_the_lower_one_ended(store, tiny, items, truth):
    estimate_all(store, tiny, items)
    before = scored(store, output(tiny), NAME, QUICK)
    estimate_all(store, tiny, items, BALANCED)
    after = scored(store, output(tiny), NAME, BALANCED)
    full = {name for name, (_digest, estimated) in before.items() if not estimated}
    assert full <= {name for name, (_digest, estimated) in after.items() if not estimated}
    found = table(store, tiny, BALANCED).set_index("name")
    assert found["jepa_score"].corr(truth[found.index], method="spearman") > 0.97
    assert table(store, tiny, QUICK).equals(table(store, tiny, BALANCED))


def test_a_second_run_to_the_same_goal_scores_nothing(store, tiny, items, monkeypatch):
    estimate_all(store, tiny, items, BALANCED)
    before = table(store, tiny)
    monkeypatch.setattr(engine.Engine, "gram", None)  # would fail if it were called
    estimate_all(store, tiny, items, BALANCED)
    assert table(store, tiny).equals(before)


def test_what_other_sets_taught_does_for_a_first_order(store, tiny, items):
    score(store, tiny, "digits-validation", list(get_dataset("digits-validation").items())[:40], whole=False)
    run = a_run(store, tiny, items, ScoringMethod("estimate"))
    laps = []

    def cancelled_after_the_first_look() -> bool:
        found = table(store, tiny)
        laps.append(len(found))
        return bool(len(found) == COUNT)

    ScoringRun(
        store, run.output, NAME, items, run.method, whole=False, cancelled=cancelled_after_the_first_look
    ).score()
    found = table(store, tiny)
    assert len(found) == COUNT
    assert found["estimated"].all()  # not one full score of this set was needed
    assert "no image of this set was scored fully" in in_words(store, output(tiny), NAME, QUICK, found)


def test_products_sharpen_where_they_are_asked_for(store, tiny, items, monkeypatch):
    monkeypatch.setattr(calibration, "most_rows", lambda _k: 4)
    monkeypatch.setattr(looks.sketch, "most_rows", lambda _k: 4)
    estimate_all(store, tiny, items, ScoringMethod("estimate", goal=Goal(rows=3)))
    come = looks.progressed(store, output(tiny), "fp32", NAME)
    assert come.rows == 3
    assert come.drawn < COUNT
    assert "3 of 16 products" in in_words(store, output(tiny), NAME, QUICK, table(store, tiny))


@pytest.mark.parametrize("asked", [3, 100])
def test_products_are_as_many_as_there_are_directions_at_most(store, tiny, items, asked):
    estimate_all(store, tiny, items, ScoringMethod("estimate", goal=Goal(rows=asked)))
    assert looks.progressed(store, output(tiny), "fp32", NAME).rows == 3


def test_products_are_made_where_full_scores_were_made_without_directions(store, tiny, items):
    score(store, tiny, "digits-validation", list(get_dataset("digits-validation").items())[:40], whole=False)
    estimate_all(store, tiny, items, ScoringMethod("estimate", goal=Goal(rows=2)))
    assert looks.progressed(store, output(tiny), "fp32", NAME).rows == 2
    assert len(table(store, tiny)) == COUNT


def test_equal_images_do_not_keep_a_run_from_its_end(store, tiny, items):
    twins = items[:30] + [replace(item, name=f"again {item.name}") for item in items[:30]]
    estimate_all(store, tiny, twins, ScoringMethod("estimate", goal=Goal(fidelity=0.999999)))
    assert len(table(store, tiny)) == 60


def test_images_of_which_none_can_be_looked_at_are_told_and_nothing_is_estimated(store, tiny, items, monkeypatch):
    score(store, tiny, "digits-validation", list(get_dataset("digits-validation").items())[:40], whole=False)
    monkeypatch.setattr(type(tiny), "normalised", lambda *_given: torch.full((1, 16, 16), torch.nan))
    for method in (QUICK, BALANCED):
        summary = estimate_all(store, tiny, items, method)
        assert len(summary.failed) == COUNT
    assert table(store, tiny).empty


def test_a_run_of_limited_time_stops_before_a_step_that_does_not_fit(store, tiny, items):
    estimate_all(store, tiny, items, ScoringMethod("estimate", goal=Goal(seconds=1e-9)))
    assert looks.progressed(store, output(tiny), "fp32", NAME).drawn == LEAST_IMAGES


def test_extremes_are_verified_until_no_estimate_reaches_into_them(store, tiny, items):
    estimate_all(store, tiny, items)
    before = table(store, tiny)
    assert open_extremes(before, 3)
    assert verify_extremes(a_run(store, tiny, items, QUICK), 3) == set()
    after = table(store, tiny)
    assert not open_extremes(after, 3)
    ends = after.sort_values("jepa_score")
    assert not ends["estimated"].iloc[[0, 1, 2, -3, -2, -1]].any()
    assert len(after) == len(before)


def test_an_extreme_that_cannot_be_scored_is_told_and_not_tried_for_ever(store, tiny, items, monkeypatch):
    estimate_all(store, tiny, items)
    opened = open_extremes(table(store, tiny), 3)
    tried = []
    monkeypatch.setattr(ScoringRun, "score", lambda run: tried.append(len(run.items)))
    assert verify_extremes(a_run(store, tiny, items, QUICK), 3) == set(opened)
    assert sum(tried) == len(opened)


def test_intervals_that_nothing_has_checked_are_checked_before_ends_are_verified(store, tiny, items, truth):
    score(store, tiny, "digits-validation", list(get_dataset("digits-validation").items())[:40], whole=False)
    estimate_all(store, tiny, items)
    before = looks.progressed(store, output(tiny), "fp32", NAME).drawn
    assert before < LEAST_IMAGES
    assert verify_extremes(a_run(store, tiny, items, QUICK), 3) == set()
    assert looks.progressed(store, output(tiny), "fp32", NAME).drawn == LEAST_IMAGES
    found = table(store, tiny).sort_values("jepa_score")["name"].tolist()
    right = truth.sort_values().index.tolist()
    assert (found[:3], found[-3:]) == (right[:3], right[-3:])


def test_verified_extremes_are_no_calibration_images(store, tiny, items):
    estimate_all(store, tiny, items)
    drawn = looks.progressed(store, output(tiny), "fp32", NAME).drawn
    verify_extremes(a_run(store, tiny, items, QUICK), 3)
    estimate_all(store, tiny, items)
    order = estimation._Laps(a_run(store, tiny, items, QUICK).decided()).order[:drawn]
    found = calibration.known(
        store, output(tiny), "fp32", [item.digest for item in order], [item.digest for item in items]
    )
    assert found.drawn.sum() == drawn < found.own.sum()


def test_where_every_score_is_known_nothing_is_estimated(store, tiny, items):
    score(store, tiny, NAME, items, whole=False)
    summary = estimate_all(store, tiny, items)
    assert (summary.scored, summary.reused) == (0, COUNT)
    assert not table(store, tiny)["estimated"].any()


def test_a_cancelled_run_goes_on_where_it_stopped_to_the_same_estimates(store, tiny, items, tmp_path):
    asked = []

    def after_a_while() -> bool:
        asked.append(1)
        return len(asked) > 5

    method = ScoringMethod("estimate", goal=Goal(fidelity=0.9))
    assert estimate_all(store, tiny, items, method, cancelled=after_a_while).cancelled
    assert not estimate_all(store, tiny, items, method).cancelled
    other = Store(tmp_path / "other.sqlite")
    estimate_all(other, tiny, items, method)
    interrupted, whole = table(store, tiny), table(other, tiny)
    columns = ["name", "estimated"]
    assert interrupted[columns].equals(whole[columns])
    for column in ("jepa_score", "low", "high"):
        assert np.allclose(interrupted[column], whole[column], atol=1e-3)


def test_estimates_of_an_earlier_version_are_shown_until_there_are_others(store, tiny, items):
    exact = output(tiny).config()
    score(store, tiny, NAME, items[:4], whole=False)
    members = [Member(item.name, item.position, item.label, item.digest) for item in items]
    store.put_members(NAME, members)
    asked = make_key(2, exact.space, "fp32", NAME, None, 144, 0)
    sketches.put_arrays(store, make_key(asked, output(tiny).rank.rank), {"directions": np.eye(2)})
    old = f"sketch:{sketches.calibration_id(store, make_key(asked, output(tiny).rank.rank))}"
    rows = [Estimate(member.digest, 1.0, 0.0, 2.0, False, 1.0, 0.1, "cpu") for member in members]
    sketches.put_estimates(store, replace(exact, method=old), rows)
    found = table(store, tiny)
    assert (len(found), int(found["estimated"].sum())) == (COUNT, COUNT - 4)
    estimate_all(store, tiny, items)
    assert not (table(store, tiny)["jepa_score"] == 1.0).any()


def test_an_image_that_is_not_finite_is_told_and_the_run_goes_on(store, tiny, items, monkeypatch):
    real = type(tiny).normalised

    def spoiled(self, image):
        tensor = real(self, image)
        return torch.full_like(tensor, torch.nan) if np.asarray(image).sum() % 7 == 0 else tensor

    monkeypatch.setattr(type(tiny), "normalised", spoiled)
    summary = estimate_all(store, tiny, items)
    assert summary.failed
    assert all("not finite" in sentence for _name, sentence in summary.failed)
    assert len({name for name, _sentence in summary.failed}) == len(summary.failed)
    assert np.isfinite(table(store, tiny)["jepa_score"]).all()


def test_the_allocator_is_asked_after_each_lap_and_told_what_was_measured(store, tiny, items, monkeypatch):
    seen = []
    real = allocator.next_step

    def note(standing, prices, goal):
        seen.append((standing, prices))
        return real(standing, prices, goal)

    monkeypatch.setattr(allocator, "next_step", note)
    estimate_all(store, tiny, items, ScoringMethod("estimate", goal=Goal(fidelity=0.999)))
    calibrated = [standing.calibrated for standing, _prices in seen]
    assert calibrated == sorted(calibrated)
    assert calibrated[-1] > calibrated[0]
    assert all(prices.look > 0 and prices.full > 0 for _standing, prices in seen)


# --- precision --------------------------------------------------------------------------------------------------------


def test_results_of_another_precision_are_other_results(store, tiny, items):
    for used in ("fp32", "bf16"):
        score(store, tiny, NAME, items[:FEW], precision=used, whole=False)
    full, half = (
        stored_scores(store, EncoderOutput(tiny.spec, "projector"), NAME, ScoringMethod(precision=used))
        for used in ("fp32", "bf16")
    )
    assert len(full) == len(half) == FEW
    assert not np.allclose(full["jepa_score"], half["jepa_score"], atol=1e-6)
    assert np.allclose(full["jepa_score"], half["jepa_score"], atol=0.5)
    assert not half["rank_disagrees"].any()


def test_bfloat16_alone_needs_no_scores_in_float32(store, tiny, items):
    score(store, tiny, NAME, items[:FEW], precision="bf16", whole=False)
    assert (
        len(stored_scores(store, EncoderOutput(tiny.spec, "projector"), NAME, ScoringMethod(precision="bf16"))) == FEW
    )
    assert stored_scores(store, EncoderOutput(tiny.spec, "projector"), NAME).empty
    assert store.rank(EncoderOutput.of(tiny).space) is None  # its noise would hide what the rank leaves out


@pytest.mark.parametrize(("needed", "chosen"), [(0.5, "bf16"), (1.1, "fp32")])
def test_bfloat16_is_chosen_only_where_it_ranks_alike(store, tiny, items, monkeypatch, needed, chosen):
    monkeypatch.setattr(stopwatch, "kept_time_ratio", lambda _store, _output: 0.5)
    monkeypatch.setattr(precision, "AGREEMENT", needed)
    found = a_run(store, tiny, items, AUTO).decided()
    assert found.method.decided == chosen
    assert "Spearman" in found.reason
    monkeypatch.setattr(engine.Engine, "gram", None)  # decided once
    again = a_run(store, tiny, items, AUTO).decided()
    assert (again.method, again.reason) == (found.method, found.reason)


def test_float32_is_used_where_bfloat16_gains_nothing_or_cannot_be_tested(store, tiny, items, monkeypatch):
    monkeypatch.setattr(stopwatch, "kept_time_ratio", lambda _store, _output: 1.8)
    reason = a_run(store, tiny, items, AUTO).decided().reason
    assert reason == "float32, since bfloat16 took 1.8 times as long as float32 here"
    monkeypatch.setattr(stopwatch, "product_time_ratio", lambda _store, _output: None)
    assert "cannot compute this encoder in bfloat16" in a_run(store, tiny, items, AUTO).decided().reason
    monkeypatch.setattr(stopwatch, "kept_time_ratio", lambda _store, _output: 0.5)
    few = a_run(store, tiny, items[:20], AUTO).decided()
    assert (few.method.decided, "too few" in few.reason) == ("fp32", True)


def test_a_store_of_the_first_format_is_brought_up_to_date_and_keeps_its_results(store, tiny, items):
    score(store, tiny, NAME, items[:8], whole=False)
    with store.transaction() as cursor:
        for name in ("estimates", "calibrations", "precisions", "measures", "tags"):
            cursor.execute(f"DROP TABLE {name}")
        for name in ("results", "embeddings", "crops", "members"):
            cursor.execute(f"ALTER TABLE {name} DROP COLUMN crc")
        cursor.execute("PRAGMA user_version = 1")
    again = Store()
    assert len(stored_scores(again, EncoderOutput(tiny.spec, "projector"), NAME)) == 8
    assert sketches.precision(again, "none") is None
