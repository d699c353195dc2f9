"""Another store's results into this one. What is given is anyone's file, so nothing in it is taken on trust.

It is opened for reading alone. Its format, its tables (a trigger or a view would be somebody's program), its pages and
each of its rows are checked before a row is taken over, and a row whose key is here already stays as it is here. What
cannot be checked is whether the numbers were honestly computed.
"""

import io
import math
import re
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from jepa_core.config import check_owner
from jepa_core.datasets import list_datasets
from jepa_core.errors import StoreError
from jepa_core.projection import Progress
from jepa_core.records import ResultConfig
from jepa_core.store import SCHEMA_VERSION, STEPS, Store

LARGEST = 64 * 2**30  # bytes of a store
_LARGEST_VALUE = 16 * 2**20  # bytes of one text or blob; a spectrum of 4,096 numbers has 16 KiB
_BATCH = 500
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass
class Merged:
    """How many rows were new."""

    results: int = 0
    estimates: int = 0
    embeddings: int = 0
    crops: int = 0
    others: int = 0
    cancelled: bool = False

    def in_words(self) -> str:
        """One sentence."""
        stopped = " It was stopped; what had arrived stays." if self.cancelled else ""
        return (
            f"New here: {self.results} full scores, {self.estimates} estimates, {self.embeddings} embeddings, "
            f"{self.crops} pictures and {self.others} other rows; what was here already stayed as it was.{stopped}"
        )


def merge(
    store: Store,
    path: Path,
    progress: Progress = lambda _done, _total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Merged:
    """Take over the rows of the store at `path` that this one lacks, in batches; return what was new.

    Members of bundled datasets are left out: which images these have is known here. Shipped tables are not marked as
    read in.

    Raises `NotAllowed` where the server has visitors, and `StoreError` for a file that is not a whole store of a format
    this version knows, or has a row that no store would have. What came before such a row stays.
    """
    check_owner("import a store")
    _check_file(store, path)
    # A URI, since that alone can be opened without the right to write; immutable: no file is made beside it.
    source = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
    try:
        source.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST_VALUE)
        for pragma in ("trusted_schema = OFF", "query_only = ON", "cell_size_check = ON"):
            source.execute(f"PRAGMA {pragma}")
        version = _check_format(source, path)
        return _Merge(store, source, path, version, progress, cancelled).run()
    except sqlite3.Error as error:  # DatabaseError: damaged; DataError: a value beyond the limit
        raise _refused(path, str(error)) from error
    finally:
        source.close()


