"""The tables of the store, what may be in a row of each, and the sum by which damage to a row is known.

SQLite notices damage to its own structure, not to a value: a spectrum with a changed byte is a spectrum. So a row that
does not tell by itself whether it is right has the CRC-32 of its values in its last column. Rows that were written in
formats before the fourth have none.
"""

import io
import math
import re
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from jepa_core.images import digest
from jepa_core.store.records import ResultConfig

_FIRST = """
CREATE TABLE configs (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE,
    weights TEXT NOT NULL, transform TEXT NOT NULL, output TEXT NOT NULL,
    method TEXT NOT NULL, precision TEXT NOT NULL, view TEXT NOT NULL
);
CREATE TABLE results (
    config INTEGER NOT NULL REFERENCES configs (id), digest TEXT NOT NULL,
    spectrum BLOB NOT NULL, squared_norm REAL NOT NULL, seconds REAL NOT NULL, device TEXT NOT NULL,
    PRIMARY KEY (config, digest)
) WITHOUT ROWID;
CREATE TABLE embeddings (
    space TEXT NOT NULL, digest TEXT NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (space, digest)
) WITHOUT ROWID;
CREATE TABLE ranks (space TEXT PRIMARY KEY, rank INTEGER NOT NULL, reason TEXT NOT NULL);
CREATE TABLE crops (
    transform TEXT NOT NULL, digest TEXT NOT NULL, png BLOB NOT NULL, PRIMARY KEY (transform, digest)
) WITHOUT ROWID;
CREATE TABLE members (
    dataset TEXT NOT NULL, name TEXT NOT NULL, position INTEGER NOT NULL, label TEXT NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (dataset, name)
) WITHOUT ROWID;
CREATE TABLE shipped (file TEXT PRIMARY KEY, digest TEXT NOT NULL);
"""
_SECOND = """
CREATE TABLE estimates (
    config INTEGER NOT NULL REFERENCES configs (id), digest TEXT NOT NULL,
    score REAL NOT NULL, low REAL NOT NULL, high REAL NOT NULL, far INTEGER NOT NULL,
    squared_norm REAL NOT NULL, seconds REAL NOT NULL, device TEXT NOT NULL,
    PRIMARY KEY (config, digest)
) WITHOUT ROWID;
CREATE TABLE calibrations (key TEXT PRIMARY KEY, id TEXT NOT NULL, arrays BLOB NOT NULL);
CREATE TABLE precisions (key TEXT PRIMARY KEY, precision TEXT NOT NULL, agreement REAL NOT NULL);
"""
_THIRD = """
CREATE TABLE measures (
    space TEXT NOT NULL, digest TEXT NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (space, digest)
) WITHOUT ROWID;
"""
_FOURTH = """
ALTER TABLE results ADD COLUMN crc INTEGER;
ALTER TABLE embeddings ADD COLUMN crc INTEGER;
ALTER TABLE estimates ADD COLUMN crc INTEGER;
ALTER TABLE measures ADD COLUMN crc INTEGER;
ALTER TABLE crops ADD COLUMN crc INTEGER;
ALTER TABLE members ADD COLUMN crc INTEGER;
"""
_FIFTH = """
CREATE TABLE tags (
    dataset TEXT NOT NULL, digest TEXT NOT NULL, tag TEXT NOT NULL, crc INTEGER, PRIMARY KEY (dataset, digest, tag)
) WITHOUT ROWID;
"""
# What each format added to the one before it. A file's format is the number of steps it has had.
STEPS = (_FIRST, _SECOND, _THIRD, _FOURTH, _FIFTH)
SCHEMA_VERSION = len(STEPS)
SUMMED_SINCE = 4  # the format
LARGEST_VALUE = 16 * 2**20  # bytes of one text or blob; a spectrum of 4,096 numbers has 16 KiB
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"RIFF")  # RIFF: WebP


def statements(version: int = SCHEMA_VERSION, after: int = 0) -> list[str]:
    """What takes a store from one format to another."""
    parts = [part.strip().rstrip(";") for step in STEPS[after:version] for part in step.split(";\n")]
    return [part for part in parts if part]


def tables_of(version: int) -> set[str]:
    """The definitions that a store of that format has, as SQLite keeps them, with single spaces."""
    made = sqlite3.connect(":memory:")
    try:
        for statement in statements(version):
            made.execute(statement)
        return definitions(made)
    finally:
        made.close()


def definitions(connection: sqlite3.Connection) -> set[str]:
    """The definitions in a database, with single spaces."""
    rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {" ".join(str(sql).split()) for (sql,) in rows}


# --- sums -------------------------------------------------------------------------------------------------------------

