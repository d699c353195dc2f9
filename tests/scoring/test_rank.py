"""One rank for each output of an encoder: what a picture scores does not depend on what else was scored."""

import json

import numpy as np
import pandas as pd
import pytest

from jepa_core.check import evidence, known_set
from jepa_core.cli import parser
from jepa_core.datasets.registry import get_dataset, sample
from jepa_core.encoders import registry
from jepa_core.encoders.registry import list_encoders, load_encoder
from jepa_core.jacobian import engine as jacobian_engine
from jepa_core.jacobian.spectrum import Rank
from jepa_core.scoring import rank as scoring_rank
from jepa_core.scoring import rank_findings
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.score_images import score_images
from jepa_core.scoring.stored import stored_scores
from jepa_core.store.results import Store
from tests.helpers import png, run, score, scores

BACKBONE = 94  # of 96: a LayerNorm, then the class token
OLD = Rank(
    60, "a LayerNorm is the last step, which leaves K - 2 (94), but 8 calibration images show 60 above rounding noise"
)


@pytest.fixture
def store() -> Store:
    return Store()


def space(tiny, output: str = "backbone") -> str:
    return EncoderOutput.of(tiny.spec, output).space


def test_the_first_image_alone_scores_as_it_does_among_many(store, tiny, folder):
    first = sorted(folder.rglob("*.png"))[0]
    alone = score_images([first], tiny, "backbone")["jepa_score"][0]
    among = score_images([png(5), first, png(6), first, b"".join([png(7)])], tiny, "backbone")["jepa_score"]
    few = list(get_dataset(str(folder)).items())[:2]
    score(store, tiny, "few", few, "backbone")
    early = stored_scores(store, EncoderOutput(tiny.spec, "backbone"), "few").set_index("name")["jepa_score"]
    run(store, tiny, folder, "backbone")
    later = stored_scores(store, EncoderOutput(tiny.spec, "backbone"), "few").set_index("name")["jepa_score"]
    whole = scores(store, tiny, folder, "backbone").set_index("name")["jepa_score"]
    name = str(first.relative_to(folder))
    found = [among[1], among[3], early[name], later[name], whole[name]]
    assert np.allclose(found, alone, rtol=0, atol=1e-4)


def test_a_batch_of_any_size_and_order_gives_the_same_score(tiny):
    given = [png(seed) for seed in range(5)]
    alone = [score_images([one], tiny, "backbone")["jepa_score"][0] for one in given]
    engine = jacobian_engine.engine_of(tiny, "backbone")
    for images in (1, 2, 16):
        engine.plan = engine.plan._replace(images=images)
        engine.backend.forget()
        found = score_images(given[::-1], tiny, "backbone")["jepa_score"].to_numpy()[::-1]
        assert np.allclose(found, alone, rtol=0, atol=1e-4)


def test_terminal_python_export_and_check_give_one_number(tiny, folder, tmp_path, capsys):
    def terminal(*words: str) -> float:
        assert (
            parser.main([*words, "--encoder", "tiny", "--output", "backbone", "--data", str(folder), "--out", out]) == 0
        )
        return pd.read_csv(out).set_index("name")["jepa_score"][name]

    first, out = sorted(folder.rglob("*.png"))[0], str(tmp_path / "out.csv")
    name = str(first.relative_to(folder))
    two = terminal("score", "--limit", "2", "--seed", str(_seed_with(folder, name)))
    capsys.readouterr()
    assert (
        parser.main(
            ["score", "--encoder", "tiny", "--output", "backbone", "--data", str(folder), "--image", name, "--json"]
        )
        == 0
    )
    [single] = json.loads(capsys.readouterr().out)
    reference = sample(get_dataset("digits-test"), 20, seed=0)
    score(Store(), tiny, "digits-test", reference, "backbone")
    known = known_set.load_known(Store(), EncoderOutput.of(tiny.spec, "backbone"), "digits-test")
    [checked] = evidence.check_pictures(EncoderOutput.of(tiny, "backbone"), [(name, first.read_bytes())], known).checked
    found = [two, terminal("score"), terminal("export"), single["jepa_score"], checked.scores["jepa_score"]]
    assert np.allclose(found, score_images([first], tiny, "backbone")["jepa_score"][0], rtol=0, atol=1e-4)


def _seed_with(folder, name: str) -> int:
    """A seed whose sample of two pictures has this one."""
    dataset = get_dataset(str(folder))
    return next(seed for seed in range(99) if name in {item.name for item in sample(dataset, 2, seed)})


def test_it_is_found_once_and_then_known_without_loading_anything(tiny, monkeypatch):
    assert EncoderOutput.of(tiny, "backbone").rank == Rank(BACKBONE, "a LayerNorm is the last step, which leaves K - 2")
    monkeypatch.setattr(registry, "build_net", None)
    monkeypatch.setattr(scoring_rank, "_found", None)
    assert EncoderOutput.of(tiny.spec, "backbone").rank == EncoderOutput.of(tiny, "backbone").rank
    assert EncoderOutput.of(list_encoders()["tiny"], "backbone").rank.rank == BACKBONE


