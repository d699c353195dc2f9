"""The store of results: one SQLite file in WAL mode, so several processes may score and read at once.

What is stored for an exact result is its spectrum; scores are derived from it (`jepa_core.spectrum`). A result's key
holds everything that changes it: the weights' digest, the resolved transform, the output, the method, the precision,
the view, and the digest of the image's bytes. Rows are written a batch at a time in one transaction, so a killed run
loses at most the batch in flight.
"""

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path

import numpy as np
from numpy import ndarray

from jepa_core.config import cache_dir
from jepa_core.errors import StoreError
from jepa_core.keys import make_key
from jepa_core.records import Member, Result, ResultConfig, Rows
from jepa_core.spectrum import Rank

_PATIENCE = 60.0  # seconds to wait for another process's transaction
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
# What each format added to the one before it. A file's format is the number of steps it has had.
STEPS = (_FIRST, _SECOND, _THIRD)
SCHEMA_VERSION = len(STEPS)


def _floats(blobs: Sequence[bytes]) -> ndarray:
    if not blobs:
        return np.empty((0, 0), dtype=np.float32)
    return np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(blobs), -1)


def _bytes(values: ndarray) -> bytes:
    return np.ascontiguousarray(values, dtype="<f4").tobytes()


class _Connection(sqlite3.Connection):
    """Closes itself: its thread may end, or its store be forgotten, without anyone to say so."""

    def __del__(self) -> None:
        self.close()


def _parts(digests: Sequence[str]) -> Iterator[Sequence[str]]:
    """SQLite limits the values of one statement."""
    for start in range(0, len(digests), 500):
        yield digests[start : start + 500]


