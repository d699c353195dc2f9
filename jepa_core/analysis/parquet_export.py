"""Scores as a Parquet file that other tools take: a row an image, with its embedding.

Columns: name, path (the file, of a set that is a folder on the disk; else null), digest, label (the class), jepa_score,
low and high (an estimate's 90 % interval; a full score is its own), percentile (0 to 100, low is unlikely), estimated,
dataset, whatever else the table has, and embedding (list of float32; null for an image without a score). The file's
metadata says whose scores they are: encoder, output, weights (their digest), precision, dataset, version.

Embeddings are read and written a row group at a time, so memory does not grow with them.
"""

import io
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from jepa_core import __version__
from jepa_core.analysis import curation
from jepa_core.analysis.percentiles import with_percentiles
from jepa_core.datasets.registry import FOLDER_PREFIX
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.errors import JepaError
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ScoringMethod
from jepa_core.scoring.stored import stored_scores
from jepa_core.store import shipped
from jepa_core.store.results import Store

ROWS = 4096
"""Images of a row group."""
FIRST = (
    "name", "path", "digest", "label", "jepa_score", "low", "high", "percentile", "estimated", "dataset",
)  # fmt: skip
"""The columns that come first."""


def scores_of(
    store: Store, output: EncoderOutput, dataset: DatasetSpec, method: ScoringMethod | None = None
) -> pd.DataFrame:
    """`stored_scores` with the dataset's name as a column. Raises `JepaError` where nothing is scored yet."""
    table = stored_scores(store, output, dataset.name, method)
    if table.empty:
        data = shlex.quote(dataset.name.removeprefix(FOLDER_PREFIX))
        raise JepaError(
            f"The store has no scores of {dataset.title} for encoder {output.spec.name!r}, output {output.name!r}; run "
            f"'python -m jepa_core score --encoder {output.spec.name} --output {output.name} --data {data}' first."
        )
    return table.assign(dataset=dataset.name)


def write_parquet(
    store: Store, output: EncoderOutput, table: pd.DataFrame, path: Path, precision: str = "fp32"
) -> None:
    """Write a score table that has the column `dataset` to a file, whole or not at all.

    Raises `JepaError` for a folder that is not there or has no room, `StoreError` for an embedding that is missing.
    """
    shipped.write_at(path, lambda to: _write(store, output, table, to, precision))


def as_parquet(store: Store, output: EncoderOutput, table: pd.DataFrame, precision: str = "fp32") -> bytes:
    """The bytes of that file."""
    buffer = io.BytesIO()
    _write(store, output, table, buffer, precision)
    return buffer.getvalue()


def _write(store: Store, output: EncoderOutput, table: pd.DataFrame, to: Path | IO[bytes], precision: str) -> None:
    table = _completed(table)
    facts = {
        "encoder": output.spec.name,
        "output": output.name,
        "weights": output.config().weights,
        "precision": precision,
        "dataset": ", ".join(dict.fromkeys(table["dataset"])),
        "version": __version__,
    }
    schema = _schema(table, facts)
    with pq.ParquetWriter(to, schema, compression="zstd") as writer:
        for rows in _row_groups(store, output, table, schema):
            writer.write_table(rows, row_group_size=ROWS)


def _completed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the columns that it lacks, in the order of the file."""
    parts = {name: curation.files_of(name, rows["name"]) for name, rows in table.groupby("dataset", sort=False)}
    paths = {name: iter(found) for name, found in parts.items()}
    table = table.assign(path=[next(paths[name]) for name in table["dataset"]])
    if "percentile" not in table:
        table = with_percentiles(table)
    return table[[*FIRST, *(name for name in table if name not in FIRST)]]


def _schema(table: pd.DataFrame, facts: dict[str, str]) -> pa.Schema:
    """Plain types, known before the first row: all of a part's paths may be missing."""
    texts = (pa.large_string(), pa.null())
    fields = [
        pa.field(field.name, pa.string() if field.type in texts else field.type)
        for field in pa.Schema.from_pandas(table, preserve_index=False)
    ]
    return pa.schema([*fields, pa.field("embedding", pa.list_(pa.float32()))], metadata=facts)


def _row_groups(store: Store, output: EncoderOutput, table: pd.DataFrame, schema: pa.Schema) -> Iterator[pa.Table]:
    for start in range(0, len(table), ROWS):
        part = table.iloc[start : start + ROWS]
        scored = part["jepa_score"].notna().to_numpy()
        found = iter(store.embeddings(output.space, part["digest"][scored].tolist()))
        plain = pa.Table.from_pandas(part, schema.remove(len(schema) - 1), preserve_index=False)
        embeddings = pa.array([next(found) if one else None for one in scored], schema.field("embedding").type)
        yield pa.Table.from_arrays([*plain.columns, embeddings], schema=schema)
