"""The file of the store: opening it, reading and writing, and what to do when it is locked, gone or damaged.

Readers never wait for a writer (WAL). The file may be deleted, replaced or damaged while a server runs: before each
piece of work the file at the path is compared with the one that is open, and opened anew if it is another. A damaged
file is set aside, and what is whole in it is taken over into a new one (`jepa_core.store.salvage`).
"""

import itertools
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from jepa_core import files
from jepa_core.errors import StoreError
from jepa_core.store import salvage, sqlite_errors
from jepa_core.store.schema import COLUMNS, SCHEMA_VERSION, statements
from jepa_core.store.sqlite_errors import LOCKED, Connection, Damaged, code, identity, is_damage

_PATIENCE = 30.0  # seconds that a writer of results waits for another program's transaction
_READING = 1.0  # the same for whoever reads, who waits only where another program keeps the whole file for itself
BRIEFLY = 0.1  # the same for what is written for convenience alone, and dropped where it would have to wait
_SLICE = 0.25  # of waiting, after which Ctrl-C is heard
# Checking takes a millisecond a megabyte. A larger file is checked where its damage shows.
_CHECKED_AT_OPENING = 2**28
_opened = itertools.count(1)  # every file that is opened in this process has a number of its own

_FRESH = 0.05  # seconds for which `changes` gives its answer again, where nothing was written in this process
Stamp = tuple[tuple[int, int] | None, ...]


