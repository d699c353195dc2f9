"""Measures of scored pictures are taken once and kept, and a set without pictures says so; also from the terminal."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from jepa_core import images
from jepa_core.confounds import image_stats, measure
from jepa_core.confounds.image_stats import MEASURES
from jepa_core.datasets import listings, registry
from jepa_core.errors import NotEnoughData
from jepa_core.store import shipped
from jepa_core.store.results import Store
from tests import helpers
from tests.helpers import score

pytestmark = pytest.mark.usefixtures("own_assets")


@pytest.fixture
def scored(store, tiny, folder):
    """A folder of twelve scored pictures: its dataset and its score table."""
    helpers.run(store, tiny, folder)
    return registry.get_dataset(str(folder)), helpers.scores(store, tiny, folder)


def forbid_measuring(monkeypatch) -> None:
    def refuse(*_args):
        raise AssertionError("measured again")

    monkeypatch.setattr(image_stats, "measured", refuse)


def test_measures_are_those_of_each_picture_and_taken_once(store, tiny, scored, monkeypatch):
    dataset, table = scored
    seen: list[tuple[int, int]] = []
    assert measure.measure_missing(store, tiny.spec, dataset, table, lambda *at: seen.append(at)) == []
    assert seen == [(12, 12)]
    found = measure.load(store, tiny.spec, dataset, table)
    assert np.array_equal(found.outlying, -table["jepa_score"])
    for row, values in zip(table.itertuples(), found.values, strict=True):
        picture = images.decode(dataset.item(row.position).read()).image
        assert np.array_equal(values, image_stats.measured(picture, tiny.data_config))
    forbid_measuring(monkeypatch)
    assert measure.measure_missing(Store(), tiny.spec, dataset, table) == []
    assert measure.missing(store, tiny.spec, table).empty


def test_another_transform_or_another_measure_is_measured_anew(store, tiny, scored, monkeypatch):
    dataset, table = scored
    measure.measure_missing(store, tiny.spec, dataset, table)
    other = replace(tiny.spec, data_config=tiny.spec.data_config | {"input_size": [1, 32, 32]})
    assert len(measure.missing(store, other, table)) == 12
    monkeypatch.setattr(image_stats, "MEASURES", {"brightness": MEASURES["brightness"]})
    assert len(measure.missing(store, tiny.spec, table)) == 12


def test_what_cannot_be_read_is_told_and_the_others_are_measured(store, tiny, scored, folder):
    dataset, table = scored
    (folder / "even" / "0.png").write_bytes(helpers.png(99))
    (folder / "odd" / "1.png").unlink()
    failed = measure.measure_missing(store, tiny.spec, dataset, table)
    assert sorted(name for name, _sentence in failed) == ["even/0.png", "odd/1.png"]
    assert any("is not the picture that was scored" in sentence for _name, sentence in failed)
    assert len(measure.load(store, tiny.spec, dataset, table)) == 10


def test_a_cancelled_run_keeps_what_it_has_and_the_next_goes_on(store, tiny, scored, monkeypatch):
    dataset, table = scored
    monkeypatch.setattr(measure, "_BLOCK", 5)
    progress = []
    measure.measure_missing(
        store, tiny.spec, dataset, table, lambda *made: progress.append(made), cancelled=lambda: bool(progress)
    )
    assert len(measure.missing(store, tiny.spec, table)) == 7
    measure.measure_missing(store, tiny.spec, dataset, table)
    assert measure.missing(store, tiny.spec, table).empty


def test_of_a_large_set_a_fixed_sample_is_measured(store, tiny, scored, monkeypatch):
    dataset, table = scored
    monkeypatch.setattr(measure, "MOST_MEASURED", 8)
    measure.measure_missing(store, tiny.spec, dataset, table)
    found = measure.load(store, tiny.spec, dataset, table)
    assert len(found) == 8
    assert measure.missing(Store(), tiny.spec, table).empty


def test_a_set_without_measures_says_why(store, tiny, scored):
    dataset, table = scored
    with pytest.raises(NotEnoughData, match=r"^None of the 12 pictures of pictures has been measured"):
        measure.load(store, tiny.spec, dataset, table)
    with pytest.raises(NotEnoughData, match=r"^pictures has no scores, .* score it first\.$"):
        measure.load(store, tiny.spec, dataset, table.iloc[:0])
    mnist = registry.get_dataset("mnist")
    with pytest.raises(
        NotEnoughData,
        match=r"^The pictures of MNIST are not here, .* --encoder tiny --pictures mnist=FOLDER' once\.$",
    ):
        measure.load(store, tiny.spec, mnist, table)


# --- from the terminal ------------------------------------------------------------------------------------------------


@pytest.fixture
def two_folders(store, tiny, folder, tmp_path) -> tuple[Path, Path]:
    """Two scored folders of the same pictures, so that nothing separates them."""
    other = tmp_path / "others"
    shutil.copytree(folder, other)
    for one in (folder, other):
        helpers.run(store, tiny, one)
    return folder, other


def test_the_terminal_prints_every_measure_and_says_the_conclusion(command, two_folders, monkeypatch):
    reference, other = two_folders
    words = ("confounds", "--encoder", "tiny", "--reference", reference, "--data", other)
    status, out, err = command(*words, "--json")
    assert status == 0, err
    rows = json.loads(out)
    assert [row["measure"].lower() for row in rows] == [one.title.lower() for one in MEASURES.values()]
    assert {row["domain"] for row in rows} == {f"folder:{other}"}
    assert {(row["conclusion"], row["kind"], row["auroc_score"]) for row in rows} == {
        ("nothing to explain", "nothing to explain", 0.5)
    }
    assert "The score hardly tells others from pictures (AUROC 0.50), so there is nothing to explain." in err
    forbid_measuring(monkeypatch)
    again = command(*words)
    assert again[0] == 0
    assert again[1].split()[:4] == ["domain", "auroc_score", "conclusion", "measure"]


def test_the_terminal_refuses_a_set_without_scores_and_leaves_it_out_unasked(command, two_folders):
    reference, _other = two_folders
    status, _out, err = command("confounds", "--encoder", "tiny", "--reference", reference, "--data", "noise")
    assert status == 1
    assert "error: Uniform noise has no scores, and its confounds were asked for; score it first." in err
    status, out, err = command("confounds", "--encoder", "tiny", "--reference", reference)
    assert (status, out) == (0, "")
    assert "Uniform noise has no scores" in err


def test_the_pictures_of_a_listed_set_may_be_given(command, store, tiny, two_folders, tmp_path, monkeypatch):
    listing = listings.LISTINGS["mnist"]
    monkeypatch.setattr(listings, "listing_path", lambda name: tmp_path / f"{name}.csv")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for seed in range(20, 24):
        (elsewhere / f"{seed}.png").write_bytes(helpers.png(seed))
    spec = registry.with_pictures("mnist", elsewhere)
    score(store, tiny, "mnist", list(spec.items()))
    words = ("confounds", "--encoder", "tiny", "--device", "cpu", "--reference", two_folders[1], "--data", "mnist")
    status, _out, err = command(*words)
    assert status == 1
    assert f"The pictures of {listing.title} are not here" in err
    assert command(*words, "--pictures", f"mnist={elsewhere}")[0] == 0
    assert command(*words)[0] == 0, "they are kept"


def test_measures_of_listed_sets_and_of_scenes_are_shipped_together(command, store, tiny, two_folders, monkeypatch):
    """Each `--write` keeps what was shipped before and adds what was measured since, but none of a folder."""
    sets = [replace(registry.get_dataset(name), size=size) for name, size in (("noise", 6), ("flat-colours", 5))]
    monkeypatch.setattr(registry, "list_datasets", lambda: {spec.name: spec for spec in sets})
    monkeypatch.setattr(measure, "SHIPPED", ("noise", "flat-colours"))
    for spec in sets:
        score(store, tiny, spec.name, list(spec.items()))
    words = ("confounds", "--encoder", "tiny", "--reference", two_folders[0], "--write")
    path = shipped.measures_path(measure.space_of(tiny.spec.transform))
    assert "6 measures in" in command(*words, "--data", "noise")[2]
    assert set(pq.read_table(path)["digest"].to_pylist()) == {item.digest for item in sets[0].items()}
    assert "11 measures in" in command(*words, "--data", "flat-colours")[2]
    digests = [item.digest for spec in sets for item in spec.items()]
    fresh = Store(path.with_suffix(".sqlite"))
    assert shipped.load_measures(fresh, path)
    kept, shipped_ones = (one.measures(measure.space_of(tiny.spec.transform), digests) for one in (store, fresh))
    assert list(kept) == list(shipped_ones)
    assert np.allclose([kept[one] for one in digests], [shipped_ones[one] for one in digests], rtol=2e-4)
