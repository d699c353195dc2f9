"""Scores as a Parquet file: what is in it, and that it is whole or not there."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jepa_core.analysis import curation, parquet_export
from jepa_core.analysis.percentiles import with_percentiles
from jepa_core.datasets.registry import get_dataset
from jepa_core.errors import JepaError, StoreError
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ScoringMethod
from tests.helpers import png, run, score


@pytest.fixture
def output(tiny) -> EncoderOutput:
    return EncoderOutput.of(tiny.spec)


@pytest.fixture
def table(store, tiny, folder, output) -> pd.DataFrame:
    run(store, tiny, folder)
    return parquet_export.scores_of(store, output, get_dataset(folder))


def test_a_file_has_each_image_with_its_embedding_and_says_whose_scores_they_are(
    store, tiny, folder, output, table, tmp_path
):
    path = tmp_path / "scores.parquet"
    parquet_export.write_parquet(store, output, table, path)
    back = pq.read_table(path)
    assert back.column_names[: len(parquet_export.FIRST)] == list(parquet_export.FIRST)
    assert back.schema.field("embedding").type == pa.list_(pa.float32())
    assert back["name"].to_pylist() == [item.name for item in get_dataset(folder).items()]
    assert [Path(name).read_bytes() for name in back["path"].to_pylist()] == [
        item.read() for item in get_dataset(folder).items()
    ]
    for column in ("digest", "label", "jepa_score", "gaussian_score", "low", "high", "estimated"):
        assert back[column].to_pylist() == table[column].tolist(), column  # bit for bit
    assert back["percentile"].to_pylist() == with_percentiles(table)["percentile"].tolist()
    kept = store.embeddings(output.space, table["digest"].tolist())
    assert np.array_equal(np.stack(back["embedding"].to_numpy()), kept)
    facts = {key.decode(): value.decode() for key, value in back.schema.metadata.items()}
    assert facts["encoder"] == "tiny"
    assert facts["output"] == "projector"
    assert facts["weights"] == tiny.weights
    assert facts["precision"] == "fp32"
    assert facts["dataset"] == f"folder:{folder}"


def test_many_images_go_in_row_groups_and_no_more_embeddings_than_one_has_are_read_at_once(
    store, output, table, tmp_path, monkeypatch
):
    monkeypatch.setattr(parquet_export, "ROWS", 5)
    asked, read = [], store.embeddings
    monkeypatch.setattr(store, "embeddings", lambda space, digests: asked.append(len(digests)) or read(space, digests))
    path = tmp_path / "scores.parquet"
    parquet_export.write_parquet(store, output, table, path)
    assert asked == [5, 5, 2]
    file = pq.ParquetFile(path)
    assert [file.metadata.row_group(place).num_rows for place in range(file.num_row_groups)] == [5, 5, 2]
    whole = read(output.space, table["digest"].tolist())
    assert np.array_equal(np.stack(file.read()["embedding"].to_numpy()), whole)


def test_estimates_have_their_interval(store, tiny, folder, output):
    for seed in range(12, 40):
        (folder / "even" / f"{seed}.png").write_bytes(png(seed))
    method = ScoringMethod.named("quick")
    dataset = get_dataset(folder)
    score(store, tiny, dataset.name, list(dataset.items()), method=method)
    found = parquet_export.scores_of(store, output, dataset, method)
    back = pd.read_parquet(io.BytesIO(parquet_export.as_parquet(store, output, found)))
    assert set(back["estimated"]) == {True, False}
    assert (back["low"] < back["high"]).equals(back["estimated"])
    assert (back["low"] <= back["jepa_score"]).all()
    assert (back["jepa_score"] <= back["high"]).all()


def test_a_bundled_set_has_no_files(store, tiny, output):
    dataset = get_dataset("shapes")
    score(store, tiny, "shapes", list(dataset.items())[:3], whole=False)
    table = parquet_export.scores_of(store, output, dataset)
    back = pq.read_table(io.BytesIO(parquet_export.as_parquet(store, output, table)))
    assert back.schema.field("path").type == pa.string()
    assert back["path"].null_count == len(table) == 3


def test_what_a_page_lets_choose_is_written_with_the_embeddings_and_its_own_columns(store, output, table, folder):
    decided = curation.decide(table, 20, f"folder:{folder}")
    back = pd.read_parquet(io.BytesIO(parquet_export.as_parquet(store, output, decided)))
    for column in ("name", "path", "decision", "percentile"):
        assert back[column].tolist() == decided[column].tolist()
    members = {f"folder:{folder}": store.members(f"folder:{folder}"), "two": []}
    chosen = dict.fromkeys([table["digest"][3], table["digest"][1]], f"folder:{folder}")
    found = curation.picked(members, chosen, {f"folder:{folder}": with_percentiles(table[:2])})
    back = pd.read_parquet(io.BytesIO(parquet_export.as_parquet(store, output, found)))
    assert back["name"].tolist() == [table["name"][3], table["name"][1]]
    assert back["embedding"][0] is None, "without a score it has no embedding to be sure of"
    assert np.array_equal(back["embedding"][1], store.embeddings(output.space, [table["digest"][1]])[0])


def test_a_failed_export_leaves_the_file_as_it_was(store, output, table, tmp_path, monkeypatch):
    path = tmp_path / "scores.parquet"
    path.write_bytes(b"before")
    monkeypatch.setattr(parquet_export, "ROWS", 5)
    store.select("DELETE FROM embeddings WHERE digest = ?", table["digest"].iloc[-1])
    with pytest.raises(StoreError, match="1 of 2 embeddings are not in the store"):
        parquet_export.write_parquet(store, output, table, path)
    assert path.read_bytes() == b"before"
    with pytest.raises(JepaError, match="its folder does not exist"):
        parquet_export.write_parquet(store, output, table, tmp_path / "nowhere" / "scores.parquet")
    assert sorted(found.name for found in tmp_path.iterdir() if found.is_file()) == [path.name]
