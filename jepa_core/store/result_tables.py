"""Stored rows as a Parquet table: who is in a dataset, with the result of each, and what all of them have in common.

The metadata hold the config that the rows were made with. A row has an image's place in its dataset, its digest, and
its spectrum, its embedding, the sizes of the layers and its pivots; a row of an image whose result is elsewhere has no
vectors. Shipped tables (`jepa_core.store.shipped`) and parts of a run (`jepa_core.store.parts`) are such tables.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy import ndarray

from jepa_core.store.records import Member, Result, ResultConfig

_VECTORS = ("spectrum", "embedding", "sizes", "pivots")
_TEXTS = ("dataset", "name", "label", "digest", "device")


@dataclass(frozen=True, eq=False)
class ResultTable:
    """Rows in memory: `members` as (dataset, member), in order, and the `results` of those that have one here.

    `sizes_space` and `pivots_space` are where the store keeps these among its measures; "" where there are none. `told`
    is what else the metadata say.
    """

    config: ResultConfig
    members: list[tuple[str, Member]]
    results: list[Result]
    sizes_space: str = ""
    pivots_space: str = ""
    told: dict[str, str] = field(default_factory=dict)


def to_arrow(table: ResultTable, digits: Mapping[str, int] | None = None) -> pa.Table:
    """The table as Arrow's. Vectors named in `digits` are rounded to so many binary digits (`rounded`), to be small."""
    by_digest = {result.digest: result for result in table.results}
    rows = [(dataset, member, by_digest.get(member.digest)) for dataset, member in table.members]
    columns: dict[str, object] = {
        "dataset": [dataset for dataset, _member, _result in rows],
        "name": [member.name for _dataset, member, _result in rows],
        "position": [member.position for _dataset, member, _result in rows],
        "label": [member.label for _dataset, member, _result in rows],
        "digest": [member.digest for _dataset, member, _result in rows],
        "seconds": pa.array([result.seconds if result else 0.0 for *_place, result in rows], pa.float64()),
        "device": [result.device if result else "" for *_place, result in rows],
        "squared_norm": pa.array([result.squared_norm if result else 0.0 for *_place, result in rows], pa.float64()),
    }
    spaces = {"spectrum": "-", "embedding": "-", "sizes": table.sizes_space, "pivots": table.pivots_space}
    for name in filter(spaces.get, _VECTORS if table.results else ()):
        found = [getattr(result, name) if result else None for *_place, result in rows]
        columns[name] = _matrix(found, (digits or {}).get(name))
    metadata = {"config": json.dumps(asdict(table.config)), "sizes": table.sizes_space, "pivots": table.pivots_space}
    return pa.table(columns).replace_schema_metadata({**metadata, **table.told})


def write(table: pa.Table, to: object) -> None:
    """Write an Arrow table to a path or a file, small."""
    vectors = [name for name in table.column_names if name in _VECTORS]
    pq.write_table(
        table,
        to,
        compression="zstd",
        use_dictionary=[name for name in table.column_names if name not in _VECTORS],
        # Like bytes of neighbouring values next to each other: exponents and zeros shrink to almost nothing.
        column_encoding={f"{name}.list.element": "BYTE_STREAM_SPLIT" for name in vectors},
    )


def from_arrow(table: pa.Table) -> ResultTable:
    """The table that `to_arrow` made an Arrow table of. Raises `ValueError` or another error for what is none."""
    told = {name.decode(): value.decode() for name, value in (table.schema.metadata or {}).items()}
    config = ResultConfig(**json.loads(told.pop("config")))
    spaces = {name: told.pop(name, "") for name in ("sizes", "pivots")}
    told.pop("ARROW:schema", None)
    columns = {name: table[name].combine_chunks() for name in _VECTORS if name in table.column_names}
    there = columns["spectrum"].is_valid().to_pylist() if "spectrum" in columns else [False] * table.num_rows
    count = sum(there)
    vectors = {name: column.flatten().to_numpy().reshape(count, -1) for name, column in columns.items()}
    members: list[tuple[str, Member]] = []
    results: list[Result] = []
    for row, has in zip(table.drop_columns(list(columns)).to_pylist(), there, strict=True):
        if not (all(isinstance(row[name], str) for name in _TEXTS) and isinstance(row["position"], int)):
            raise ValueError("a row is none of a table")
        member = Member(row["name"], row["position"], row["label"], row["digest"])
        members.append((row["dataset"], member))
        if has:
            found = {name: matrix[len(results)] for name, matrix in vectors.items()}
            spectrum, embedding, norm = found.pop("spectrum"), found.pop("embedding"), float(row["squared_norm"])
            seconds, device = float(row["seconds"]), row["device"]
            results.append(Result(member.digest, spectrum, embedding, norm, seconds, device, **found))
    return ResultTable(config, members, results, spaces["sizes"], spaces["pivots"], told)


def _matrix(rows: list[ndarray | None], digits: int | None) -> pa.Array:
    """Vectors (n, m) as a column; None for a row without one."""
    width = next(len(row) for row in rows if row is not None)
    empty = np.zeros(width, dtype=np.float32)
    values = np.stack([empty if row is None else np.asarray(row, dtype=np.float32) for row in rows])
    return matrix_column(values if digits is None else rounded(values, digits), [row is None for row in rows])


def matrix_column(values: ndarray, absent: list[bool] | None = None) -> pa.Array:
    """float32 values (n, m) as a column of a table; the rows that are `absent` have none."""
    flat = pa.array(np.ascontiguousarray(values, dtype=np.float32).ravel())
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1], mask=absent and pa.array(absent))


def rounded(values: ndarray, digits: int) -> ndarray:
    """float32 values rounded to `digits` binary digits of their mantissa; the others are 0 and compress well."""
    mantissa, exponent = np.frexp(values.astype(np.float32))
    return np.ldexp(np.round(np.ldexp(mantissa, digits + 1)), exponent - digits - 1).astype(np.float32)
