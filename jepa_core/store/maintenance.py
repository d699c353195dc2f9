"""What the store holds and how large it is, deleting parts of it, and a copy of all of it in one file.

Everything here but the copying may be done by the owner of a server alone (`jepa_core.config.check_owner`).
"""

import json
import os
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from jepa_core import files
from jepa_core.config import ASSETS, cache_dir, check_owner
from jepa_core.errors import StoreError
from jepa_core.files import replace_file
from jepa_core.keys import make_key
from jepa_core.progress import Cancelled, never
from jepa_core.store.records import ResultConfig
from jepa_core.store.results import Store

_STEPS = 1_000  # of SQLite's machine between two looks at whether to stop


@dataclass(frozen=True)
class Holding:
    """What the store has of one config: full scores or estimates, and of its embedding space and transform."""

    config: ResultConfig
    results: int
    estimates: int
    embeddings: int  # of the space, which other configs may share
    bytes: int  # of the results, the estimates and, where no other config has them, the embeddings
    seconds: float  # that computing them took


@dataclass(frozen=True)
class Crops:
    """The pictures that were shown, kept for the next time."""

    count: int
    bytes: int


def holdings(store: Store) -> list[Holding]:
    """One for each config that has results or estimates, the largest first."""
    # A row of a table takes a few dozen bytes beside its blobs: digest, numbers, SQLite's own.
    results = _by_config(store, "results", "LENGTH(spectrum) + 120")
    estimates = _by_config(store, "estimates", "150")
    spaces = {
        space: (count, size)
        for space, count, size in store.select(
            "SELECT space, COUNT(*), SUM(LENGTH(vector) + 140) FROM embeddings GROUP BY space"
        )
    }
    configs = {
        number: ResultConfig(*rest)
        for number, *rest in store.select("SELECT id, weights, transform, output, method, precision, view FROM configs")
    }
    found = {number: one for number, one in configs.items() if number in results or number in estimates}
    sharing = [one.space for one in found.values()]
    made = []
    for number, config in found.items():
        scored, scored_size, scored_seconds = results.get(number, (0, 0, 0.0))
        guessed, guessed_size, guessed_seconds = estimates.get(number, (0, 0, 0.0))
        embedded, embedded_size = spaces.get(config.space, (0, 0))
        alone = sharing.count(config.space) == 1
        size = scored_size + guessed_size + (embedded_size if alone else 0)
        made.append(Holding(config, scored, guessed, embedded, size, scored_seconds + guessed_seconds))
    return sorted(made, key=lambda one: -one.bytes)


def _by_config(store: Store, table: str, size: str) -> dict[int, tuple[int, int, float]]:
    rows = store.select(f"SELECT config, COUNT(*), SUM({size}), SUM(seconds) FROM {table} GROUP BY config")
    return {number: (count, total, seconds) for number, count, total, seconds in rows}


def crops(store: Store) -> Crops:
    """How many pictures are kept."""
    [(count, size)] = store.select("SELECT COUNT(*), SUM(LENGTH(png) + 140) FROM crops")
    return Crops(count, size or 0)


def _files(store: Store) -> list[os.stat_result]:
    found = []
    for suffix in ("", "-wal"):
        with suppress(OSError):
            found.append(store.path.with_name(store.path.name + suffix).stat())
    return found


def size_on_disk(store: Store) -> int:
    """Bytes of the store's file and of what SQLite keeps beside it."""
    return sum(found.st_size for found in _files(store))


def version(store: Store) -> str:
    """Changes when anything in the store may have changed."""
    stamps = _files(store)
    return make_key(*(number for stamp in stamps for number in (stamp.st_ino, stamp.st_size, stamp.st_mtime_ns)))


def shipped_file(config: ResultConfig) -> str | None:
    """The shipped table that has results of a config; None if none has."""
    for path in sorted((ASSETS / "scores").glob("*.parquet")):
        if _config_in(path) == config:
            return path.name
    return None


