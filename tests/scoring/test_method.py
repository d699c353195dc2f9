"""A way to scores: what it leaves open is decided by the dataset, and each score says what it is."""

from dataclasses import replace

import pytest

from jepa_core.datasets.registry import get_dataset
from jepa_core.scoring import precision, stopwatch
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ALIASES, FIDELITY, LEAST_IMAGES, METHODS, Goal, ScoringMethod
from jepa_core.scoring.run import ScoringRun
from jepa_core.scoring.stored import in_words, scored, stored_scores
from jepa_core.store.results import Store
from tests.helpers import score

NAME = "digits-test"
QUICK = ScoringMethod.named("quick")


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def items() -> list:
    return list(get_dataset(NAME).items())[:60]


def decide(store, tiny, items, method: ScoringMethod) -> tuple[ScoringMethod, str]:
    run = ScoringRun(store, EncoderOutput.of(tiny, "projector"), NAME, items, method).decided()
    return run.method, run.reason


def test_auto_stands_for_float32_until_images_have_decided(store, tiny, items, monkeypatch):
    monkeypatch.setattr(stopwatch, "kept_time_ratio", lambda _store, _output: 0.5)
    monkeypatch.setattr(precision, "AGREEMENT", -1.0)
    auto = ScoringMethod(precision="auto")
    assert precision.resolved(store, EncoderOutput(tiny.spec, "projector"), NAME, auto).decided == "fp32"
    way, reason = decide(store, tiny, items, auto)
    assert way.decided == "bf16"
    assert "Spearman" in reason
    assert precision.resolved(store, EncoderOutput(tiny.spec, "projector"), NAME, auto) == way
    assert len(stored_scores(store, EncoderOutput(tiny.spec, "projector"), NAME, auto)) == precision.IMAGES


@pytest.mark.parametrize(("ratio", "said"), [(0.5, ""), (1.05, ""), (1.8, "1.8 times as long"), (70.0, "70 times as")])
def test_what_a_person_chose_is_taken_and_called_slow_where_it_is(store, tiny, items, monkeypatch, ratio, said):
    monkeypatch.setattr(stopwatch, "matrix_time_ratio", lambda _device: ratio)
    way = ScoringMethod(precision="bf16")
    found, words = decide(store, tiny, items, way)
    assert found == way
    assert bool(words) == bool(said)
    assert said in words
    assert decide(store, tiny, items, ScoringMethod()) == (ScoringMethod(), "")


def test_where_float32_scores_exist_auto_keeps_them(store, tiny, items):
    score(store, tiny, NAME, items, method=ScoringMethod(), whole=False)
    way, reason = decide(store, tiny, items, ScoringMethod(precision="auto"))
    assert way.decided == "fp32"
    assert "already" in reason


def test_a_full_score_stands_before_an_estimate(store, tiny, items):
    way = QUICK
    score(store, tiny, NAME, items, method=way, whole=False)
    before = scored(store, EncoderOutput(tiny.spec, "projector"), NAME, way)
    estimated = [item for item in items if before[item.name][1]]
    assert 0 < len(estimated) <= len(items) - LEAST_IMAGES
    score(store, tiny, NAME, estimated[:1], method=ScoringMethod(), whole=False)
    after = scored(store, EncoderOutput(tiny.spec, "projector"), NAME, way)
    assert before.keys() == after.keys()
    assert {name for name in after if after[name] != before[name]} == {estimated[0].name}
    table = stored_scores(store, EncoderOutput(tiny.spec, "projector"), NAME, way).set_index("name")
    assert {name: flag for name, (_digest, flag) in after.items()} == table["estimated"].to_dict()


def test_the_table_of_full_scores_has_the_same_columns(store, tiny, items):
    score(store, tiny, NAME, items, method=QUICK, whole=False)
    full, both = (
        stored_scores(store, EncoderOutput(tiny.spec, "projector"), NAME, method) for method in (ScoringMethod(), QUICK)
    )
    assert set(full.columns) == set(both.columns)
    assert len(full) < len(both) == len(items)
    assert (full["low"] == full["high"]).all()


def test_a_dataset_too_small_for_estimates_is_scored_fully():
    few, enough = (replace(get_dataset("shapes"), size=size) for size in (31, 32))
    assert QUICK.for_dataset(few) == ScoringMethod()
    assert QUICK.for_dataset(enough) == QUICK


@pytest.mark.parametrize("name", [*METHODS, *ALIASES])
def test_a_method_is_known_by_its_name_and_by_that_of_an_earlier_version(name):
    method = ScoringMethod.named(name, "bf16")
    assert method.title_key == ALIASES.get(name, name)
    assert method.precision == "bf16"


def test_a_goal_is_a_fidelity_a_time_or_a_quick_look():
    assert ScoringMethod.named("balanced").goal == Goal(fidelity=FIDELITY)
    assert QUICK.goal.quick
    assert not any(goal.quick for goal in (Goal(fidelity=0.9), Goal(seconds=1.0), Goal(rows=2)))


def test_a_listed_dataset_has_its_full_float32_scores_only():
    assert ScoringMethod.named("balanced", "bf16").for_dataset(get_dataset("imagenette-val")) == ScoringMethod()


def test_words_say_which_scores_are_estimates(store, tiny, items):
    way = QUICK
    score(store, tiny, NAME, items, method=way, whole=False)
    table = stored_scores(store, EncoderOutput(tiny.spec, "projector"), NAME, way)
    count = table["estimated"].sum()
    output = EncoderOutput(tiny.spec, "projector")
    words = in_words(store, output, NAME, way, table)
    assert words.startswith(f"{count} of 60 scores are estimates by one forward pass an image (float32), each with a")
    assert "images drawn at random were scored fully to check them (Spearman 0." in words
    assert in_words(store, output, NAME, way, table[~table["estimated"]]) == "Full scores in float32."
