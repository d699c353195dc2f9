"""Tables in and out of the store: exports for people (Parquet, CSV), and the tables shipped in `assets/`.

A shipped score table is one Parquet file per encoder and output (`jepa_core.store.result_tables`), with the sizes of
the layers where `ship` was told of them. It holds no pictures. To be small, its vectors are rounded to so many binary
digits as `_ROUNDING` says. Shipped measures (`jepa_core.confounds.image_stats`) are those of pictures that are not
bundled, and of scenes; the others are measured when they are needed.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy import ndarray

from jepa_core import files
from jepa_core.config import ASSETS
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import JepaError, NotEnoughData, TableError
from jepa_core.files import replace_file
from jepa_core.images import digest
from jepa_core.spreadsheets import csv_text
from jepa_core.store import result_tables
from jepa_core.store.records import Member, Result, ResultConfig
from jepa_core.store.result_tables import ResultTable
from jepa_core.store.results import Store

SUFFIXES = (".parquet", ".csv")

# Binary digits after the point of a float32's mantissa, which has 23: rounds by at most 2^-(digits + 1) of the value.
# A log singular value moves by at most 1.2e-4, a score of 128 of them by about 1e-3; distances by 5e-4 of themselves.
_ROUNDING = {"spectrum": 12, "embedding": 10, "sizes": 13}


def check_table_path(path: Path) -> Path:
    """`path` if a table can be written there; asked before long work, so that its results are not lost after it."""
    if path.suffix.lower() not in SUFFIXES:
        raise JepaError(f"A table cannot be written to {path}; names ending in {' or '.join(SUFFIXES)} are accepted.")
    if not files.is_dir(path.absolute().parent):
        raise JepaError(f"A table cannot be written to {path}; its folder does not exist; make the folder first.")
    return path


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet or CSV, by the suffix; `spreadsheets.read_csv` reads the latter as it was."""
    as_csv = path.suffix.lower() == ".csv"
    write_at(
        path,
        lambda to: to.write_bytes(csv_text(frame).encode()) if as_csv else frame.to_parquet(to, index=False),
    )


def write_at(path: Path, write: Callable[[Path], object]) -> None:
    """Have a table written to `path`, whole or not at all. Raises `JepaError` where it cannot be."""
    check_table_path(path)
    try:
        replace_file(path, write)
    except OSError as error:
        raise JepaError(f"The table {path} cannot be written ({error.strerror}); choose a folder with room.") from error


def shipped_path(spec: EncoderSpec, output: str) -> Path:
    """Where the shipped table of an encoder's output lies, whether it exists or not."""
    return ASSETS / "scores" / f"{spec.name}-{output}.parquet"


def ship(store: Store, config: ResultConfig, datasets: Sequence[str], path: Path, sizes_space: str = "") -> int:
    """Write all results of a config on the given datasets to a shipped table; return how many.

    With the sizes of the layers where the store has those of all images in `sizes_space`.
    """
    members: list[tuple[str, Member]] = []
    results: list[Result] = []
    for dataset in datasets:
        rows = store.rows(config, dataset)
        if not rows.members:
            continue
        digests = [member.digest for member in rows.members]
        members += [(dataset, member) for member in rows.members]
        columns = (rows.spectra, store.embeddings(config.space, digests), rows.squared_norm, rows.seconds, rows.device)
        results += [Result(*row) for row in zip(digests, *columns, strict=True)]
    if not members:
        raise NotEnoughData(
            f"There are no scores to write to {path}; at least one is needed; score {' or '.join(datasets)} first."
        )
    sizes = store.measures(sizes_space, [result.digest for result in results]) if sizes_space else {}
    whole = all(result.digest in sizes for result in results)
    if whole and sizes_space:
        results = [replace(result, sizes=sizes[result.digest]) for result in results]
    path.parent.mkdir(parents=True, exist_ok=True)
    table = result_tables.to_arrow(ResultTable(config, members, results, sizes_space if whole else ""), _ROUNDING)
    replace_file(path, lambda to: result_tables.write(table, to))
    return table.num_rows


def read_shipped(path: Path) -> ResultTable:
    """Read a shipped table. Raises `TableError` for a file that is none."""
    try:
        found = result_tables.from_arrow(pq.read_table(path))
        if len(found.results) != len(found.members):
            raise ValueError("a row has no result")
    except Exception as error:  # whatever a damaged file makes of a reader
        raise TableError(
            f"The score table {path.name} cannot be read ({type(error).__name__}); a table written by "
            "'python -m jepa_core verify --write' is accepted; restore the file or make it again."
        ) from error
    return found


