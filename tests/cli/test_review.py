"""`review` and `bench curation` from the terminal."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from jepa_core.cli.parser import main
from jepa_core.datasets.registry import get_dataset
from jepa_core.encoders.registry import get_spec
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.stored import stored_scores
from jepa_core.store.results import Store


@pytest.fixture
def folder(tmp_path: Path, cache: Path) -> Path:  # noqa: ARG001
    """Tiles of two photographs, one of them twice, one blank picture, and one file that is none."""
    scenes = get_dataset("scenes-validation")
    root = tmp_path / "mine"
    for label in scenes.labels()[:2]:
        (root / label).mkdir(parents=True)
        for item in list(scenes.items(label))[:12]:
            (root / label / f"{item.position}.ppm").write_bytes(item.read())
    first = sorted((root / scenes.labels()[0]).iterdir())[0]
    shutil.copy(first, first.parent / "zz-again.ppm")
    Image.new("RGB", (70, 70), (30, 60, 90)).save(first.parent / "zz-blank.png")
    (first.parent / "broken.png").write_bytes(b"no picture")
    return root


def test_a_list_has_reasons_and_unreadable_files_are_told(folder: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["review", "--data", str(folder), "--encoder", "photo"]) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert any("zz-again.ppm" in line and "the same file as" in line for line in lines)
    assert any("zz-blank.png" in line and "blank" in line for line in lines)
    assert "broken.png" in told.err
    assert "2 classes with fewer than 20 images are held against the whole set." in told.err
    assert f"{len(lines)} of 26 images have a reason to be looked at." in told.err


def test_the_list_can_be_json_or_a_file_with_all_images(
    folder: Path, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    assert main(["review", "--data", str(folder), "--encoder", "photo", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert all(row["reasons"] for row in rows)
    out = tmp_path / "list.csv"
    assert main(["review", "--data", str(folder), "--encoder", "photo", "--order", "embedding", "--out", str(out)]) == 0
    table = pd.read_csv(out, keep_default_na=False)
    assert len(table) == 26
    assert table["unlike"].astype(float).is_monotonic_decreasing
    assert table["path"].map(lambda path: Path(path).exists()).all()


def test_an_order_of_scores_scores_first(folder: Path, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    out = tmp_path / "list.csv"
    assert main(["review", "--data", str(folder), "--encoder", "photo", "--order", "score", "--out", str(out)]) == 0
    table = pd.read_csv(out)
    assert table["unlike"].notna().all()
    scores = stored_scores(Store(), EncoderOutput.of(get_spec("photo")), f"folder:{folder}").set_index("name")
    assert len(scores) == 26
    assert table["name"][0] in scores.groupby("label")["jepa_score"].idxmin().tolist()
    capsys.readouterr()


def test_copies_of_another_set_are_told(folder: Path, capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    other = tmp_path / "other" / "x"
    other.mkdir(parents=True)
    original = sorted(folder.rglob("*.ppm"))[3]
    with Image.open(original) as picture:
        picture.resize((60, 60)).save(other / "smaller.png")
    assert main(["review", "--data", str(folder), "--encoder", "photo", "--against", str(other.parent)]) == 0
    assert "a near duplicate of x/smaller.png of other" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--data", "digits-test", "--order", "beauty"], "error: Unknown order: 'beauty'"),
        (["--data", "mnist"], "error: The pictures of MNIST are not here, only their scores"),
        (
            ["--data", "digits-test", "--against", "mnist"],
            "error: The pictures of MNIST are not here, only their scores",
        ),
    ],
)
@pytest.mark.usefixtures("cache")
def test_what_cannot_be_reviewed_is_told_in_one_line(
    given: list[str], sentence: str, capsys: pytest.CaptureFixture
) -> None:
    assert main(["review", *given]) in (1, 2)
    told = capsys.readouterr().err
    assert sentence in told
    assert len(told.strip().splitlines()) == 1


def test_the_benchmark_prints_each_order_and_writes_a_file(
    cache: Path,  # noqa: ARG001
    capsys: pytest.CaptureFixture,
    tmp_path: Path,
) -> None:
    out = tmp_path / "curation.csv"
    asked = ["bench", "curation", "--data", "digits-validation#150", "--encoder", "digits", "--foreign", "shapes#30"]
    assert main([*asked, "--draws", "2", "--out", str(out)]) == 0
    table = pd.read_csv(out)
    assert {"foreign", "disturbed", "copies"} <= set(table["planted"])
    assert {"all", "measures", "sizes", "embedding", "class"} <= set(table["order"])
    assert "pairs of the set's own 150 pictures" in capsys.readouterr().err
