"""Sketching a dataset with a tiny encoder: what is estimated, what is scored fully, and what is remembered."""

import numpy as np
import pytest
import torch

from jepa_core.datasets.registry import get_dataset
from jepa_core.errors import NotEnoughData
from jepa_core.jacobian import engine
from jepa_core.scoring import precision, sketch, stopwatch
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.extremes import open_extremes, verify_extremes
from jepa_core.scoring.method import ScoringMethod, SketchSettings
from jepa_core.scoring.run import ScoringRun
from jepa_core.scoring.stored import stored_scores
from jepa_core.store import sketches
from jepa_core.store.results import Store
from tests.helpers import score

NAME = "digits-test"
SETTINGS = SketchSettings(rows=4, images=24)
METHOD = ScoringMethod("sketch", sketch=SETTINGS)
COUNT = 60
AUTO = ScoringMethod(precision="auto")
FEW = 24  # for bfloat16, which is slow where it is emulated


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def items() -> list:
    return list(get_dataset(NAME).items())[:COUNT]


def table(store, tiny):
    return stored_scores(store, EncoderOutput(tiny.spec, "projector"), NAME, METHOD)


def sketch_all(store, tiny, items, **options):
    return score(store, tiny, NAME, items, method=METHOD, whole=False, **options)


def a_run(store, tiny, items, method):
    return ScoringRun(store, EncoderOutput.of(tiny, "projector"), NAME, items, method, whole=False)


def test_some_images_are_scored_fully_and_the_others_estimated_with_an_interval(store, tiny, items):
    sketch_all(store, tiny, items)
    found = table(store, tiny)
    assert len(found) == COUNT
    estimated = found[found["estimated"]]
    assert 0 < len(estimated) <= COUNT - SETTINGS.images
    assert (estimated["low"] < estimated["jepa_score"]).all()
    assert (estimated["jepa_score"] < estimated["high"]).all()
    full = found[~found["estimated"]]
    assert (full["low"] == full["jepa_score"]).all()
    assert found["position"].is_monotonic_increasing


def test_estimates_are_close_to_the_full_scores_and_their_intervals_cover_most_of_them(store, tiny, items, tmp_path):
    sketch_all(store, tiny, items)
    exact = Store(tmp_path / "exact.sqlite")
    score(exact, tiny, NAME, items, whole=False)
    truth = stored_scores(exact, EncoderOutput(tiny.spec, "projector"), NAME).set_index("name")["jepa_score"]
    found = table(store, tiny).set_index("name")
    truth = truth[found.index]
    assert found["jepa_score"].corr(truth, method="spearman") > 0.9
    inside = (found["low"] <= truth + 1e-3) & (truth - 1e-3 <= found["high"])
    assert inside[found["estimated"]].mean() > 0.7
    assert np.allclose(found["jepa_score"][~found["estimated"]], truth[~found["estimated"]], atol=1e-3)


def test_a_second_sketch_computes_nothing_and_keeps_the_calibration(store, tiny, items, monkeypatch):
    sketch_all(store, tiny, items)
    before = table(store, tiny)
    monkeypatch.setattr(engine.Engine, "gram", None)  # would fail if it were called
    summary = sketch_all(store, tiny, items)
    assert (summary.scored, summary.reused) == (0, COUNT)
    assert table(store, tiny).equals(before)


def test_images_unlike_the_calibration_images_are_scored_fully(store, tiny, items, monkeypatch):
    real = sketch.sketch.Calibration.estimate

    def all_far(self, small, features):
        found = real(self, small, features)
        found.far[:] = True
        return found

    monkeypatch.setattr(sketch.sketch.Calibration, "estimate", all_far)
    sketch_all(store, tiny, items)
    assert not table(store, tiny)["estimated"].any()


def test_ends_are_verified_until_no_estimate_reaches_into_them(store, tiny, items):
    sketch_all(store, tiny, items)
    before = table(store, tiny)
    assert open_extremes(before, 3)
    assert verify_extremes(a_run(store, tiny, items, METHOD), 3) == set()
    after = table(store, tiny)
    assert not open_extremes(after, 3)
    ends = after.sort_values("jepa_score")
    assert not ends["estimated"].iloc[[0, 1, 2, -3, -2, -1]].any()
    assert len(after) == len(before)


def test_an_end_that_cannot_be_scored_is_told_and_not_tried_for_ever(store, tiny, items, monkeypatch):
    sketch_all(store, tiny, items)
    opened = open_extremes(table(store, tiny), 3)
    tried = []
    monkeypatch.setattr(ScoringRun, "score", lambda run: tried.append(run.items))
    assert verify_extremes(a_run(store, tiny, items, METHOD), 3) == opened
    assert len(tried) == 1


def test_where_every_score_is_known_nothing_is_calibrated(store, tiny, items):
    score(store, tiny, NAME, items, whole=False)
    summary = sketch_all(store, tiny, items)
    assert (summary.scored, summary.reused) == (0, COUNT)
    assert not table(store, tiny)["estimated"].any()


def test_a_dataset_too_small_to_gain_is_refused(store, tiny, items):
    with pytest.raises(NotEnoughData, match=r"on 24 images gains nothing for 40; at least 48 are accepted; score them"):
        sketch_all(store, tiny, items[:40])


def test_a_cancelled_sketch_goes_on_where_it_stopped(store, tiny, items):
    asked = []

    def after_a_while() -> bool:
        asked.append(1)
        return len(asked) > 3

    summary = sketch_all(store, tiny, items, cancelled=after_a_while)
    assert summary.cancelled
    assert not sketch_all(store, tiny, items).cancelled
    assert len(table(store, tiny)) == COUNT


def test_an_image_that_is_not_finite_is_told_and_the_run_goes_on(store, tiny, items, monkeypatch):
    real = type(tiny).normalised

    def spoiled(self, image):
        tensor = real(self, image)
        return torch.full_like(tensor, torch.nan) if np.asarray(image).sum() % 7 == 0 else tensor

    monkeypatch.setattr(type(tiny), "normalised", spoiled)
    summary = sketch_all(store, tiny, items)
    assert summary.failed
    assert all("not finite" in sentence for _name, sentence in summary.failed)
    assert np.isfinite(table(store, tiny)["jepa_score"]).all()


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
        for name in ("estimates", "calibrations", "precisions", "measures"):
            cursor.execute(f"DROP TABLE {name}")
        for name in ("results", "embeddings", "crops", "members"):
            cursor.execute(f"ALTER TABLE {name} DROP COLUMN crc")
        cursor.execute("PRAGMA user_version = 1")
    again = Store()
    assert len(stored_scores(again, EncoderOutput(tiny.spec, "projector"), NAME)) == 8
    assert sketches.precision(again, "none") is None
