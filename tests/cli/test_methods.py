"""The terminal's ways to score and to measure: estimates, precision, bench."""

import json

import pytest

from jepa_core.cli import parser
from jepa_core.jacobian import batch_plan
from jepa_core.scoring import benchmark, benchmark_estimates, precision, stopwatch
from jepa_core.scoring.method import LEAST_IMAGES
from tests.helpers import png

pytestmark = pytest.mark.usefixtures("own_assets")


def score(*words: object) -> int:
    options = ["--encoder", "tiny", "--device", "cpu", "--data", "digits-test", "--json", *map(str, words)]
    return parser.main(["score", *options])


@pytest.mark.parametrize("words", [("--method", "quick"), ("--minutes", "0.0001")])
def test_estimates_say_which_they_are_and_how_sure_they_are(capsys, words):
    assert score(*words) == 0
    rows = json.loads(capsys.readouterr().out)
    estimated = [row for row in rows if row["estimated"]]
    assert len(rows) == 360
    assert 0 < len(estimated) <= 360 - LEAST_IMAGES
    assert all(row["low"] < row["jepa_score"] < row["high"] for row in estimated)
    assert {row["precision"] for row in rows} == {"fp32"}


def test_the_words_of_an_earlier_version_are_understood(capsys):
    assert score("--method", "sketch", "--rows", 1, "--limit", 40) == 0
    assert len(json.loads(capsys.readouterr().out)) == 40


@pytest.mark.parametrize(
    ("words", "accepted"),
    [
        (("--fidelity", "98"), "a number between 0 and 1, such as .98"),
        (("--fidelity", "much"), "a number between 0 and 1, such as .98"),
        (("--minutes", "0"), "a number above 0, such as 2"),
        (("--minutes", "2", "--fidelity", ".9"), "not allowed with argument"),
        (("--exact", "--minutes", "2"), "not allowed with argument"),
    ],
)
def test_a_goal_that_is_none_is_refused_in_one_line(capsys, words, accepted):
    with pytest.raises(SystemExit):
        score(*words)
    assert accepted in capsys.readouterr().err


def test_auto_says_which_precision_it_took_and_why(capsys, monkeypatch):
    monkeypatch.setattr(stopwatch, "kept_time_ratio", lambda _store, _output: 0.5)
    monkeypatch.setattr(precision, "AGREEMENT", -1.0)
    monkeypatch.setattr(precision, "IMAGES", 8)  # bfloat16 is slow where it is emulated
    assert score("--precision", "auto", "--limit", 12) == 0
    said = capsys.readouterr()
    assert "Precision: bfloat16: bfloat16 ranks 8 images of this dataset like float32 to Spearman" in said.err
    rows = json.loads(said.out)
    assert len(rows) == 12
    assert {row["precision"] for row in rows} == {"bf16"}


def test_bench_leaves_bfloat16_out_where_it_is_emulated(monkeypatch):
    monkeypatch.setattr(stopwatch, "matrix_time_ratio", lambda _device: 70.0)
    assert benchmark._precisions("cpu") == ["fp32"]


def test_bench_prints_every_way_with_its_ratios(capsys, monkeypatch, install_tiny, tmp_path):
    for seed in range(40):  # few images, and few at a time, since bfloat16 is slow where it is emulated
        (tmp_path / f"{seed}.png").write_bytes(png(seed))
    install_tiny(reference=str(tmp_path))
    monkeypatch.setattr(batch_plan, "default_budget", lambda _device: 1 << 22)
    monkeypatch.setattr(stopwatch, "matrix_time_ratio", lambda _device: 0.5)
    monkeypatch.setattr(benchmark, "CASES", {"tiny": benchmark.Case("tiny", encoder="tiny", output="projector")})
    monkeypatch.setattr(benchmark_estimates, "SIZES", (1000,))
    monkeypatch.setattr(benchmark, "_SHORT", 0.02)  # the times themselves are not looked at
    monkeypatch.setattr(benchmark, "REPEATS", 1)
    assert parser.main(["bench", "--case", "tiny", "--device", "cpu", "--limit", "1", "--json"]) == 0
    lines = {line["way"]: line for line in json.loads(capsys.readouterr().out)}
    assert {"listing, one image", "vmap", "jacrev", "full, fp32", "full, bf16"} < set(lines)
    assert {"look, fp32", "3 products, fp32"} < set(lines)
    for method in ("quick", "balanced"):
        assert sum(way.startswith(f"{method}, N = 1,000 (") for way in lines) == 1
    assert lines["listing, one image"]["over_listing"] == 1
    assert all(line["seconds"] > 0 for line in lines.values())


def test_an_unknown_case_is_refused_before_anything_is_measured(capsys):
    assert parser.main(["bench", "--case", "digits", "--case", "nothing"]) == 2
    said = capsys.readouterr().err
    assert "Unknown case: 'nothing'. Must be one of: digits" in said
    assert "Measuring" not in said


def test_an_encoder_without_a_reference_asks_for_one(capsys, install_tiny, folder):
    install_tiny(reference="")
    picture = next(folder.rglob("*.png"))
    assert parser.main(["check", "--encoder", "tiny", "--device", "cpu", str(picture)]) == 1
    assert "'tiny' has no reference of its own and none was given; " in capsys.readouterr().err


def test_a_check_holds_a_picture_against_estimates_too(capsys, folder):
    assert score("--method", "quick") == 0
    capsys.readouterr()
    picture = str(next(folder.rglob("*.png")))
    options = ["--encoder", "tiny", "--device", "cpu", "--reference", "digits-test", "--json"]
    assert parser.main(["check", *options, "--method", "quick", picture]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert 0 <= row["percentile"] <= 100
