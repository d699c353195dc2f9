"""An encoder that cannot be traced: a person is told so once, wherever they had scores computed."""

import pandas as pd
import pytest

from jepa_core.datasets.registry import get_dataset
from jepa_core.encoders.registry import load_encoder
from jepa_core.jacobian import batch_plan, engine
from jepa_core.jacobian.graph_steps.trace import trace
from jepa_core.scoring import benchmark
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ScoringMethod
from jepa_core.scoring.score_images import score_images
from jepa_core.scoring.stored import stored_scores
from tests.helpers import png, score

TOLD = "The encoder is differentiated by autograd alone, since it cannot be traced (no such operation); "


@pytest.fixture
def untraceable(own_assets, own_engines, monkeypatch):  # noqa: ARG001 (a fixture)
    """The tiny encoder where no graph can be made."""

    def refuse(*_given: object) -> None:
        raise NotImplementedError("no such operation\nand more of it")

    monkeypatch.setattr("jepa_core.jacobian.linearize.trace", refuse)
    return load_encoder("tiny", "cpu")


def test_a_run_tells_it_once_and_its_scores_are_those_of_the_traced_encoder(
    untraceable, tiny, store, folder, monkeypatch
):
    dataset = get_dataset(str(folder))
    items = list(dataset.items())
    summary = score(store, untraceable, dataset.name, items, "projector")
    assert [note for note in summary.notes if "traced" in note] == [f"{TOLD}its scores are as exact, and take longer."]
    monkeypatch.setattr("jepa_core.jacobian.linearize.trace", trace)
    assert engine.engine_of(tiny, "projector").why_not_traced == ""
    traced = score_images([png(seed) for seed in range(12)], tiny, "projector")
    found = stored_scores(store, EncoderOutput(untraceable.spec, "projector"), dataset.name)
    pd.testing.assert_series_equal(
        found.set_index("digest")["jepa_score"].sort_index(),
        traced.set_index("digest")["jepa_score"].sort_index(),
        rtol=1e-4,
    )


def test_estimates_tell_it_once_though_they_have_two_engines(untraceable, store, tmp_path):
    for seed in range(36):
        (tmp_path / f"{seed}.png").write_bytes(png(seed))
    dataset = get_dataset(str(tmp_path))
    method = ScoringMethod.named("quick")
    summary = score(store, untraceable, dataset.name, list(dataset.items()), "projector", method=method)
    assert sum(note.startswith(TOLD) for note in summary.notes) == 1


def test_the_terminal_tells_it_once_when_scoring_and_when_checking(untraceable, tmp_path, command):  # noqa: ARG001
    picture = tmp_path / "0.png"
    for seed in range(24):
        picture.with_stem(str(seed)).write_bytes(png(seed))
    options = ["--encoder", "tiny", "--output", "projector", "--device", "cpu"]
    status, _out, err = command("score", *options, "--data", tmp_path)
    assert status == 0, err
    assert err.count(TOLD) == 1
    status, _out, err = command("check", *options, "--reference", tmp_path, picture)
    assert status == 0, err
    assert err.count(TOLD) == 1


def test_the_table_of_bench_says_it_of_our_ways(untraceable, monkeypatch):
    monkeypatch.setattr(batch_plan, "default_budget", lambda _device: 1 << 22)
    ways = benchmark.ways_of(untraceable.module("projector"), (1, 16, 16), "cpu", 1, ["fp32"])
    assert [way.name for way in ways] == [
        "listing, one image",
        "vmap",
        "jacrev",
        "full, fp32, not traced",
        "look, fp32",
        "3 products, fp32, not traced",
    ]