def _config_in(path: Path) -> ResultConfig | None:
    try:
        return ResultConfig(**json.loads((pq.read_schema(path).metadata or {})[b"config"]))
    except Exception:  # whatever a damaged file makes of a reader; it is said where the table is read in
        return None


def delete(store: Store, config: ResultConfig) -> int:
    """Delete the results and estimates of a config; return how many.

    Its embeddings go, too, unless another config of their space has results. Which images a dataset has stays known. A
    shipped table of this config is read in again when the explorer next starts.

    Raises `NotAllowed` where the server has visitors.
    """
    check_owner("delete results")
    shipped = shipped_file(config)
    with store.transaction() as cursor:
        found = cursor.execute("SELECT id FROM configs WHERE key = ?", (config.key,)).fetchone()
        if found is None:
            return 0
        gone = sum(
            cursor.execute(f"DELETE FROM {table} WHERE config = ?", found).rowcount
            for table in ("results", "estimates")
        )
        cursor.execute("DELETE FROM configs WHERE id = ?", found)
        space_is_used = any(
            ResultConfig(*row).space == config.space
            for row in cursor.execute("SELECT weights, transform, output, method, precision, view FROM configs")
        )
        if not space_is_used:
            cursor.execute("DELETE FROM embeddings WHERE space = ?", (config.space,))
        if config.method.startswith("sketch:"):
            cursor.execute("DELETE FROM calibrations WHERE id = ?", (config.method.removeprefix("sketch:"),))
        if shipped:
            cursor.execute("DELETE FROM shipped WHERE file = ?", (shipped,))
    shrink(store)
    return gone


def delete_crops(store: Store) -> int:
    """Delete all kept pictures; return how many. Raises `NotAllowed` where the server has visitors."""
    check_owner("delete pictures")
    with store.transaction() as cursor:
        gone = cursor.execute("DELETE FROM crops").rowcount
    shrink(store)
    return gone


def shrink(store: Store) -> None:
    """Give the room of what was deleted back to the disk, unless another process is at work in the store."""
    with suppress(StoreError):
        store.select("VACUUM")
        store.select("PRAGMA wal_checkpoint(TRUNCATE)")


def export_path() -> Path:
    """Where a copy lies that was made to be downloaded. The next one replaces it."""
    return cache_dir() / "export.sqlite"


def export(store: Store, path: Path, cancelled: Cancelled = never) -> int:
    """Copy the whole store into one file, as it is at this moment; return its size in bytes, 0 where it was cancelled.

    A file at `path` is replaced once the copy is whole. Raises `NotAllowed` where the server has visitors, and
    `StoreError` for a path that cannot be written or is the store's own.
    """
    check_owner("copy the store")
    if files.exists(path) and path.samefile(store.path):
        raise StoreError(
            f"The copy was to be written to {path}, which is the store itself; another file is accepted; choose one."
        )
    store.check()  # a copy of damage would pass for whole
    return copy(store, path, cancelled)


def copy(store: Store, path: Path, cancelled: Cancelled = never) -> int:
    """`export` without asking who may."""
    try:
        replace_file(path, lambda to: _copy(store, to, cancelled))
    except _Stopped:
        return 0
    except (OSError, sqlite3.Error) as error:
        raise StoreError(
            f"The copy cannot be written to {path} ({error}); a folder that is there, can be written and has room is "
            "accepted; choose one."
        ) from error
    return path.stat().st_size


class _Stopped(Exception):
    """The person does not wait any longer."""


def _copy(store: Store, to: Path, cancelled: Cancelled) -> None:
    connection = sqlite3.connect(store.path, isolation_level=None)
    try:
        connection.set_progress_handler(cancelled, _STEPS)  # a true answer interrupts
        connection.execute("VACUUM INTO ?", (str(to),))
    except sqlite3.OperationalError:
        if cancelled():
            raise _Stopped from None
        raise
    finally:
        connection.close()
