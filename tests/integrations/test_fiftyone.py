"""Scores as a FiftyOne dataset: with a stand-in of its few names always, with FiftyOne itself where it is installed."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from jepa_core.analysis import parquet_export
from jepa_core.datasets.registry import get_dataset
from jepa_core.errors import JepaError
from jepa_core.integrations.fiftyone import _COLUMNS, _samples, to_fiftyone
from jepa_core.scoring.encoder_output import EncoderOutput
from tests.helpers import run, score

ROOT = Path(__file__).parent.parent.parent


class _Sample(dict):
    def __init__(self, filepath: str, **fields: object) -> None:
        super().__init__(fields, filepath=filepath)


class _Dataset(list):
    def __init__(self, name: str | None) -> None:
        super().__init__()
        self.name, self.info, self.saved = name, {}, False

    def add_samples(self, samples: list, progress: bool) -> None:  # noqa: ARG002
        assert isinstance(samples, list)
        self.extend(samples)

    def save(self) -> None:
        self.saved = True


class _Label:
    def __init__(self, label: str) -> None:
        self.label = label


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("fiftyone")
    module.Dataset, module.Sample, module.Classification = _Dataset, _Sample, _Label
    module.list_datasets = lambda: ["taken"]
    monkeypatch.setitem(sys.modules, "fiftyone", module)
    return module


@pytest.fixture
def output(tiny) -> EncoderOutput:
    return EncoderOutput.of(tiny.spec)


@pytest.fixture
def table(store, tiny, folder, output) -> pd.DataFrame:
    run(store, tiny, folder)
    return parquet_export.scores_of(store, output, get_dataset(folder))


@pytest.fixture
def exported(store, output, table, tmp_path):
    path = tmp_path / "scores.parquet"
    parquet_export.write_parquet(store, output, table, path)
    return path


@pytest.mark.usefixtures("stand_in")
def test_a_file_becomes_samples_with_scores_labels_and_embeddings(store, output, table, folder, exported):
    dataset = to_fiftyone(exported, "mine")
    assert dataset.name == "mine"
    assert dataset.saved
    assert dataset.info["encoder"] == "tiny"
    assert dataset.info["dataset"] == f"folder:{folder}"
    assert [sample["filepath"] for sample in dataset] == [f"{folder}/{name}" for name in table["name"]]
    assert [sample["label"].label for sample in dataset] == table["label"].tolist()
    for field in ("jepa_score", "low", "high", "estimated"):
        assert [sample[field] for sample in dataset] == table[field].tolist()
    assert sorted(sample["percentile"] for sample in dataset) == [100 * (place + 0.5) / 12 for place in range(12)]
    kept = store.embeddings(output.space, table["digest"].tolist())
    assert np.array_equal(np.stack([sample["embedding"] for sample in dataset]), kept)


@pytest.mark.usefixtures("stand_in", "table")
def test_a_folder_is_its_stored_scores(exported, folder):
    from_folder, from_file = to_fiftyone(folder, encoder="tiny"), to_fiftyone(exported)
    assert [sample["jepa_score"] for sample in from_folder] == [sample["jepa_score"] for sample in from_file]
    assert from_folder.info == from_file.info
    with pytest.raises(JepaError, match="has no scores of pictures for encoder 'digits', output 'projector'; run"):
        to_fiftyone(folder)


@pytest.mark.usefixtures("stand_in")
def test_what_cannot_become_one_is_one_sentence(store, tiny, output, exported, tmp_path):
    with pytest.raises(JepaError, match="a dataset 'taken' already; a name that is free is accepted"):
        to_fiftyone(exported, "taken")
    score(store, tiny, "shapes", list(get_dataset("shapes").items())[:3], whole=False)
    drawn = tmp_path / "drawn.parquet"
    parquet_export.write_parquet(store, output, parquet_export.scores_of(store, output, get_dataset("shapes")), drawn)
    with pytest.raises(JepaError, match=r"3 of the 3 images of .* have no path, and FiftyOne shows files"):
        to_fiftyone(drawn)
    other = tmp_path / "other.parquet"
    pd.DataFrame({"path": ["a.png"], "label": ["a"]}).to_parquet(other)
    with pytest.raises(JepaError, match=r"lacks jepa_score and low and .* and embedding; a Parquet file that"):
        to_fiftyone(other)
    other.write_bytes(b"no table")
    with pytest.raises(JepaError, match=r"cannot be read .*; a Parquet file that 'jepa-score export' wrote is"):
        to_fiftyone(other)
    with pytest.raises(JepaError, match="cannot be read"):
        to_fiftyone(tmp_path / "nothing.parquet")


def test_without_fiftyone_it_says_how_to_get_it(exported, monkeypatch):
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    with pytest.raises(JepaError, match=r"FiftyOne is not installed, .*; run 'pip install fiftyone pyarrow', in"):
        to_fiftyone(exported)


def test_a_file_is_read_without_the_libraries_that_an_environment_of_fiftyones_lacks():
    code = "import sys; sys.modules |= dict.fromkeys(('torch', 'streamlit', 'plotly', 'platformdirs', 'pandas'))\n"
    code += "import jepa_core.integrations.fiftyone"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_fiftyone_without_its_database_is_one_sentence(stand_in, exported):
    def refuse() -> list:
        raise RuntimeError("MongoDB could not be installed on your system. Please define\na `database_uri`")

    stand_in.list_datasets = refuse
    with pytest.raises(
        JepaError, match=r"its database \(MongoDB could not be installed on your system\); MongoDB, which"
    ):
        to_fiftyone(exported)


def test_fiftyones_own_samples_take_the_fields(store, output, table, exported):
    fiftyone = pytest.importorskip("fiftyone")
    [batch] = pq.ParquetFile(exported).iter_batches()
    samples = list(_samples(fiftyone, batch.select(_COLUMNS)))
    assert [sample.label.label for sample in samples] == table["label"].tolist()
    assert [sample.jepa_score for sample in samples] == table["jepa_score"].tolist()
    assert [sample.estimated for sample in samples] == [False] * 12
    kept = store.embeddings(output.space, table["digest"].tolist())
    assert np.array_equal(np.stack([sample.embedding for sample in samples]), kept)


def test_fiftyone_itself_has_them(store, output, table, exported):
    fiftyone = pytest.importorskip("fiftyone")
    try:
        fiftyone.list_datasets()
    except fiftyone.core.config.FiftyOneConfigError as error:
        pytest.skip(f"FiftyOne has no database here: {error}")
    dataset = to_fiftyone(exported)
    assert len(dataset) == 12
    schema = dataset.get_field_schema()
    assert isinstance(schema["embedding"], fiftyone.VectorField)
    assert isinstance(schema["jepa_score"], fiftyone.FloatField)
    least = dataset.sort_by("jepa_score").first()
    row = table.loc[table["jepa_score"].idxmin()]
    assert least.filepath.endswith(row["name"])
    assert least.label.label == row["label"]
    assert np.array_equal(least.embedding, store.embeddings(output.space, [row["digest"]])[0])
    assert dataset.info["encoder"] == "tiny"
    dataset.delete()
