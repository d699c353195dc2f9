"""Scores as a FiftyOne dataset (https://docs.voxel51.com), to browse the pictures by them.

from jepa_core.integrations.fiftyone import to_fiftyone
import fiftyone

fiftyone.launch_app(to_fiftyone("scores.parquet"))      # what `jepa-score export` wrote
fiftyone.launch_app(to_fiftyone("FOLDER", encoder="digits"))
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jepa_core import files
from jepa_core.errors import JepaError

_NUMBERS = ("jepa_score", "low", "high", "percentile")
_COLUMNS = ("path", "label", *_NUMBERS, "estimated", "embedding")


def to_fiftyone(
    source: str | os.PathLike[str], name: str | None = None, *, encoder: str = "digits", output: str | None = None
) -> Any:
    """A `fiftyone.Dataset` of an exported Parquet file, or of a folder's stored scores by an encoder.

    A sample has filepath, label (a Classification), jepa_score, low, high and percentile, estimated, and embedding.
    `info` of the dataset says whose scores they are. FiftyOne forgets it when it closes unless it is made `persistent`.

    Raises `JepaError` where FiftyOne is not installed, has no database, or has a dataset of that name already; where
    the pictures are no files on this disk; for a folder without scores; and for a file that is no export.
    """
    fiftyone = _fiftyone()
    if name in _names(fiftyone):
        raise JepaError(
            f"FiftyOne has a dataset {name!r} already; a name that is free is accepted; give another, or delete that "
            "one with fiftyone.delete_dataset."
        )
    path = Path(source)
    if path.suffix.lower() == ".parquet" and not files.is_dir(path):
        return _of_file(fiftyone, path, name)
    with files.temporary_folder() as folder:
        path = folder / "scores.parquet"
        _export(source, encoder, output, path)
        return _of_file(fiftyone, path, name)


def _export(source: str | os.PathLike[str], encoder: str, output: str | None, path: Path) -> None:
    from jepa_core.analysis import parquet_export
    from jepa_core.datasets.registry import get_dataset
    from jepa_core.encoders.registry import get_spec
    from jepa_core.scoring.encoder_output import EncoderOutput
    from jepa_core.store.results import Store

    chosen, dataset, store = EncoderOutput.of(get_spec(encoder), output), get_dataset(source), Store()
    parquet_export.write_parquet(store, chosen, parquet_export.scores_of(store, chosen, dataset), path)


def _fiftyone() -> Any:
    try:
        import fiftyone
    except ImportError as error:
        raise JepaError(
            "FiftyOne is not installed, and its datasets need it; version 1.22 is accepted; run 'pip install fiftyone "
            "pyarrow', in an environment of its own, and install this package there with --no-deps."
        ) from error
    return fiftyone


def _names(fiftyone: Any) -> list[str]:
    try:
        return fiftyone.list_datasets()
    except Exception as error:  # it is asked of MongoDB, and there is much that can be wrong with that
        raise JepaError(
            f"FiftyOne cannot open its database ({str(error).partition('. ')[0]}); MongoDB, which it brings along or "
            "is told of by database_uri in its settings, is accepted; see FiftyOne's installation guide."
        ) from error


def _of_file(fiftyone: Any, path: Path, name: str | None) -> Any:
    file = _opened(path)
    lost = file.read(columns=["path"])["path"].null_count
    if lost:
        raise JepaError(
            f"{lost} of the {file.metadata.num_rows} images of {path} have no path, and FiftyOne shows files; scores "
            "of a folder of images are accepted; export those."
        )
    dataset = fiftyone.Dataset(name)
    dataset.info = {
        key.decode(): value.decode()
        for key, value in file.schema_arrow.metadata.items()
        if not key.startswith(b"ARROW")
    }
    for batch in file.iter_batches(1024, columns=list(_COLUMNS)):
        dataset.add_samples(list(_samples(fiftyone, batch)), progress=False)
    dataset.save()
    return dataset


def _opened(path: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise JepaError(
            f"The file {path} cannot be read ({error}); a Parquet file that 'jepa-score export' wrote is accepted; "
            "write one with it."
        ) from error
    lacking = [column for column in _COLUMNS if column not in file.schema_arrow.names]
    if lacking or not file.schema_arrow.metadata:
        raise JepaError(
            f"The file {path} lacks {' and '.join(lacking) or 'its metadata'}; a Parquet file that 'jepa-score export' "
            "wrote is accepted; write one with it."
        )
    return file


def _samples(fiftyone: Any, batch: pa.RecordBatch) -> Iterator[Any]:
    embeddings = batch.column("embedding")
    for place, row in enumerate(batch.drop_columns(["embedding"]).to_pylist()):
        sample = fiftyone.Sample(filepath=row["path"], label=fiftyone.Classification(label=row["label"]))
        for field in (*_NUMBERS, "estimated"):
            sample[field] = row[field]
        if embeddings[place].is_valid:
            sample["embedding"] = embeddings[place].values.to_numpy()
        yield sample