class Database:
    """Open (and create) the database at `path`, of the format of `jepa_core.store.schema`.

    `notice` is a sentence to show when the file was damaged and has been set aside, else None.
    Raises `StoreError` where the file cannot be opened or created, and `LockedStore` where another program keeps it.
    """

    writes = 0  # how often any of this process has written

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notice: str | None = None
        self.generation = 0  # another number whenever another file was opened, in any `Database` of this process
        self._local = threading.local()
        self._turn = threading.Condition(threading.RLock())
        self._working = 0  # threads that are at work in the file
        self._watching = threading.Lock()
        self._asked = (0.0, 0, 0, 0)  # what `changes` found: until when it holds, for which file, after how many writes
        self._connections: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._watcher: Connection | None = None
        self._stamp: Stamp = ()
        self._damage: str | None = None  # that was met, and is dealt with before the next piece of work
        self._address = ""
        with self._turn:
            self._open()

    def _remember(self, why: object) -> StoreError:
        self._damage = str(why).replace("user-defined function raised exception", "a text in it is none")
        return sqlite_errors.damaged(self.path, self._damage)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Turn SQLite's errors into one sentence, and remember damage."""
        try:
            yield
        except sqlite3.Error as error:
            if is_damage(error):
                raise self._remember(error) from error
            if code(error) in LOCKED:
                raise sqlite_errors.locked(self.path, error, _READING, "read") from error
            if isinstance(error, sqlite3.OperationalError):
                raise sqlite_errors.cannot_write(self.path, error) from error
            raise sqlite_errors.not_taken(self.path, error) from error

    # --- opening ------------------------------------------------------------------------------------------------------

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def _looked_at(self) -> Stamp:
        return identity(self.path), identity(self._beside("-wal"))

    def _connect(self) -> Connection:
        connection = sqlite3.connect(
            self._address,
            uri=True,
            timeout=_READING,
            isolation_level=None,
            check_same_thread=False,  # for the garbage collector, which may close it from another thread, and `changes`
            factory=Connection,
        )
        self._connections.add(connection)
        connection.execute("PRAGMA synchronous = NORMAL")  # holds for one connection, not for the file
        return connection

    def _find_address(self) -> str:
        """The path as a URI. In a folder where nothing may be written a file can be read as one that never changes."""
        address = self.path.absolute().as_uri()
        log = self._beside("-wal")
        if not self.path.exists() or os.access(self.path.parent, os.W_OK) or (log.exists() and log.stat().st_size):
            return address
        return f"{address}?mode=ro&immutable=1"

    def _open(self) -> None:
        """Open the file that is there, or a new one. To be called with the turn."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._guard():
                self._remove_strays()
                try:
                    self._prepare()
                except sqlite3.DatabaseError as error:
                    if not is_damage(error):
                        raise
                    self._set_aside(error)
        except OSError as error:
            raise sqlite_errors.cannot_write(self.path, error) from error
        self.generation = next(_opened)

    def _remove_strays(self) -> None:
        """Remove SQLite's files of a store that is gone: a new one of the same name would take them for its own."""
        database, log = self._looked_at()
        known, known_log = self._stamp or (None, None)
        if database is not None and not (known and database != known and log and log == known_log):
            return
        with files.alone_in(self.path.parent):
            if self._looked_at() == (database, log):
                for suffix in ("-wal", "-shm"):
                    with suppress(OSError):
                        self._beside(suffix).unlink(missing_ok=True)

    def _prepare(self) -> None:
        """Open what is at the path. A file of today's format is not written to, so nobody is waited for."""
        self._address = self._find_address()
        watcher = self._connect()
        version = self._version(watcher)
        if version > SCHEMA_VERSION:
            watcher.close()
            raise sqlite_errors.newer(self.path, version)
        if version < SCHEMA_VERSION:
            self._use_wal(watcher, _PATIENCE)
            self._migrate(watcher)
        else:
            with suppress(sqlite3.OperationalError):  # a copy is in another mode, and may have to stay so
                self._use_wal(watcher, 0)
        there = {name for (name,) in watcher.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if lacking := sorted({*COLUMNS, "shipped"} - there):
            raise Damaged(f"it has no table {lacking[0]}")
        if self.path.stat().st_size <= _CHECKED_AT_OPENING:
            self._check_pages(watcher)
        self._watcher = watcher  # open from here on, so that SQLite leaves its files where they are
        self._stamp = self._looked_at()

    def _version(self, connection: sqlite3.Connection) -> int:
        return connection.execute("PRAGMA user_version").fetchone()[0]

    def _migrate(self, connection: sqlite3.Connection) -> None:
        self._begin(connection, _PATIENCE)
        try:
            version = self._version(connection)  # another program may have been faster
            if not version and connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
                raise Damaged("it is a database of something else")
            for statement in statements(after=version):
                connection.execute(statement)
            if version < SCHEMA_VERSION:
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _use_wal(self, connection: sqlite3.Connection, patience: float) -> None:
        # SQLite does not wait here where another process goes over to WAL in the same new file, so we do.
        deadline = time.monotonic() + patience
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if code(error) not in LOCKED or time.monotonic() > deadline:
                    raise
            time.sleep(0.01)

    def _check_pages(self, connection: sqlite3.Connection) -> None:
        [(said,)] = connection.execute("PRAGMA quick_check(1)").fetchall()
        if said != "ok":
            raise Damaged(" ".join(str(said).replace("*** in database main ***", "").split()))

    # --- damage -------------------------------------------------------------------------------------------------------

    def _set_aside(self, error: Exception) -> None:
        """Rename the damaged file, start a new one, and take over what is whole. To be called with the turn."""
        damaged = self._looked_at()
        self._close_all()
        aside = None
        with files.alone_in(self.path.parent):
            if self._looked_at()[0] == damaged[0]:  # else another program has set it aside
                aside = self._free_name()
                self.path.rename(aside)
                log = self._beside("-wal")
                if log.exists() and log.stat().st_size:  # it has the newest rows
                    log.rename(aside.with_name(f"{aside.name}-wal"))
                for suffix in ("-wal", "-shm"):
                    self._beside(suffix).unlink(missing_ok=True)
        self._damage = None
        self._prepare()
        if aside is None:
            return
        assert self._watcher is not None
        rescued = salvage.rescue(self._watcher, aside)
        self.notice = sqlite_errors.set_aside(self.path, error, aside, rescued)

    def _free_name(self) -> Path:
        stem = f"{self.path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
        names = (stem + (f"-{number}" if number else "") for number in itertools.count())
        return next(path for path in map(self.path.with_name, names) if not path.exists())

    def _close_all(self) -> None:
        for connection in list(self._connections):
            with suppress(sqlite3.Error):
                connection.close()
        self._watcher = None
        self.generation = next(_opened)  # so that no thread goes on with a connection that was closed

    def suspect(self, why: str) -> StoreError:
        """The error to raise for a row that is not what was written; the file has been dealt with."""
        error = self._remember(why)
        self._mend()
        return error

    def _mend(self) -> None:
        """Deal with damage that was met, unless somebody is at work in the file: then before its next use."""
        with self._turn, suppress(StoreError):
            if self._damage and not self._working:
                self._renew()

    # --- at work ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """One piece of work of this thread in the file that is at the path now; no other is opened before it ends."""
        depth = getattr(self._local, "depth", 0)
        if not depth:
            self._enter()
        self._local.depth = depth + 1
        try:
            with self._guard():
                yield
        finally:
            self._local.depth = depth
            if not depth:
                with self._turn:
                    self._working -= 1
                    self._turn.notify_all()
                if self._damage:
                    self._mend()

    def _enter(self) -> None:
        looked = self._looked_at()  # before the turn is taken: meanwhile other threads run, and would wait for it
        with self._turn:
            if not self._damage and self._watcher is not None and self._stamp == looked:
                self._working += 1
                return
        deadline = time.monotonic() + _PATIENCE
        with self._turn:
            while self._damage or self._watcher is None or self._stamp != self._looked_at():
                if not self._working:
                    self._renew()
                    break
                # A connection may not be closed while another thread is at work with it.
                if not self._turn.wait(deadline - time.monotonic()):
                    why = TimeoutError("by a part of this program that is at work in it")
                    raise sqlite_errors.locked(self.path, why, _PATIENCE, "opened anew")
            self._working += 1

    def _renew(self) -> None:
        """Open the file anew: it is another one, or damage was met in it."""
        why, self._damage = self._damage, None
        self._close_all()
        self._open()
        if why:
            assert self._watcher is not None
            try:
                with self._guard():
                    self._check_everything(self._watcher)
            except StoreError:
                self._damage = None
                with self._guard():
                    self._set_aside(Damaged(why))

    def _connection(self) -> Connection:
        # One connection a thread: a connection may not be used by two at once.
        if getattr(self._local, "generation", None) != self.generation:
            with self._turn:
                self._local.connection = self._connect()
            self._local.generation = self.generation
        return self._local.connection

    def take_over(self, other: Path) -> int:
        """Add the rows of another store of ours that this one lacks; return how many."""
        with self._at_work():
            return salvage.rescue(self._connection(), other)

    def close(self) -> None:
        """Close the file; it is opened again where it is used again."""
        with self._turn:
            self._close_all()

    def changes(self, *, fresh: bool = False) -> int:
        """A number that is another one as soon as anything was written, by whatever thread or process; cheap to ask.

        It is SQLite's `data_version`, which one connection is told of the commits of all others; so that connection
        never writes. The numbers of two files are never the same. What others wrote may be told a twentieth of a second
        late, unless the answer is to be `fresh`.
        """
        writes, now = Database.writes, time.monotonic()
        until, generation, written, found = self._asked
        if not fresh and now < until and (generation, written) == (self.generation, writes):
            return found
        with self._at_work(), self._watching:
            assert self._watcher is not None
            if (version := self._version(self._watcher)) > SCHEMA_VERSION:
                raise sqlite_errors.newer(self.path, version)
            seen = self._watcher.execute("PRAGMA data_version").fetchone()[0]
            found = (self.generation << 32) + seen
            self._asked = (now + _FRESH, self.generation, writes, found)
            return found

    def _begin(self, connection: sqlite3.Connection, patience: float) -> None:
        """Take the write lock at once: two writers wait for each other instead of failing half-way."""
        deadline = time.monotonic() + patience
        while True:
            wait = min(_SLICE, max(0.0, deadline - time.monotonic()))
            connection.execute(f"PRAGMA busy_timeout = {round(1000 * wait)}")
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if code(error) not in LOCKED:
                    raise
                if time.monotonic() >= deadline:
                    raise sqlite_errors.locked(self.path, error, patience, "written to") from error
            finally:
                connection.execute(f"PRAGMA busy_timeout = {round(1000 * _READING)}")

    @contextmanager
    def transaction(self, patience: float | None = None) -> Iterator[sqlite3.Cursor]:
        """A cursor whose changes are written together when the block ends, or not at all.

        Inside another transaction of this thread it is a part of that one. `patience` is how many seconds to wait for
        another writer, after which `LockedStore` is raised.
        """
        with self._at_work():
            connection = self._connection()
            cursor = connection.cursor()
            if connection.in_transaction:
                yield cursor
                return
            self._begin(connection, _PATIENCE if patience is None else patience)
            try:
                if (version := self._version(connection)) > SCHEMA_VERSION:
                    raise sqlite_errors.newer(self.path, version)
                yield cursor
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
            Database.writes += 1
            if identity(self.path) != self._stamp[0]:
                raise sqlite_errors.removed(self.path)

    def select(self, sql: str, *values: object) -> list[tuple]:
        """The rows of a query."""
        with self._at_work():
            return self._connection().execute(sql, values).fetchall()

    def check(self) -> None:
        """Look at every page and row, which takes seconds for gigabytes. Raises `StoreError` where one is damaged."""
        with self._at_work():
            self._check_everything(self._connection())

    def _check_everything(self, connection: sqlite3.Connection) -> None:
        self._check_pages(connection)
        if bad := salvage.damaged_rows(connection):
            raise Damaged(f"{bad} of its rows are not what was written")