@pytest.mark.parametrize("output", ["backbone", "projector"])
def test_an_encoder_that_the_last_version_loaded_has_it_too(tiny, output, monkeypatch):
    monkeypatch.setattr(scoring_rank, "_keep", lambda _space, rank: rank)
    assert EncoderOutput.of(tiny.spec, output).rank == EncoderOutput.of(tiny, output).rank


def test_a_damaged_record_is_made_anew(tiny, cache):
    for content in ("{", "[]", '{"x": 3}', '{"x": {"rank": 3}}'):
        (cache / "ranks.json").write_text(content)
        assert EncoderOutput.of(tiny, "backbone").rank.rank == BACKBONE
        assert json.loads((cache / "ranks.json").read_text())[space(tiny)]["rank"] == BACKBONE


def test_a_record_that_cannot_be_written_loses_nothing(tiny, cache):
    (cache / "ranks.json").mkdir()
    assert EncoderOutput.of(tiny, "backbone").rank.rank == BACKBONE


def test_a_card_has_the_last_word_unless_calibration_images_wrote_it(install_tiny):
    install_tiny(
        ranks={"projector": {"rank": 13, "reason": "on the card"}, "backbone": {"rank": 60, "reason": OLD.reason}}
    )
    spec = registry.get_spec("tiny")
    assert EncoderOutput.of(spec, "projector").rank.rank == 13
    assert EncoderOutput.of(spec, "backbone").rank.rank == BACKBONE


@pytest.mark.parametrize("name", ["digits", "photo"])
def test_the_bundled_cards_have_what_the_architecture_allows(name):
    encoder = load_encoder(name, "cpu")
    for output, rank in encoder.spec.ranks.items():
        assert scoring_rank._found(encoder.module(output), encoder.input_shape, "cpu").rank == rank.rank


# --- what calibration images show ------------------------------------------------------------------------------------


def test_what_calibration_shows_is_said_once_and_changes_no_score(store, tiny, folder):
    scoring_rank._keep(space(tiny), Rank(95, "for this test"))
    few = list(get_dataset(str(folder)).items())[:7]
    assert score(store, tiny, "few", few, "backbone").notes == []
    before = stored_scores(store, EncoderOutput(tiny.spec, "backbone"), "few")["jepa_score"]
    [said] = run(store, tiny, folder, "backbone").notes
    assert said.startswith("Rank: for this test (95), but 8 calibration images show ")
    assert said.endswith("; scores are summed over 95.")
    assert run(store, tiny, folder, "backbone").notes == []
    assert rank_findings.finding(store, EncoderOutput.of(tiny.spec, "backbone")) == said  # pages show it on
    assert stored_scores(store, EncoderOutput(tiny.spec, "backbone"), "few")["jepa_score"].equals(before)
    assert scores(store, tiny, folder, "backbone")["rank_disagrees"].all()


def test_a_store_of_the_last_version_is_summed_over_the_architectures_rank_and_that_is_said_once(store, tiny, folder):
    run(store, tiny, folder, "backbone")
    expected = scores(store, tiny, folder, "backbone")["jepa_score"]
    store.put_rank(space(tiny), OLD, over=True)
    assert scores(store, tiny, folder, "backbone")["jepa_score"].equals(expected)
    [said] = run(store, tiny, folder, "backbone").notes
    assert "show 60 above rounding noise" in said
    assert "scores are summed over 94" in said
    assert run(store, tiny, folder, "backbone").notes == []
    assert scores(store, tiny, folder, "backbone")["jepa_score"].equals(expected)


def test_the_terminal_says_it_on_standard_error_once(tiny, folder, capsys):
    Store().put_rank(space(tiny), OLD)
    for times in (1, 0):
        assert parser.main(["score", "--encoder", "tiny", "--output", "backbone", "--data", str(folder)]) == 0
        said = capsys.readouterr()
        assert said.err.count("scores are summed over 94") == times
        assert "summed over" not in said.out


@pytest.mark.parametrize("command", ["export", "check"])
def test_commands_that_load_no_encoder_say_it_too(command, tiny, folder, tmp_path, capsys):
    reference = sample(get_dataset("digits-test"), 20, seed=0)
    score(Store(), tiny, "digits-test", reference, "backbone")
    Store().put_rank(space(tiny), OLD, over=True)
    words = {
        "export": ["--data", "digits-test", "--out", str(tmp_path / "out.csv")],
        "check": [str(next(folder.rglob("*.png"))), "--reference", "digits-test"],
    }
    for times in (1, 0):
        assert parser.main([command, "--encoder", "tiny", "--output", "backbone", *words[command]]) == 0
        assert capsys.readouterr().err.count("scores are summed over 94") == times
