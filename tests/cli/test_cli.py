"""The terminal: tables or JSON on standard output, everything else on standard error, and an honest exit status."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from jepa_core import images, pretrain
from jepa_core.datasets import download
from jepa_core.datasets.registry import list_datasets
from jepa_core.encoders import registry
from jepa_core.errors import StoreError
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.store import shipped
from jepa_core.store.results import Store
from tests import hub
from tests.datasets import small_sets

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.usefixtures("own_assets")


@pytest.fixture
def folder(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    made = tmp_path / "pictures"
    for name in [f"{label}/{number}.png" for label in ("cats", "dogs") for number in range(10)]:
        path = made / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(images.to_png(Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))))
    return made


@pytest.fixture
def score(command, folder):
    return lambda *more: command("score", "--encoder", "tiny", "--device", "cpu", "--data", folder, *more)


def last_line(err: str) -> str:
    return err.strip().splitlines()[-1]


# --- lists ------------------------------------------------------------------------------------------------------------


def test_encoders_are_listed(command):
    status, out, err = command("encoders")
    assert (status, err) == (0, "")
    assert out.split()[:3] == ["name", "family", "weights"]
    assert "projector (K=16), backbone (K=96)" in out
    row, *others = json.loads(command("encoders", "--json")[1])
    assert (row["name"], row["licence"], row["reference"]) == ("tiny", "MIT", "digits-test")
    assert row["weights"] == "here"
    assert {other["weights"] for other in others} == {"to download"}
    (small,) = [other for other in others if other["name"] == "dinov2-s14"]
    assert (small["about MB"], small["parameters"], small["input"], small["outputs"], small["licence"]) == (
        88,
        22_100_000,
        224,
        "backbone (K=384)",
        "Apache 2.0",
    )


def test_datasets_are_listed(command):
    status, out, err = command("datasets", "--json")
    assert (status, err) == (0, "")
    rows = {row["name"]: row for row in json.loads(out)}
    assert (rows["digits-test"]["images"], rows["digits-test"]["classes"]) == (360, 10)
    assert all(name in command("datasets")[1] for name in rows)


def test_datasets_to_download_are_listed_behind_the_bundled_ones(command):
    rows = json.loads(command("datasets", "--json")[1])
    bundled = [row["name"] for row in rows if "download" not in row]
    assert bundled == list(list_datasets())
    assert [row["name"] for row in rows[: len(bundled)]] == bundled
    offered = {row["name"]: row for row in rows[len(bundled) :]}
    assert offered["torchvision:imagenette/val"] == {
        "name": "torchvision:imagenette/val",
        "images": 3925,
        "classes": 10,
        "source": "torchvision",
        "title": "Imagenette (val)",
        "download": 99003388,
        "here": False,
        "login": False,
    }
    assert offered["hub:ILSVRC/imagenet-1k/validation"]["login"]
    lines = command("datasets")[1].splitlines()
    assert any(line.split()[-4:] == ["size", "unknown", "no", "yes"] for line in lines)
    assert any(line.split()[-5:] == ["(val)", "99", "MB", "no", "no"] for line in lines)


def test_a_dataset_is_downloaded_once(command, monkeypatch):
    with hub.serving() as server:
        small_sets.serve("places365", server, monkeypatch)
        status, out, err = command("datasets", "--download", "places365")
        assert (status, out) == (0, "")
        assert err.startswith("Places365 (val): 1 MB, licence not stated.\n")
        assert "Places365 (val) is here now: --data torchvision:places365/val\n" in err
        before = server.sent
        assert command("datasets", "--download", "torchvision:places365/val")[2] == (
            "Places365 (val) is here already: --data torchvision:places365/val\n"
        )
        assert server.sent == before
    rows = {row["name"]: row for row in json.loads(command("datasets", "--json")[1])}
    assert rows["torchvision:places365/val"]["here"]


def test_a_stopped_download_is_told_in_a_sentence(command, monkeypatch):
    def stop(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "download", stop)
    status, out, err = command("datasets", "--download", "mnist")
    assert (status, out) == (1, "")
    assert err.endswith("Stopped; what is finished is kept, and the same command goes on from there.\n")


def test_an_unknown_dataset_to_download_is_said(command):
    status, _out, err = command("datasets", "--download", "nonsense")
    assert status == 2
    assert err.startswith("error: Unknown dataset to download: 'nonsense'. Must be one of: ")


# --- score ------------------------------------------------------------------------------------------------------------


def test_scores_are_printed_as_a_table_and_the_summary_apart(score):
    status, out, err = score()
    assert status == 0
    lines = out.splitlines()
    assert lines[0].split()[:5] == ["name", "label", "position", "digest", "jepa_score"]
    assert len(lines) == 21
    assert last_line(err).startswith("20 images scored in ")
    assert last_line(err).endswith(" s, 0 known already, 0 failed.")


def test_scores_are_printed_as_json_that_parses(score):
    status, out, _err = score("--json")
    rows = json.loads(out)
    assert status == 0
    assert len(rows) == 20
    assert rows[0]["name"] == "cats/0.png"
    assert isinstance(rows[0]["jepa_score"], float)


def test_the_second_time_all_come_from_the_store(score):
    first = json.loads(score("--json")[1])
    status, out, err = score("--json")
    assert status == 0
    assert "0 images scored" in err
    assert "20 known already, 0 failed." in err
    assert json.loads(out) == first


def test_one_class_a_sample_and_another_output(score):
    assert {row["label"] for row in json.loads(score("--class", "dogs", "--json")[1])} == {"dogs"}
    sample = [row["name"] for row in json.loads(score("--limit", 3, "--seed", 1, "--json")[1])]
    assert len(sample) == 3
    assert [row["name"] for row in json.loads(score("--limit", 3, "--seed", 1, "--json")[1])] == sample
    whole = {row["name"]: row["jepa_score"] for row in json.loads(score("--json")[1])}
    backbone = {row["name"]: row["jepa_score"] for row in json.loads(score("--output", "backbone", "--json")[1])}
    assert whole.keys() == backbone.keys()
    assert whole != backbone


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_scores_are_written_to_a_file_and_nothing_to_standard_output(score, tmp_path, suffix):
    path = tmp_path / f"scores{suffix}"
    status, out, err = score("--out", path)
    assert (status, out) == (0, "")
    assert last_line(err) == f"Wrote {path}."
    assert len(pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)) == 20


def test_a_bad_picture_is_told_and_the_others_are_scored(score, folder):
    (folder / "cats" / "letter.png").write_bytes(b"Dear Sir")
    status, out, err = score("--json")
    assert status == 0
    assert len(json.loads(out)) == 20
    assert any(line.startswith("cats/letter.png is not an image") for line in err.splitlines())
    assert "20 images scored" in err
    assert last_line(err).endswith("1 failed.")


def test_nothing_but_bad_pictures_is_a_failure(command, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "letter.png").write_bytes(b"Dear Sir")
    status, out, err = command("score", "--encoder", "tiny", "--data", tmp_path / "bad")
    assert (status, out) == (1, "")
    assert last_line(err) == "error: None of the 1 images of bad could be scored; the lines above say why."


def test_a_failure_in_the_middle_is_a_line_of_its_own_beside_the_progress_bar(score, monkeypatch):
    def full(*_args):
        raise StoreError("Results cannot be kept here.")

    monkeypatch.setattr(Store, "put", full)
    status, out, err = score()
    assert (status, out) == (1, "")
    assert "error: Results cannot be kept here." in [line.strip() for line in err.replace("\r", "\n").splitlines()]


# --- check ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def check(command, folder, score):
    score()
    return lambda *more: command("check", "--encoder", "tiny", "--device", "cpu", "--reference", folder, *more)


def test_pictures_are_held_against_a_reference(check, folder):
    status, out, err = check(folder / "cats" / "0.png", folder / "dogs" / "1.png", "--json")
    assert status == 0
    assert "error" not in err
    rows = json.loads(out)
    assert [row["name"] for row in rows] == [str(folder / "cats" / "0.png"), str(folder / "dogs" / "1.png")]
    assert all(0 <= row["percentile"] <= 100 for row in rows)
    assert "nearest_unlikely" in check(folder / "cats" / "0.png")[1].splitlines()[0]


def test_a_bad_picture_does_not_stop_the_check_but_alone_it_fails(check, folder, tmp_path):
    (tmp_path / "letter.png").write_bytes(b"Dear Sir")
    status, out, err = check(tmp_path / "letter.png", folder / "cats" / "0.png", "--json")
    assert (status, len(json.loads(out))) == (0, 1)
    assert "letter.png is not an image" in err
    assert check(tmp_path / "letter.png")[0] == 1


def test_a_missing_picture_does_not_stop_the_check_but_alone_it_fails(check, folder, tmp_path):
    good, missing = folder / "cats" / "0.png", tmp_path / "missing.png"
    told = f"{missing} cannot be read (No such file or directory); give the paths of image files."
    status, out, err = check(good, missing, "--json")
    assert (status, [row["name"] for row in json.loads(out)], last_line(err)) == (0, [str(good)], told)
    assert check(missing) == (1, "", f"error: {told}\n")
    (tmp_path / "letter.png").write_bytes(b"Dear Sir")
    status, out, err = check(missing, tmp_path / "letter.png")
    assert (status, out, last_line(err)) == (1, "", f"error: {told}")


def test_a_picture_whose_name_is_no_text_is_checked(check, folder, tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    try:
        path.write_bytes((folder / "cats" / "0.png").read_bytes())
    except OSError:
        pytest.skip("this file system has no such names")
    status, out, _err = check(path, "--json")
    assert (status, json.loads(out)[0]["name"]) == (0, f"{tmp_path}/caf\\udce9.png")


def test_the_encoders_own_reference_is_taken_and_must_be_scored_first(command, folder):
    status, out, err = command("check", "--encoder", "tiny", "--device", "cpu", folder / "cats" / "0.png")
    assert (status, out) == (1, "")
    assert err == (
        "error: The reference 'digits-test' has 0 scored images; at least 19 are needed; run 'python -m jepa_core "
        "score --encoder tiny --output projector --data digits-test' first.\n"
    )


# --- export -----------------------------------------------------------------------------------------------------------


def test_stored_scores_are_exported_without_computing(command, score, folder, tmp_path, monkeypatch):
    rows = json.loads(score("--json")[1])
    monkeypatch.setattr(registry, "load_encoder", None)  # would fail if it were called
    path = tmp_path / "table.csv"
    status, out, err = command("export", "--encoder", "tiny", "--data", folder, "--out", path)
    assert (status, err) == (0, "")
    assert out.split()[2:] == ["20", str(path)]
    assert pd.read_csv(path)["name"].tolist() == [row["name"] for row in rows]


def test_a_parquet_file_has_the_embeddings_and_the_command_that_opens_it_is_said(command, score, folder, tmp_path):
    score()
    path = tmp_path / "my table.parquet"
    status, out, err = command("export", "--encoder", "tiny", "--data", folder, "--out", path, "--json")
    assert (status, json.loads(out)) == (0, [{"rows": 20, "file": str(path)}])
    assert err == f"Embedding Atlas opens it: embedding-atlas '{path}' --vector embedding\n"
    table = pd.read_parquet(path)
    assert {len(embedding) for embedding in table["embedding"]} == {16}
    assert table["path"].tolist() == [f"{folder}/{name}" for name in table["name"]]


def test_an_export_goes_somewhere(command, folder):
    status, out, err = command("export", "--encoder", "tiny", "--data", folder)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: the following arguments are required: --out or --push; see ")


def test_nothing_scored_is_nothing_to_export(command, folder, tmp_path):
    status, _out, err = command("export", "--encoder", "tiny", "--data", folder, "--out", tmp_path / "table.csv")
    assert status == 1
    assert err == (
        "error: The store has no scores of pictures for encoder 'tiny', output 'projector'; run 'python -m jepa_core "
        f"score --encoder tiny --output projector --data {folder}' first.\n"
    )


@pytest.mark.parametrize("prefix", ["", "folder:"])
def test_the_command_to_score_first_can_be_pasted_into_a_shell(command, folder, tmp_path, prefix):
    moved = folder.rename(tmp_path / "my pictures")
    _status, _out, err = command("export", "--encoder", "tiny", "--data", f"{prefix}{moved}", "--out", "table.csv")
    assert err.endswith(f"score --encoder tiny --output projector --data '{moved}'' first.\n")


# --- pretrain and verify ----------------------------------------------------------------------------------------------


def test_pretrain_passes_its_recipe_on_and_prints_the_card(command, monkeypatch, tmp_path):
    def train(recipe: str, out: Path | None, log) -> Path:
        log("Epoch 1 of 1")
        return out / f"{recipe}.json"

    monkeypatch.setattr(pretrain, "pretrain", train)
    card = tmp_path / "digits.json"
    assert command("pretrain", "digits", "--out", tmp_path) == (0, f"{card}\n", "Epoch 1 of 1\n")
    assert json.loads(command("pretrain", "digits", "--out", tmp_path, "--json")[1]) == {"card": str(card)}


@pytest.fixture
def verified(command, folder, score):
    """`verify` with a shipped table of the folder's pictures."""
    score()
    spec = registry.get_spec("tiny")
    shipped.ship(
        Store(), EncoderOutput.of(spec).config(), [f"folder:{folder}"], shipped.shipped_path(spec, "projector")
    )
    return lambda *more: command("verify", "--encoder", "tiny", "--device", "cpu", *more)


def test_shipped_scores_that_can_be_computed_again_pass(verified):
    status, out, _err = verified("--count", 5, "--json")
    (row,) = json.loads(out)
    assert status == 0
    assert (row["encoder"], row["output"], row["rows"], row["checked"], row["passed"]) == (
        "tiny",
        "projector",
        20,
        5,
        True,
    )


def test_shipped_scores_of_other_pictures_fail(verified, folder):
    for path in folder.rglob("*.png"):
        path.write_bytes(images.to_png(Image.new("RGB", (8, 8), "red")))
    status, out, err = verified("--json")
    assert status == 1
    assert json.loads(out)[0]["other_pictures"] == 20
    assert last_line(err).startswith("error: The shipped scores do not agree with this machine's (tolerance 0.01")


def test_nothing_shipped_is_a_failure(command):
    status, _out, err = command("verify", "--encoder", "tiny", "--device", "cpu")
    assert status == 1
    assert err == ("error: No score table is shipped for 'tiny'; at least one is needed; make it with --write.\n")
