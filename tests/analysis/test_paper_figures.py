"""The paper's studies from the terminal."""

import numpy as np
import pytest
from PIL import Image

from jepa_core.analysis import paper_figures
from jepa_core.datasets.registry import get_dataset
from jepa_core.encoders import cost
from jepa_core.encoders.registry import get_spec
from jepa_core.errors import DatasetError, NotEnoughData
from jepa_core.figures.contact_sheet import Row, contact_sheet
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ScoringMethod

pytestmark = pytest.mark.usefixtures("tiny", "own_assets", "rate")


@pytest.fixture
def rate(monkeypatch):
    """A machine that need not be measured."""
    monkeypatch.setattr(cost, "engine_rate", lambda _device, precision="fp32": 1e9)  # noqa: ARG005


def pixels(path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_figure_1_has_a_row_for_each_encoder_and_goes_on_from_the_store(command, folder, tmp_path):
    asked = ("figure1", "--encoder", "tiny", "--data", folder, "--class", "odd", "--device", "cpu")
    out = tmp_path / "figure1.png"
    status, _out, err = command(*asked, "--out", out)
    assert status == 0
    assert "tiny, projector on pictures: 6 images to score, about" in err
    first = pixels(out)
    status, _out, err = command(*asked, "--encoder", "tiny", "--out", out)
    assert "All scores are in the store." in err
    assert len(pixels(out)) > len(first)
    status, _out, err = command("figure1", "--encoder", "tiny", "--data", folder, "--device", "cpu", "--out", out)
    assert (status, "tiny, projector on pictures: 6 images to score" in err) == (0, True)  # of all classes


def test_figure_1_shows_the_ends_that_the_scores_name(command, folder, store):
    command("score", "--encoder", "tiny", "--data", folder, "--device", "cpu")
    subject, dataset = EncoderOutput(get_spec("tiny"), "projector"), get_dataset(str(folder))
    found = paper_figures.table(store, subject, dataset, ScoringMethod())
    assert found["jepa_score"].is_monotonic_increasing
    least, most = paper_figures.ends(found)
    assert (len(least), len(most)) == (5, 5)
    assert least["jepa_score"].max() <= most["jepa_score"].min()
    least, most = paper_figures.ends(found.iloc[:3])
    assert (len(least), len(most)) == (1, 1)
    assert paper_figures.missing(store, subject, dataset, ScoringMethod()) == 0
    crops = paper_figures.pictures(store, subject, dataset, found)
    assert len(crops) == 12
    assert crops[0].size == (16, 16)
    some = paper_figures.drawn_at_random(found, 4)
    assert list(some["name"]) == list(paper_figures.drawn_at_random(found, 4)["name"])


def test_figure_3_compares_datasets(command, folder, tmp_path):
    out = tmp_path / "figure3.html"
    asked = ("figure3", "--encoder", "tiny", "--data", folder, "digits-test", "--limit", "5", "--device", "cpu")
    status, _out, err = command(*asked, "--out", out)
    assert status == 0
    assert "In all about" in err
    page = out.read_text(encoding="utf-8")
    assert "tiny, projector" in page
    assert "Digits (test), 5 of 360" in page


def test_figure_7_has_the_directions_of_both_ends(command, folder, tmp_path):
    out = tmp_path / "figure7.png"
    status, _out, _err = command("figure7", "--encoder", "tiny", "--data", folder, "--device", "cpu", "--out", out)
    assert status == 0
    assert pixels(out).std() > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("figure1", "--data", "digits-test", "--out", "figure.jpg"),
            "a file that ends in .png, in a folder that exists",
        ),
        (
            ("figure3", "--data", "digits-test", "--out", "/nowhere/f.html"),
            "a file that ends in .html, in a folder that",
        ),
        (("figure1", "--data", "digits-test", "--class", "x", "--out", "f.png"), "Unknown class of dataset"),
        (("figure7", "--data", "digits-test", "--encoder", "x", "--out", "f.png"), "Unknown encoder"),
    ],
)
def test_wrong_arguments_are_one_line(command, monkeypatch, tmp_path, words, said):
    monkeypatch.chdir(tmp_path)
    status, out, err = command(*words)
    assert (status, out) == (2, "")
    assert said in err
    assert not list(tmp_path.glob("f*.*"))


def test_without_scores_or_pictures_a_study_says_so(store):
    subject = EncoderOutput(get_spec("tiny"), "projector")
    with pytest.raises(NotEnoughData, match="has no scores for tiny, projector"):
        paper_figures.table(store, subject, get_dataset("digits-test"), ScoringMethod())
    listed = get_dataset("mnist")
    with pytest.raises(DatasetError, match="are not bundled"):
        paper_figures.pictures(store, subject, listed, None)


def test_a_sheet_holds_pictures_of_any_size():
    pictures = [Image.new("RGB", size, "red") for size in ((8, 8), (64, 40), (500, 20))]
    found = contact_sheet("Title", [Row("Row", pictures, ["a", "b", "c"], break_after=1)])
    red = (np.asarray(found) == (255, 0, 0)).all(axis=2)
    assert red.sum() == 112 * 112 + 112 * 70 + 112 * 4


def test_the_time_of_a_study_is_that_of_all_its_missing_scores(monkeypatch):
    monkeypatch.setattr(cost, "seconds_an_image", lambda spec, output, _device: spec.outputs[output] / 8)
    outputs = [EncoderOutput(get_spec("tiny"), name) for name in list(get_spec("tiny").outputs)[:2]]
    assert len(outputs) == 2
    expected = sum(count * one.k / 8 for one, count in zip(outputs, (10, 3), strict=True))
    assert paper_figures.seconds_to_score(outputs, (10, 3), "cpu") == expected > 0