COLUMNS = {
    "configs": ("id", "key", "weights", "transform", "output", "method", "precision", "view"),
    "ranks": ("space", "rank", "reason"),
    "embeddings": ("space", "digest", "vector"),
    "results": ("config", "digest", "spectrum", "squared_norm", "seconds", "device"),
    "calibrations": ("key", "id", "arrays"),
    "precisions": ("key", "precision", "agreement"),
    "estimates": (
        "config",
        "digest",
        "score",
        "low",
        "high",
        "far",
        "squared_norm",
        "seconds",
        "device",
    ),
    "measures": ("space", "digest", "vector"),
    "crops": ("transform", "digest", "png"),
    "members": ("dataset", "name", "position", "label", "digest"),
    "tags": ("dataset", "digest", "tag"),
}
"""The columns of each table without the sum. What others build on comes first."""
SUMMED = ("embeddings", "results", "estimates", "measures", "crops", "members", "tags")
"""The tables whose rows have a sum."""


def row_sum(*values: Any) -> int:
    """The CRC-32 of a row's values, the sum itself left out. An integer counts like the float of its value."""
    parts = []
    for value in values:
        if isinstance(value, str):
            body = value.encode("utf-8", "surrogatepass")
        elif isinstance(value, bytes):
            body = value
        else:
            # SQLite keeps -0.0 as 0. None, which no value is, becomes a number that none is, either.
            body = struct.pack("<d", math.nan if value is None else value + 0.0)
        parts += [struct.pack("<I", len(body)), body]
    return zlib.crc32(b"".join(parts))


def summed(*values: Any) -> tuple[Any, ...]:
    """A row with its sum."""
    return (*values, row_sum(*values))


def insert(table: str, *, replace: bool = False) -> str:
    """The statement that writes a row of `summed` values."""
    marks = ", ".join("?" * (len(COLUMNS[table]) + (table in SUMMED)))
    return f"INSERT OR {'REPLACE' if replace else 'IGNORE'} INTO {table} VALUES ({marks})"


# --- what a row may be ------------------------------------------------------------------------------------------------


def sound(table: str, row: tuple) -> bool:
    """Whether a row, given without its sum, is one that a store would have."""
    try:
        return all(not isinstance(value, bytes | str) or len(value) <= LARGEST_VALUE for value in row) and _CHECKS[
            table
        ](*row)
    except Exception:  # whatever a value that is not what it says makes of a check
        return False


def _digest(value: Any) -> bool:
    return isinstance(value, str) and bool(_DIGEST.fullmatch(value))


def _number(*values: Any) -> bool:
    return all(isinstance(value, int | float) and math.isfinite(value) for value in values)


def _floats(value: Any) -> bool:
    if not isinstance(value, bytes) or not value or len(value) % 4:
        return False
    return bool(np.isfinite(np.frombuffer(value, dtype="<f4")).all())


def _text(*values: Any) -> bool:
    return all(isinstance(value, str) and len(value) <= 10_000 for value in values)


def _config(number: Any, key: Any, *given: Any) -> bool:
    return isinstance(number, int) and _text(*given) and ResultConfig(*given).key == key


def _result(_config: int, digest: Any, spectrum: Any, norm: Any, seconds: Any, device: Any) -> bool:
    return _digest(digest) and _floats(spectrum) and _number(norm, seconds) and _text(device)


def _estimate(_config: int, digest: Any, *rest: Any) -> bool:
    *numbers, device = rest
    return _digest(digest) and len(numbers) == 6 and _number(*numbers) and _text(device)


def _vector(space: Any, digest: Any, vector: Any) -> bool:
    return _digest(space) and _digest(digest) and _floats(vector)


def _measure(space: Any, digest: Any, vector: Any) -> bool:
    return _text(space) and _digest(digest) and isinstance(vector, bytes) and bool(vector) and len(vector) % 4 == 0


def _crop(transform: Any, digest: Any, png: Any) -> bool:
    return _digest(transform) and _digest(digest) and isinstance(png, bytes) and png.startswith(_PICTURES)


def _member(dataset: Any, name: Any, position: Any, label: Any, digest: Any) -> bool:
    return _text(dataset, name, label) and isinstance(position, int) and position >= 0 and _digest(digest)


def _tag(dataset: Any, digest: Any, tag: Any) -> bool:
    return _text(dataset, tag) and _digest(digest) and bool(tag)


def _rank(space: Any, rank: Any, reason: Any) -> bool:
    return _digest(space) and isinstance(rank, int) and 0 < rank <= 2**20 and _text(reason)


def _precision(key: Any, precision: Any, agreement: Any) -> bool:
    return _digest(key) and precision in ("fp32", "bf16", "tf32") and _number(agreement)


def _calibration(key: Any, name: Any, arrays: Any) -> bool:
    if not (_digest(key) and isinstance(arrays, bytes) and digest(arrays)[:16] == name):
        return False
    with zipfile.ZipFile(io.BytesIO(arrays)) as packed:  # before numpy unpacks it
        if sum(info.file_size for info in packed.infolist()) > 4 * LARGEST_VALUE:
            return False
    with np.load(io.BytesIO(arrays), allow_pickle=False) as found:
        return not any(np.isnan(found[part]).any() for part in found.files)


_CHECKS: dict[str, Callable[..., bool]] = {
    "configs": _config,
    "ranks": _rank,
    "embeddings": _vector,
    "results": _result,
    "calibrations": _calibration,
    "precisions": _precision,
    "estimates": _estimate,
    "measures": _measure,
    "crops": _crop,
    "members": _member,
    "tags": _tag,
}