class Store:
    """Open (and create) the store at `path`; the cache folder's for None.

    `notice` is a sentence to show when the file was damaged and has been set aside, else None.
    Raises `StoreError` where the file cannot be opened or created.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or cache_dir() / "store.sqlite"
        self.notice: str | None = None
        self._local = threading.local()
        self._watcher: sqlite3.Connection | None = None
        self._watching = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._cannot_write(error) from error
        with self._guard():
            try:
                self._prepare()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                self._set_aside(error)
                self._prepare()

    def _cannot_write(self, error: Exception) -> StoreError:
        return StoreError(
            f"Results cannot be kept in {self.path.parent} ({error}); a folder that can be written and has room is "
            "needed; set JEPA_CACHE to one."
        )

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Turn SQLite's errors into one sentence."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise self._cannot_write(error) from error
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"The store {self.path} is damaged ({error}); an undamaged SQLite file is needed; "
                "delete or rename it, and its results are computed again."
            ) from error

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        self._connection().close()
        del self._local.connection
        aside = self.path.with_name(f"{self.path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
        try:
            self.path.rename(aside)
            for suffix in ("-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        except OSError as problem:
            raise self._cannot_write(problem) from problem
        self.notice = (
            f"The store {self.path} was damaged ({error}); it was kept as {aside.name} and a new one was started; "
            "missing scores are computed again."
        )

    def _connection(self) -> sqlite3.Connection:
        # One connection a thread: a connection may not be used by two at once.
        if not hasattr(self._local, "connection"):
            self._local.connection = self._connect()
            self._local.connection.execute("PRAGMA synchronous = NORMAL")  # holds for one connection, not for the file
        return self._local.connection

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self.path,
            timeout=_PATIENCE,
            isolation_level=None,
            check_same_thread=False,  # for the garbage collector, which may close it from another thread, and `changes`
            factory=_Connection,
        )

    def changes(self) -> int:
        """A number that is another one as soon as anything was written, by whatever thread or process; cheap to ask.

        It is SQLite's `data_version`, which one connection is told of the commits of all others; so that connection
        never writes. The numbers of two `Store`s have nothing to do with each other.
        """
        with self._guard(), self._watching:
            if self._watcher is None:
                self._watcher = self._connect()
            return self._watcher.execute("PRAGMA data_version").fetchone()[0]

    def _prepare(self) -> None:
        self._use_wal(self._connection())
        with self.transaction() as cursor:
            version = cursor.execute("PRAGMA user_version").fetchone()[0]
            for step in STEPS[version:]:
                for statement in step.split(";\n"):
                    cursor.execute(statement)
            if version < SCHEMA_VERSION:
                cursor.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"The store {self.path} has format {version}; this version reads format {SCHEMA_VERSION}; "
                "update the explorer, or set JEPA_CACHE to another folder."
            )

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        # SQLite does not wait here where another process goes over to WAL in the same new file, so we do.
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Cursor]:
        """A cursor whose changes are written together when the block ends, or not at all."""
        with self._guard():
            cursor = self._connection().cursor()
            # IMMEDIATE takes the write lock at once: two writers wait for each other instead of failing half-way.
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
            except BaseException:
                if cursor.connection.in_transaction:
                    cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")

    def select(self, sql: str, *values: object) -> list[tuple]:
        """The rows of a query."""
        with self._guard():
            return self._connection().execute(sql, values).fetchall()

    def config_id(self, cursor: sqlite3.Cursor, config: ResultConfig) -> int:
        """The number of a config, given to it now if it is new."""
        cursor.execute(
            "INSERT OR IGNORE INTO configs (key, weights, transform, output, method, precision, view) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (config.key, *astuple(config)),
        )
        return cursor.execute("SELECT id FROM configs WHERE key = ?", (config.key,)).fetchone()[0]

    def put(self, config: ResultConfig, results: Iterable[Result]) -> None:
        """Write results in one transaction. A result that is there already stays as it is."""
        results = list(results)
        with self.transaction() as cursor:
            config_id = self.config_id(cursor, config)
            cursor.executemany(
                "INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?, ?, ?)",
                [(config_id, r.digest, _bytes(r.spectrum), r.squared_norm, r.seconds, r.device) for r in results],
            )
            cursor.executemany(
                "INSERT OR IGNORE INTO embeddings VALUES (?, ?, ?)",
                [(config.space, r.digest, _bytes(r.embedding)) for r in results],
            )

    def put_members(self, dataset: str, members: Iterable[Member]) -> None:
        """Record which images a dataset has; a name that is there already gets its new digest."""
        with self.transaction() as cursor:
            cursor.executemany(
                "INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?)",
                [(dataset, member.name, member.position, member.label, member.digest) for member in members],
            )

    def forget_members(self, dataset: str, names: Iterable[str]) -> None:
        """Forget images that a dataset no longer has. Their results stay: they belong to the digest."""
        with self.transaction() as cursor:
            cursor.executemany(
                "DELETE FROM members WHERE dataset = ? AND name = ?", [(dataset, name) for name in names]
            )

    def members(self, dataset: str) -> list[Member]:
        """The recorded images of a dataset, in order."""
        rows = self.select(
            "SELECT name, position, label, digest FROM members WHERE dataset = ? ORDER BY position", dataset
        )
        return [Member(*row) for row in rows]

    def rows(self, config: ResultConfig, dataset: str) -> Rows:
        """All results of a config on the recorded images of a dataset, in order."""
        found = self.select(
            "SELECT name, position, label, members.digest, spectrum, squared_norm, seconds, device FROM members "
            "JOIN results ON results.digest = members.digest "
            "WHERE dataset = ? AND config = (SELECT id FROM configs WHERE key = ?) ORDER BY position",
            dataset,
            config.key,
        )
        return Rows(
            members=[Member(*row[:4]) for row in found],
            spectra=_floats([row[4] for row in found]),
            squared_norm=np.array([row[5] for row in found], dtype=np.float64),
            seconds=np.array([row[6] for row in found], dtype=np.float64),
            device=[row[7] for row in found],
        )

    def get(self, config: ResultConfig, digest: str) -> Result | None:
        """The result of one image, or None."""
        found = self.select(
            "SELECT spectrum, vector, squared_norm, seconds, device FROM results "
            "JOIN embeddings ON embeddings.digest = results.digest AND space = ? "
            "WHERE config = (SELECT id FROM configs WHERE key = ?) AND results.digest = ?",
            config.space,
            config.key,
            digest,
        )
        if not found:
            return None
        spectrum, vector, squared_norm, seconds, device = found[0]
        return Result(digest, _floats([spectrum])[0], _floats([vector])[0], squared_norm, seconds, device)

    def done(self, config: ResultConfig, digests: Sequence[str]) -> set[str]:
        """Which of the images have a result."""
        found: set[str] = set()
        for part in _parts(digests):
            marks = ",".join("?" * len(part))
            found |= {
                row[0]
                for row in self.select(
                    "SELECT digest FROM results WHERE config = (SELECT id FROM configs WHERE key = ?) "
                    f"AND digest IN ({marks})",
                    config.key,
                    *part,
                )
            }
        return found

    def scored(self, config: ResultConfig, dataset: str) -> dict[str, str]:
        """Name -> digest of a dataset's recorded images that have a result."""
        return dict(
            self.select(
                "SELECT name, members.digest FROM members JOIN results ON results.digest = members.digest "
                "WHERE dataset = ? AND config = (SELECT id FROM configs WHERE key = ?) ORDER BY position",
                dataset,
                config.key,
            )
        )

    def embeddings(self, space: str, digests: Sequence[str]) -> ndarray:
        """The embeddings (n, K) of images, in the order given. Raises `StoreError` if one is missing."""
        found = self._vectors("embeddings", space, digests)
        missing = [digest for digest in digests if digest not in found]
        if missing:
            raise StoreError(
                f"{len(missing)} of {len(digests)} embeddings are not in the store; score the images first."
            )
        return _floats([found[digest] for digest in digests])

    def _vectors(self, table: str, space: str, digests: Sequence[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for part in _parts(digests):
            marks = ",".join("?" * len(part))
            found |= dict(
                self.select(f"SELECT digest, vector FROM {table} WHERE space = ? AND digest IN ({marks})", space, *part)
            )
        return found

    def put_measures(self, space: str, measured: Mapping[str, ndarray]) -> None:
        """Keep the measures of images by their digests; those that are there already are replaced."""
        with self.transaction() as cursor:
            cursor.executemany(
                "INSERT OR REPLACE INTO measures VALUES (?, ?, ?)",
                [(space, digest, _bytes(vector)) for digest, vector in measured.items()],
            )

    def measures(self, space: str, digests: Sequence[str]) -> dict[str, ndarray]:
        """The kept measures of images, by digest; an image without any is left out."""
        found = self._vectors("measures", space, digests)
        return {digest: _floats([vector])[0] for digest, vector in found.items()}

    def put_crops(self, transform: str, pictures: Mapping[str, bytes]) -> None:
        """Keep pictures made from images, by the digests of these and what was done to them."""
        with self.transaction() as cursor:
            cursor.executemany(
                "INSERT OR REPLACE INTO crops VALUES (?, ?, ?)",
                [(make_key(transform), digest, picture) for digest, picture in pictures.items()],
            )

    def crops(self, transform: str, digests: Sequence[str]) -> dict[str, bytes]:
        """The kept pictures of images under a transform, by digest; an image without one is left out."""
        found: dict[str, bytes] = {}
        for part in _parts(digests):
            marks = ",".join("?" * len(part))
            sql = f"SELECT digest, png FROM crops WHERE transform = ? AND digest IN ({marks})"
            found |= dict(self.select(sql, make_key(transform), *part))
        return found

    def put_rank(self, space: str, rank: Rank, *, over: bool = False) -> Rank:
        """Record the rank that images of an embedding space show, unless one is there (or `over` it); return it."""
        with self.transaction() as cursor:
            word = "REPLACE" if over else "IGNORE"
            cursor.execute(f"INSERT OR {word} INTO ranks VALUES (?, ?, ?)", (space, rank.rank, rank.reason))
        return self.rank(space) or rank

    def rank(self, space: str) -> Rank | None:
        """The rank that images of an embedding space showed, or None."""
        found = self.select("SELECT rank, reason FROM ranks WHERE space = ?", space)
        return Rank(*found[0]) if found else None

    def shipped(self, file: str) -> str | None:
        """The digest of a shipped table that was read in, or None."""
        found = self.select("SELECT digest FROM shipped WHERE file = ?", file)
        return found[0][0] if found else None

    def put_shipped(self, file: str, digest: str) -> None:
        """Record that a shipped table was read in."""
        with self.transaction() as cursor:
            cursor.execute("INSERT OR REPLACE INTO shipped VALUES (?, ?)", (file, digest))