def merge_bytes(
    store: Store,
    data: bytes,
    progress: Progress = lambda _done, _total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Merged:
    """`merge` of an uploaded file."""
    check_owner("import a store")
    with tempfile.TemporaryDirectory(prefix="jepa-score-") as folder:
        path = Path(folder) / "upload.sqlite"
        path.write_bytes(data)
        return merge(store, path, progress, cancelled)


def _refused(path: Path, why: str) -> StoreError:
    return StoreError(
        f"{path.name} cannot be imported ({why}); a store that this explorer exported, of a format up to "
        f"{SCHEMA_VERSION}, is accepted; export it again where it is from."
    )


def _check_file(store: Store, path: Path) -> None:
    try:
        if path.exists() and path.samefile(store.path):
            raise _refused(path, "it is the store itself")
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from error
    if head != b"SQLite format 3\0":
        raise _refused(path, "it is no SQLite file")
    if size > LARGEST:
        raise _refused(path, f"it has {size / 2**30:.0f} GiB, and up to {LARGEST // 2**30} are accepted")


def _check_format(source: sqlite3.Connection, path: Path) -> int:
    version = source.execute("PRAGMA user_version").fetchone()[0]
    if not 1 <= version <= SCHEMA_VERSION:
        raise _refused(path, f"its format is {version}")
    found = {
        " ".join(sql.split())
        for (sql,) in source.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    }
    if found != _schema(version):
        raise _refused(path, "its tables are not those of a store")
    [(said,)] = source.execute("PRAGMA quick_check(1)").fetchall()
    if said != "ok":
        raise _refused(path, "it is damaged")
    return version


def _schema(version: int) -> set[str]:
    """The statements that made a store of that format."""
    statements = [" ".join(statement.split()) for step in STEPS[:version] for statement in step.split(";\n")]
    return {statement for statement in statements if statement}


class _Merge:
    """One merge: table by table, a batch of checked rows in one transaction."""

    def __init__(
        self,
        store: Store,
        source: sqlite3.Connection,
        path: Path,
        version: int,
        progress: Progress,
        cancelled: Callable[[], bool],
    ) -> None:
        self.store, self.source, self.path = store, source, path
        self.progress, self.cancelled = progress, cancelled
        self.merged, self.done = Merged(), 0
        self.known = set(list_datasets())
        self.configs: dict[int, ResultConfig] = {}
        self.widths: dict[tuple[str, str], int] = {}  # of the vectors of a table and key: all of one are equally long
        self.tables = {name: check for since, name, check in _TABLES if since <= version}
        self.total = sum(source.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0] for name in self.tables)

    def run(self) -> Merged:
        for number, *given in self.source.execute(
            "SELECT id, weights, transform, output, method, precision, view FROM configs"
        ):
            if not all(isinstance(part, str) for part in given):
                raise _refused(self.path, "a config is no config")
            self.configs[number] = ResultConfig(*given)
        for table, check in self.tables.items():
            cursor = self.source.execute(f"SELECT * FROM {table}")
            while rows := cursor.fetchmany(_BATCH):
                if self.cancelled():
                    self.merged.cancelled = True
                    return self.merged
                self._put(table, self._checked(table, rows, check))
                self.done += len(rows)
                self.progress(self.done, self.total)
        return self.merged

    def _checked(
        self, table: str, rows: Iterable[tuple], check: Callable[..., bool]
    ) -> Iterator[tuple[ResultConfig | None, tuple]]:
        for row in rows:
            try:
                sound = check(*row) and self._fits(table, row)
            except Exception:  # whatever a value that is not what it says makes of a check
                sound = False
            if not sound:
                raise _refused(self.path, f"a row of its table {table} is none of a store")
            if table in ("results", "estimates"):
                yield self.configs[row[0]], row[1:]
            elif table != "members" or row[0] not in self.known:
                yield None, row

    def _fits(self, table: str, row: tuple) -> bool:
        """Whether a vector is as long as the others with its key, here and there, and a result has a config."""
        if table == "estimates":
            return row[0] in self.configs
        if table not in _VECTORS:
            return True
        where = _VECTORS[table]
        key = self.configs[row[0]].key if table == "results" else row[0]
        if (table, key) not in self.widths:
            here = self.store.select(where, key)
            self.widths[table, key] = here[0][0] if here else len(row[2])
        return len(row[2]) == self.widths[table, key]

    def _put(self, table: str, rows: Iterable[tuple[ResultConfig | None, tuple]]) -> None:
        checked = list(rows)  # all of the batch, before any is written
        with self.store.transaction() as cursor:
            numbers = {config: self.store.config_id(cursor, config) for config, _row in checked if config}
            values = [(*([numbers[config]] if config else []), *row) for config, row in checked]
            if not values:
                return
            marks = ", ".join("?" * len(values[0]))
            cursor.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", values)
            new = max(cursor.rowcount, 0)
        counted = table if table in ("results", "estimates", "embeddings", "crops") else "others"
        setattr(self.merged, counted, getattr(self.merged, counted) + new)


# --- what a row may be ------------------------------------------------------------------------------------------------


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
    return _digest(transform) and _digest(digest) and isinstance(png, bytes) and png.startswith(_PNG)


def _member(dataset: Any, name: Any, position: Any, label: Any, digest: Any) -> bool:
    return _text(dataset, name, label) and isinstance(position, int) and position >= 0 and _digest(digest)


def _rank(space: Any, rank: Any, reason: Any) -> bool:
    return _digest(space) and isinstance(rank, int) and 0 < rank <= 2**20 and _text(reason)


def _precision(key: Any, precision: Any, agreement: Any) -> bool:
    return _digest(key) and precision in ("fp32", "bf16", "tf32") and _number(agreement)


def _calibration(key: Any, name: Any, arrays: Any) -> bool:
    from jepa_core.sketch import Calibration

    if not (_digest(key) and _text(name) and isinstance(arrays, bytes)):
        return False
    with zipfile.ZipFile(io.BytesIO(arrays)) as packed:  # before numpy unpacks it
        if sum(info.file_size for info in packed.infolist()) > 4 * _LARGEST_VALUE:
            return False
    found = Calibration.from_bytes(arrays)  # without pickle
    return found.id == name and all(np.isfinite(getattr(found, field.name)).all() for field in fields(found))


# How long the vectors of a key are.
_VECTORS = {
    "results": "SELECT LENGTH(spectrum) FROM results JOIN configs ON configs.id = results.config WHERE key = ? LIMIT 1",
    "embeddings": "SELECT LENGTH(vector) FROM embeddings WHERE space = ? LIMIT 1",
    "measures": "SELECT LENGTH(vector) FROM measures WHERE space = ? LIMIT 1",
}
# The format in which each came. What others build on comes first, for a page that looks in between.
_TABLES: tuple[tuple[int, str, Callable[..., bool]], ...] = (
    (1, "ranks", _rank),
    (1, "embeddings", _vector),
    (1, "results", _result),
    (2, "calibrations", _calibration),
    (2, "precisions", _precision),
    (2, "estimates", _estimate),
    (3, "measures", _measure),
    (1, "crops", _crop),
    (1, "members", _member),
)