def load_shipped(
    store: Store, path: Path, patience: float | None = None, known: dict[str, list[Member]] | None = None
) -> bool:
    """Put a shipped table into the store unless this very file is in it already; return whether it was put.

    All of it or nothing. `patience` as in `Store.transaction`; raises `TableError` for a file that is no such table.
    `known` are the members of datasets that were put just now, by the dataset: tables of several encoders name the
    same images, which are written once.
    """
    known = {} if known is None else known
    file_digest = _digest_of(path)
    if store.shipped(path.name) == file_digest:
        return False
    table = read_shipped(path)
    by_dataset: dict[str, list[Member]] = {}
    for dataset, member in table.members:
        by_dataset.setdefault(dataset, []).append(member)
    with store.transaction(patience):
        for dataset, members in by_dataset.items():
            if known.get(dataset) == members:
                continue
            # A table of an older version may name pictures that are drawn otherwise now.
            store.forget_members(dataset, [member.name for member in store.members(dataset)])
            store.put_members(dataset, members)
        store.put(table.config, table.results)
        if table.sizes_space:
            store.put_measures(table.sizes_space, {result.digest: result.sizes for result in table.results})
        store.put_shipped(path.name, file_digest)
    known |= by_dataset
    return True


def _digest_of(path: Path) -> str:
    try:
        return digest(path.read_bytes())
    except OSError as error:
        raise TableError(
            f"The shipped table {path.name} cannot be read ({error.strerror}); a file that may be read is accepted; "
            "restore it."
        ) from error


def measures_path(space: str) -> Path:
    """Where shipped measures lie, by the key under which the store has them."""
    return ASSETS / "measures" / f"{space[:12]}.parquet"


def ship_measures(store: Store, space: str, digests: Sequence[str]) -> int:
    """Write the measures of these images to `measures_path`, without those that were never taken; return how many."""
    found = store.measures(space, digests)
    if not found:
        raise NotEnoughData(f"None of the {len(digests)} pictures has measures to be shipped; give --pictures as well.")
    values = np.stack(list(found.values()))
    columns = {
        "digest": list(found),
        "measures": result_tables.matrix_column(result_tables.rounded(values, _ROUNDING["spectrum"])),
    }
    path = measures_path(space)
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns).replace_schema_metadata({"space": space})
    replace_file(path, lambda to: pq.write_table(table, to, compression="zstd"))
    return len(found)


def load_measures(store: Store, path: Path, patience: float | None = None) -> bool:
    """Put shipped measures into the store unless this very file is in it already; return whether they were put."""
    file_digest = _digest_of(path)
    name = f"measures/{path.name}"
    if store.shipped(name) == file_digest:
        return False
    space, measured = _read_measures(path)
    with store.transaction(patience):
        store.put_measures(space, measured)
        store.put_shipped(name, file_digest)
    return True


def _read_measures(path: Path) -> tuple[str, dict[str, ndarray]]:
    try:
        table = pq.read_table(path)
        space = table.schema.metadata[b"space"].decode()
        values = table["measures"].combine_chunks().flatten().to_numpy().reshape(table.num_rows, -1)
        found = dict(zip(table["digest"].to_pylist(), values, strict=True))
        if not all(isinstance(name, str) for name in found):
            raise ValueError("a digest is none")
    except Exception as error:  # whatever a damaged file makes of a reader
        raise TableError(
            f"The measures {path.name} cannot be read ({type(error).__name__}); a table written by "
            "'python -m jepa_core confounds --write' is accepted; restore the file or make it again."
        ) from error
    return space, found


def load_all_shipped(store: Store, patience: float | None = None) -> list[str]:
    """Put every shipped table into the store; return a sentence for each that is damaged and left out.

    `patience` as in `Store.transaction`. Raises `StoreError` where the store takes none, for want of room, say.
    """
    problems, known = [], dict[str, list[Member]]()
    loads: dict[str, Callable[[Path], object]] = {
        "scores": lambda path: load_shipped(store, path, patience, known),
        "measures": lambda path: load_measures(store, path, patience),
    }
    for folder, load in loads.items():
        for path in sorted((ASSETS / folder).glob("*.parquet")):
            try:
                load(path)
            except TableError as error:
                problems.append(str(error))
    return problems
