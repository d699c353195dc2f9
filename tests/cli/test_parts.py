"""`score --part`, `merge` and `plan`."""

import json
import sys

import pytest

pytestmark = pytest.mark.usefixtures("own_assets")


def test_parts_scored_apart_and_merged_are_what_score_prints(command, folder, cache, tmp_path):
    at = tmp_path / "parts"
    words = ("score", "--encoder", "tiny", "--data", folder, "--device", "cpu")
    for part in (1, 2, 3):
        status, out, err = command(*words, "--part", f"{part}/3", "--parts", at, "--json")
        assert status == 0, err
        assert json.loads(out)[0]["failed"] == 0
        assert f"'merge {at}' puts all parts into the store." in err
    assert not (cache / "store.sqlite").exists()  # a machine of many needs none
    status, out, err = command("merge", at, "--json")
    assert (status, json.loads(out)[0]["new"]) == (0, 12)
    assert f"12 of 12 images of folder:{folder} have full scores by tiny, projector (fp32)." in err
    assert json.loads(command("merge", at, "--json")[1])[0]["new"] == 0
    status, out, err = command(*words, "--json")
    assert (status, len(json.loads(out))) == (0, 12)
    assert "0 images scored" in err
    assert "12 known already" in err


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("--part", "3"), 2, "'3' was given where a part and their number, as in 3/16, is accepted"),
        (("--part", "0/4"), 2, "as in 3/16"),
        (("--part", "5/4"), 2, "as in 3/16"),
        (("--part", "1/4"), 2, "--parts FOLDER was not given together with --part or --on"),
        (("--parts", "x"), 2, "--parts FOLDER was not given together with --part or --on"),
        (("--part", "1/4", "--parts", "x", "--image", "1.png"), 2, "--image was given with --parts"),
        (
            ("--part", "1/4", "--parts", "x", "--out", "x.csv"),
            2,
            "--out was given with --part, which only writes its part",
        ),
        (("--on", "ray"), 2, "--parts FOLDER was not given together with --part or --on"),
        (("--on", "spark"), 2, "'spark' was given where ray, or ray://HOST:PORT, is accepted"),
        (("--on", "ray://", "--parts", "x"), 2, "is accepted"),
        (("--on", "ray", "--part", "1/4", "--parts", "x"), 2, "--part and --on were given together"),
        (("--on", "ray", "--parts", "x", "--method", "quick"), 1, "Estimates were asked for in parts"),
        (("--part", "1/4", "--parts", "x", "--method", "quick"), 1, "Estimates were asked for in parts"),
        (("--part", "1/4", "--parts", "x", "--precision", "auto"), 1, "Precision auto was asked for in parts"),
        (("--part", "1/4", "--parts", "nosuch://x"), 1, "Parts cannot be kept at 'nosuch://x'"),
    ],
)
def test_parts_asked_for_wrongly_are_told(command, folder, words, status, sentence):
    found, out, err = command("score", "--encoder", "tiny", "--data", folder, *words)
    assert (found, out) == (status, "")
    assert sentence in err
    assert len(err.strip().splitlines()) == 1


def test_a_folder_without_parts_is_told(command, tmp_path):
    status, _out, err = command("merge", tmp_path)
    assert (status, err) == (
        1,
        f"error: There are no parts at {tmp_path}; what 'score --part' wrote to is accepted; check the spelling.\n",
    )


def test_without_ray_one_sentence_says_what_to_install(command, folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    status, _out, err = command(
        "score", "--encoder", "tiny", "--data", folder, "--on", "ray", "--parts", tmp_path / "parts"
    )
    assert status == 1
    assert "error: Scoring on Ray was asked for, but Ray is not here" in err
    assert "pip install 'ray[data]'" in err


# --- plan -------------------------------------------------------------------------------------------------------------


def test_a_plan_says_hours_gigabytes_and_files_of_each_method(command, folder):
    status, out, err = command("plan", "--encoder", "tiny", "--data", folder, "--on", "8 x H200", "--json")
    assert status == 0, err
    rows = {row["method"]: row for row in json.loads(out)}
    assert rows.keys() == {"exact", "balanced", "quick"}
    assert (rows["exact"]["machines"], rows["quick"]["machines"], rows["exact"]["images"]) == (8, 1, 12)
    assert "this is a guess" in err
    status, out, _err = command("plan", "--encoder", "tiny", "--images", "1000000", "--on", "H100")
    assert status == 0
    assert out.count("?") == 2  # no look was measured on it


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("--images", "9", "--on", "8 x TPU"), 1, "of which no speed was measured"),
        (("--on", "H100"), 2, "--data"),
        (("--images", "9"), 2, "--on"),
        (("--images", "9", "--data", "digits-test", "--on", "H100"), 2, "not allowed with"),
    ],
)
def test_plans_asked_for_wrongly_are_told(command, words, status, sentence):
    found, out, err = command("plan", "--encoder", "tiny", *words)
    assert (found, out) == (status, "")
    assert sentence in err
