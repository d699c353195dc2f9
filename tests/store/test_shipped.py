"""Exports, shipped tables, and whether shipped scores can be made again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jepa_core.datasets.registry import get_dataset, sample
from jepa_core.errors import JepaError, NotEnoughData, StoreError, TableError
from jepa_core.scoring import verify
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.store import result_tables
from jepa_core.store import shipped as store_shipped
from jepa_core.store.results import Store
from tests.helpers import run, score, scores

# --- exports ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def scored(store, tiny, folder) -> pd.DataFrame:
    run(store, tiny, folder)
    return scores(store, tiny, folder)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".CSV"])
def test_an_exported_table_comes_back_as_it_was(scored, tmp_path, suffix):
    path = tmp_path / f"table{suffix}"
    store_shipped.write_table(scored, path)
    back = pd.read_parquet(path) if suffix == ".parquet" else pd.read_csv(path)
    pd.testing.assert_frame_equal(back, scored, check_dtype=False)
    assert back["jepa_score"].tolist() == scored["jepa_score"].tolist()  # bit for bit
    assert [found.name for found in tmp_path.iterdir() if found.is_file()] == [path.name]  # nothing left beside it


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "table.xlsx",
            r"A table cannot be written to .*table\.xlsx; names ending in \.parquet or \.csv are accepted\.",
        ),
        ("table", r"names ending in \.parquet or \.csv are accepted\."),
        ("missing/table.csv", r"its folder does not exist; make the folder first\."),
    ],
)
def test_a_place_where_no_table_can_be_written_is_told(scored, tmp_path, name, sentence):
    with pytest.raises(JepaError, match=sentence):
        store_shipped.write_table(scored, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_table_that_cannot_be_finished_leaves_the_old_one(scored, tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    path.write_text("old")

    def full_disk(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full_disk)
    with pytest.raises(JepaError, match=r"cannot be written \(No space left on device\); choose a folder with room"):
        store_shipped.write_table(scored, path)
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir() if found.is_file()] == ["table.csv"]


# --- shipped tables ---------------------------------------------------------------------------------------------------


@pytest.fixture
def shipped(store, tiny, tmp_path, monkeypatch) -> Path:
    """A table of twelve test digits, shipped for the tiny encoder."""
    monkeypatch.setattr(store_shipped, "ASSETS", tmp_path / "assets")
    items = sample(get_dataset("digits-test"), 12, seed=0)
    score(store, tiny, "digits-test", items, whole=False)
    path = store_shipped.shipped_path(tiny.spec, "projector")
    assert store_shipped.ship(store, EncoderOutput.of(tiny).config(), ["shapes", "digits-test"], path) == 12
    return path


def test_a_shipped_table_brings_every_row(store, tiny, shipped, tmp_path):
    fresh = Store(tmp_path / "fresh.sqlite")
    assert store_shipped.load_shipped(fresh, shipped)
    config = EncoderOutput.of(tiny).config()
    assert fresh.members("digits-test") == store.members("digits-test")
    ours, theirs = (one.rows(config, "digits-test") for one in (fresh, store))
    assert np.allclose(ours.spectra, theirs.spectra, rtol=2**-13, atol=0)
    assert ours.squared_norm.tolist() == theirs.squared_norm.tolist()
    assert ours.seconds.tolist() == theirs.seconds.tolist()
    digests = [member.digest for member in ours.members]
    assert np.allclose(
        fresh.embeddings(config.space, digests), store.embeddings(config.space, digests), rtol=2**-11, atol=0
    )


def test_shipped_numbers_are_rounded_to_the_nearest_of_so_many_digits():
    values = np.array([[0.0, 1.0, -1.0, 1e-30, 3e38]], dtype=np.float32)
    assert np.array_equal(result_tables.rounded(values[:, :3], 2), values[:, :3])
    assert np.allclose(result_tables.rounded(values, 12), values, rtol=2**-13, atol=0)
    between = np.array([[1 + 1 / 8 + 1 / 64, 1 + 1 / 8 - 1 / 64, -(1 + 1 / 8 + 1 / 64)]], dtype=np.float32)
    assert result_tables.rounded(between, 2).tolist() == [[1.25, 1.0, -1.25]]
    assert np.isnan(result_tables.rounded(np.array([[np.nan]], dtype=np.float32), 12)).all()


def test_a_shipped_table_is_read_in_once_and_again_when_it_has_changed(store, tiny, shipped, tmp_path):
    fresh = Store(tmp_path / "fresh.sqlite")
    assert store_shipped.load_shipped(fresh, shipped)
    assert not store_shipped.load_shipped(fresh, shipped)
    store.forget_members("digits-test", [store.members("digits-test")[0].name])
    store_shipped.ship(store, EncoderOutput.of(tiny).config(), ["digits-test"], shipped)
    assert store_shipped.load_shipped(fresh, shipped)
    assert len(fresh.members("digits-test")) == 11  # what the newer table does not name is forgotten


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_a_damaged_shipped_table_is_told(store, shipped, content):
    shipped.write_bytes(shipped.read_bytes()[:-100] if content is None else content)
    with pytest.raises(TableError, match=r"The score table .*tiny-projector\.parquet cannot be read \(.*\); a table"):
        store_shipped.load_shipped(store, shipped)


def test_a_damaged_table_does_not_take_the_others_away(shipped, tmp_path):
    fresh = Store(tmp_path / "fresh.sqlite")
    shipped.with_name("another.parquet").write_bytes(b"damaged")
    problems = store_shipped.load_all_shipped(fresh)
    assert len(problems) == 1
    assert "another.parquet cannot be read" in problems[0]
    assert len(fresh.members("digits-test")) == 12
    assert store_shipped.load_all_shipped(fresh) == problems


def test_an_exported_table_is_not_taken_for_a_shipped_one(store, scored, tmp_path):
    store_shipped.write_table(scored, tmp_path / "table.parquet")
    with pytest.raises(TableError, match="cannot be read"):
        store_shipped.load_shipped(store, tmp_path / "table.parquet")


def test_nothing_scored_is_nothing_to_ship(store, tiny, tmp_path):
    with pytest.raises(NotEnoughData, match=r"no scores to write to .*; score digits-test or shapes first"):
        store_shipped.ship(
            store, EncoderOutput.of(tiny).config(), ["digits-test", "shapes"], tmp_path / "table.parquet"
        )


def tamper(path: Path, column: str, change: Callable[[list], None]) -> None:
    table = pq.read_table(path)
    values = table[column].to_pylist()
    change(values)
    index = table.column_names.index(column)
    pq.write_table(table.set_column(index, table.field(column), pa.array(values, table.field(column).type)), path)


def test_honest_rows_pass(tiny, shipped):
    found = verify.verify_table(tiny, "projector", count=8, seed=0)
    assert found.passed
    assert (found.encoder, found.output, found.rows, found.checked, found.other_pictures) == (
        "tiny",
        "projector",
        12,
        8,
        0,
    )
    assert max(found.log_sigma_difference, found.score_difference, found.embedding_difference) < 1e-3
    assert verify.verify_table(tiny, "projector", count=1000, seed=0).checked == 12
    assert shipped.exists()


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("spectrum", lambda values: values[5].__setitem__(15, values[5][15] * 1.02)),
        ("spectrum", lambda values: values[5].__setitem__(0, float("nan"))),
        ("spectrum", lambda values: values[5].__setitem__(15, 0.0)),
        ("spectrum", lambda values: values[5].__setitem__(15, -1.0)),
        ("spectrum", lambda values: values.reverse()),
        ("embedding", lambda values: values[5].__setitem__(0, values[5][0] + 1.0)),
        ("squared_norm", lambda values: values.__setitem__(5, values[5] * 1.05)),
        ("digest", lambda values: values.__setitem__(5, values[6])),
        ("position", lambda values: values.__setitem__(5, values[6])),
    ],
)
def test_a_tampered_row_is_found(tiny, shipped, column, change):
    tamper(shipped, column, change)
    assert not verify.verify_table(tiny, "projector", count=12, seed=0).passed


def test_nothing_checked_is_nothing_passed(tiny, shipped):
    assert not verify.verify_table(tiny, "projector", count=0, seed=0).passed
    assert shipped.exists()


def test_a_table_made_with_other_weights_is_told(tiny, shipped):
    tiny.weights = "others"
    with pytest.raises(StoreError, match=r"tiny-projector\.parquet was made with other weights or another transform"):
        verify.verify_table(tiny, "projector", count=1, seed=0)
    assert shipped.exists()


def test_all_tables_of_an_encoder_are_verified(shipped):
    found = verify.verify_all(["tiny"], count=2, seed=0, device="cpu")
    assert [(one.output, one.passed) for one in found] == [("projector", True)]  # the backbone ships none
    assert shipped.exists()


def test_a_table_is_made_of_the_datasets_that_are_named(store, tiny, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(store_shipped, "ASSETS", tmp_path / "assets")
    seen = []

    def bar(title: str) -> Callable[[int, int], None]:
        return lambda done, total: seen.append((title, done, total))

    pictures = get_dataset(str(folder))
    assert verify.write_tables(store, tiny, "backbone", [pictures], bar) == (12, [])
    assert [path.name for path in (tmp_path / "assets" / "scores").iterdir()] == ["tiny-backbone.parquet"]
    assert seen[-1] == (f"tiny, backbone, {pictures.name}", 12, 12)


def test_tables_hold_what_is_held_out_and_the_encoders_own_training_set(tiny):
    sets = [dataset.name for dataset in verify.shipped_sets(tiny.spec, {})]
    assert {"digits-train", "digits-test", "world-test", "imagenette-val"} <= set(sets)
    assert not {"world-train", "mixed-train", "imagenette-train"} & set(sets)


# --- shipped measures -------------------------------------------------------------------------------------------------


@pytest.fixture
def measures(store, tmp_path, monkeypatch) -> Path:
    """Measures of two pictures, shipped."""
    monkeypatch.setattr(store_shipped, "ASSETS", tmp_path / "assets")
    store.put_measures("space", {"a": np.array([1.0, 2.5]), "b": np.array([0.1, 1e-6])})
    assert store_shipped.ship_measures(store, "space", ["a", "b", "never measured"]) == 2
    return store_shipped.measures_path("space")


def test_shipped_measures_are_read_in_once_with_everything_else(measures, tmp_path):
    fresh = Store(tmp_path / "fresh.sqlite")
    assert store_shipped.load_all_shipped(fresh) == []
    found = fresh.measures("space", ["a", "b"])
    assert found["a"].tolist() == [1.0, 2.5]
    assert found["b"] == pytest.approx([0.1, 1e-6], rel=2e-4)
    assert not store_shipped.load_measures(fresh, measures)


def test_damaged_measures_are_told(measures, tmp_path):
    measures.write_bytes(b"damaged")
    (problem,) = store_shipped.load_all_shipped(Store(tmp_path / "fresh.sqlite"))
    assert "cannot be read" in problem
    assert "confounds --write" in problem


def test_nothing_measured_is_not_shipped(store):
    with pytest.raises(NotEnoughData, match="None of the 1 pictures has measures"):
        store_shipped.ship_measures(store, "space", ["a"])
