"""A way to scores: what it leaves open is decided by the dataset, and each score says what it is."""

from dataclasses import replace

import pytest

from jepa_core.datasets.registry import get_dataset
from jepa_core.scoring import method as scoring_method
from jepa_core.scoring import precision
from jepa_core.scoring.method import Way
from jepa_core.scoring.sketch import SketchSettings
from jepa_core.store.results import Store

NAME = "digits-test"
SKETCH = SketchSettings(rows=4, images=24)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def items() -> list:
    return list(get_dataset(NAME).items())[:60]


def test_auto_stands_for_float32_until_images_have_decided(store, tiny, items, monkeypatch):
    monkeypatch.setattr(precision, "is_fast", lambda _device: True)
    monkeypatch.setattr(precision, "AGREEMENT", -1.0)
    auto = Way(precision="auto")
    assert scoring_method.settled(store, tiny.spec, "projector", NAME, auto).decided == "fp32"
    way, reason = scoring_method.decide(store, tiny, "projector", NAME, items, auto)
    assert way.decided == "bf16"
    assert "Spearman" in reason
    assert scoring_method.settled(store, tiny.spec, "projector", NAME, auto) == way
    assert len(scoring_method.scores(store, tiny.spec, "projector", NAME, auto)) == precision.IMAGES


@pytest.mark.parametrize("fast", [True, False])
def test_what_a_person_chose_is_taken_and_called_slow_where_it_is(store, tiny, items, monkeypatch, fast):
    monkeypatch.setattr(precision, "is_fast", lambda _device: fast)
    way = Way(precision="bf16")
    found, words = scoring_method.decide(store, tiny, "projector", NAME, items, way)
    assert found == way
    assert ("emulates" in words) == (not fast)
    assert scoring_method.decide(store, tiny, "projector", NAME, items, Way()) == (Way(), "")


def test_where_float32_scores_exist_auto_keeps_them(store, tiny, items):
    scoring_method.score(store, tiny, "projector", NAME, items, Way(), whole=False)
    way, reason = scoring_method.decide(store, tiny, "projector", NAME, items, Way(precision="auto"))
    assert way.decided == "fp32"
    assert "already" in reason


def test_a_full_score_stands_before_an_estimate(store, tiny, items):
    way = Way("sketch", sketch=SKETCH)
    scoring_method.score(store, tiny, "projector", NAME, items, way, whole=False)
    before = scoring_method.scored(store, tiny.spec, "projector", NAME, way)
    estimated = [item for item in items if before[item.name][1]]
    assert 0 < len(estimated) <= len(items) - SKETCH.images
    scoring_method.score(store, tiny, "projector", NAME, estimated[:1], Way(), whole=False)
    after = scoring_method.scored(store, tiny.spec, "projector", NAME, way)
    assert before.keys() == after.keys()
    assert {name for name in after if after[name] != before[name]} == {estimated[0].name}
    table = scoring_method.scores(store, tiny.spec, "projector", NAME, way).set_index("name")
    assert {name: flag for name, (_digest, flag) in after.items()} == table["estimated"].to_dict()


def test_the_table_of_full_scores_has_the_same_columns(store, tiny, items):
    scoring_method.score(store, tiny, "projector", NAME, items, Way("sketch", sketch=SKETCH), whole=False)
    full, both = (
        scoring_method.scores(store, tiny.spec, "projector", NAME, Way(method, sketch=SKETCH))
        for method in scoring_method.METHODS
    )
    assert set(full.columns) == set(both.columns)
    assert len(full) < len(both) == len(items)
    assert (full["low"] == full["high"]).all()


def test_a_dataset_too_small_for_a_sketch_is_scored_fully():
    few, enough = (replace(get_dataset("shapes"), size=size) for size in (47, 48))
    assert scoring_method.possible(Way("sketch", sketch=SKETCH), few).method == "exact"
    assert scoring_method.possible(Way("sketch", sketch=SKETCH), enough).method == "sketch"


def test_a_listed_dataset_has_its_full_float32_scores_only():
    assert scoring_method.possible(Way("sketch", "bf16"), get_dataset("imagenette-val")) == Way()


def test_words_say_which_scores_are_estimates(store, tiny, items):
    way = Way("sketch", sketch=SKETCH)
    scoring_method.score(store, tiny, "projector", NAME, items, way, whole=False)
    table = scoring_method.scores(store, tiny.spec, "projector", NAME, way)
    count = table["estimated"].sum()
    words = scoring_method.in_words(tiny.spec, "projector", way, table)
    assert words.startswith(f"{count} of 60 scores are estimates by a sketch (4 of 16 products an image, float32)")
    assert scoring_method.in_words(tiny.spec, "projector", way, table[~table["estimated"]]) == "Full scores in float32."
