"""Tables in and out of the store: exports for people (Parquet, CSV), and the tables shipped in `assets/`.

A shipped score table is one Parquet file per encoder and output. Its metadata holds the config that its rows were made
with; each row an image's place in its dataset, its digest, spectrum and embedding, and the sizes of the layers, where
`ship` was told of them. It holds no pictures. To be small, its vectors are rounded to so many binary digits as
`_ROUNDING` says. Shipped measures
(`jepa_core.confounds.image_stats`) are those of pictures that are not bundled, and of scenes; the others are measured
when they are needed.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
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
from jepa_core.store.records import Member, Result, ResultConfig
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


@dataclass(frozen=True, eq=False)
class ShippedTable:
    """A shipped table in memory: `members` as (dataset, member), and one result for each of them.

    `sizes_space` is the space of their layers' sizes among the store's measures; "" where the table has none.
    """

    config: ResultConfig
    sizes_space: str
    members: list[tuple[str, Member]]
    results: list[Result]


def shipped_path(spec: EncoderSpec, output: str) -> Path:
    """Where the shipped table of an encoder's output lies, whether it exists or not."""
    return ASSETS / "scores" / f"{spec.name}-{output}.parquet"


def _matrix(column: ndarray, digits: int) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(_rounded(column, digits).ravel()), column.shape[1])


def _rounded(values: ndarray, digits: int) -> ndarray:
    """float32 values rounded to `digits` binary digits of their mantissa; the others are 0 and compress well."""
    mantissa, exponent = np.frexp(values.astype(np.float32))
    return np.ldexp(np.round(np.ldexp(mantissa, digits + 1)), exponent - digits - 1).astype(np.float32)


def ship(store: Store, config: ResultConfig, datasets: Sequence[str], path: Path, sizes_space: str = "") -> int:
    """Write all results of a config on the given datasets to a shipped table; return how many.

    With the sizes of the layers where the store has those of all images in `sizes_space`.
    """
    columns: dict[str, list] = {
        name: [] for name in ("dataset", "name", "position", "label", "digest", "seconds", "device")
    }
    spectra, norms, embeddings = [], [], []
    for dataset in datasets:
        rows = store.rows(config, dataset)
        if not rows.members:
            continue
        digests = [member.digest for member in rows.members]
        columns["dataset"] += [dataset] * len(digests)
        columns["name"] += [member.name for member in rows.members]
        columns["position"] += [member.position for member in rows.members]
        columns["label"] += [member.label for member in rows.members]
        columns["digest"] += digests
        columns["seconds"] += rows.seconds.tolist()
        columns["device"] += rows.device
        spectra.append(rows.spectra)
        norms.append(rows.squared_norm)
        embeddings.append(store.embeddings(config.space, digests))
    if not spectra:
        raise NotEnoughData(
            f"There are no scores to write to {path}; at least one is needed; score {' or '.join(datasets)} first."
        )
    sizes = store.measures(sizes_space, columns["digest"]) if sizes_space else {}
    whole = all(digest in sizes for digest in columns["digest"])
    vectors = {"spectrum": np.concatenate(spectra), "embedding": np.concatenate(embeddings)}
    if whole:
        vectors["sizes"] = np.stack([sizes[digest] for digest in columns["digest"]])
    table = pa.table(
        columns
        | {"squared_norm": np.concatenate(norms)}
        | {name: _matrix(values, _ROUNDING[name]) for name, values in vectors.items()}
    ).replace_schema_metadata({"config": json.dumps(asdict(config)), "sizes": sizes_space if whole else ""})
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = [name for name in table.column_names if name not in _ROUNDING]
    replace_file(
        path,
        lambda to: pq.write_table(
            table,
            to,
            compression="zstd",
            use_dictionary=plain,
            # Like bytes of neighbouring values next to each other: exponents and zeros shrink to almost nothing.
            column_encoding={f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in vectors},
        ),
    )
    return table.num_rows


def read_shipped(path: Path) -> ShippedTable:
    """Read a shipped table. Raises `TableError` for a file that is none."""
    try:
        table = pq.read_table(path)
        config = ResultConfig(**json.loads(table.schema.metadata[b"config"]))
        vectors = {
            name: table[name].combine_chunks().flatten().to_numpy().reshape(table.num_rows, -1)
            for name in _ROUNDING
            if name in table.column_names
        }
        found = ShippedTable(
            config,
            table.schema.metadata.get(b"sizes", b"").decode(),
            *_rows_of(table.drop_columns(list(vectors)).to_pylist(), vectors),
        )
    except Exception as error:  # whatever a damaged file makes of a reader
        raise TableError(
            f"The score table {path.name} cannot be read ({type(error).__name__}); a table written by "
            "'python -m jepa_core verify --write' is accepted; restore the file or make it again."
        ) from error
    return found


def _rows_of(plain: list[dict], vectors: dict[str, ndarray]) -> tuple[list[tuple[str, Member]], list[Result]]:
    members, results = [], []
    sizes = vectors.get("sizes", np.empty((len(plain), 0), dtype=np.float32))
    for row, sigma, embedding, size in zip(plain, vectors["spectrum"], vectors["embedding"], sizes, strict=True):
        member = Member(row["name"], row["position"], row["label"], row["digest"])
        texts = (row["dataset"], member.name, member.label, member.digest, row["device"])
        if not (all(isinstance(text, str) for text in texts) and isinstance(member.position, int)):
            raise ValueError("a row is none of a table")
        members.append((row["dataset"], member))
        norm, seconds = float(row["squared_norm"]), float(row["seconds"])
        results.append(Result(member.digest, sigma, embedding, norm, seconds, row["device"], size))
    return members, results


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
    columns = {"digest": list(found), "measures": _matrix(values, _ROUNDING["spectrum"])}
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
