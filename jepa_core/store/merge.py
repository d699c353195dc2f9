"""Another store's results into this one. What is given is anyone's file, so nothing in it is taken on trust.

It is opened for reading alone. Its format, its tables (a trigger or a view would be somebody's program), its pages and
each of its rows are checked before a row is taken over, and a row whose key is here already stays as it is here. What
cannot be checked is whether the numbers were honestly computed.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jepa_core.config import check_owner
from jepa_core.datasets.registry import list_datasets
from jepa_core.errors import StoreError
from jepa_core.files import temporary_folder
from jepa_core.progress import Cancelled, Progress, never, silent
from jepa_core.store.records import ResultConfig
from jepa_core.store.results import Store
from jepa_core.store.schema import (
    COLUMNS,
    LARGEST_VALUE,
    SCHEMA_VERSION,
    SUMMED,
    SUMMED_SINCE,
    definitions,
    insert,
    row_sum,
    sound,
    summed,
    tables_of,
)

MOST_STORE_BYTES = 64 * 2**30  # bytes of a store
_BATCH = 500


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
    progress: Progress = silent,
    cancelled: Cancelled = never,
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
        source.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_VALUE)
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
    progress: Progress = silent,
    cancelled: Cancelled = never,
) -> Merged:
    """`merge` of an uploaded file."""
    check_owner("import a store")
    with temporary_folder() as folder:
        path = folder / "upload.sqlite"
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
    if size > MOST_STORE_BYTES:
        raise _refused(path, f"it has {size / 2**30:.0f} GiB, and up to {MOST_STORE_BYTES // 2**30} are accepted")


def _check_format(source: sqlite3.Connection, path: Path) -> int:
    version = source.execute("PRAGMA user_version").fetchone()[0]
    if not 1 <= version <= SCHEMA_VERSION:
        raise _refused(path, f"its format is {version}")
    if definitions(source) != tables_of(version):
        raise _refused(path, "its tables are not those of a store")
    [(said,)] = source.execute("PRAGMA quick_check(1)").fetchall()
    if said != "ok":
        raise _refused(path, "it is damaged")
    return version


class _Merge:
    """One merge: table by table, a batch of checked rows in one transaction."""

    def __init__(
        self,
        store: Store,
        source: sqlite3.Connection,
        path: Path,
        version: int,
        progress: Progress,
        cancelled: Cancelled,
    ) -> None:
        self.store, self.source, self.path = store, source, path
        self.progress, self.cancelled = progress, cancelled
        self.merged, self.done = Merged(), 0
        self.known = set(list_datasets())
        self.configs: dict[int, ResultConfig] = {}
        self.widths: dict[tuple[str, str], int] = {}  # of the vectors of a table and key: all of one are equally long
        self.summed = version >= SUMMED_SINCE
        here = {name for (name,) in source.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        self.tables = [name for name in COLUMNS if name in here - {"configs"}]
        self.total = sum(source.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0] for name in self.tables)

    def run(self) -> Merged:
        for row in self.source.execute(f"SELECT {', '.join(COLUMNS['configs'])} FROM configs"):
            if not sound("configs", row):
                raise _refused(self.path, "a config is no config")
            self.configs[row[0]] = ResultConfig(*row[2:])
        for table in self.tables:
            sums = ", crc" if table in SUMMED and self.summed else ", NULL"
            cursor = self.source.execute(f"SELECT {', '.join(COLUMNS[table])}{sums} FROM {table}")
            while rows := cursor.fetchmany(_BATCH):
                if self.cancelled():
                    self.merged.cancelled = True
                    return self.merged
                self._put(table, self._checked(table, rows))
                self.done += len(rows)
                self.progress(self.done, self.total)
        return self.merged

    def _checked(self, table: str, rows: Iterable[tuple]) -> Iterator[tuple[ResultConfig | None, tuple]]:
        for *values, crc in rows:
            row = tuple(values)
            if not (sound(table, row) and crc in (None, row_sum(*row)) and self._fits(table, row)):
                raise _refused(self.path, f"a row of its table {table} is none of a store")
            if table in ("results", "estimates"):
                yield self.configs[row[0]], row[1:]
            elif table != "members" or row[0] not in self.known:
                yield None, row

    def _fits(self, table: str, row: tuple) -> bool:
        """Whether a vector is as long as the others with its key, here and there, and a result has a config."""
        if table in ("results", "estimates") and row[0] not in self.configs:
            return False
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
            cursor.executemany(insert(table), [summed(*row) for row in values] if table in SUMMED else values)
            new = max(cursor.rowcount, 0)
        counted = table if table in ("results", "estimates", "embeddings", "crops") else "others"
        setattr(self.merged, counted, getattr(self.merged, counted) + new)


# How long the vectors of a key are.
_VECTORS = {
    "results": "SELECT LENGTH(spectrum) FROM results JOIN configs ON configs.id = results.config WHERE key = ? LIMIT 1",
    "embeddings": "SELECT LENGTH(vector) FROM embeddings WHERE space = ? LIMIT 1",
    "measures": "SELECT LENGTH(vector) FROM measures WHERE space = ? LIMIT 1",
}
