"""SQLite's connections and errors: closed without a word, and told in one sentence each."""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from jepa_core.config import hosted
from jepa_core.errors import LockedStore, StoreError
from jepa_core.store.schema import SCHEMA_VERSION

LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
# What SQLite or Python says, with a code for anything, of text that is none and of tables that are not there.
_TELLING = ("Could not decode to UTF-8", "user-defined function raised exception", "no such ")


class Connection(sqlite3.Connection):
    """Closes itself: its thread may end, or its store be forgotten, without anyone to say so."""

    def __del__(self) -> None:
        with suppress(Exception):  # never opened, or the interpreter is ending: there is nobody left to tell
            self.close()


class Damaged(sqlite3.DatabaseError):
    """Damage that we found, not SQLite."""


def identity(path: Path) -> tuple[int, int] | None:
    """Which file is at a path; None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 (asked all the time, and a Path takes twice as long)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def code(error: sqlite3.Error) -> int:
    """SQLite's primary code; 0 where Python itself raised the error."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error means that the file is not what was written."""
    said = str(error)
    return isinstance(error, Damaged) or code(error) in _DAMAGED or any(words in said for words in _TELLING)


# --- in words ---------------------------------------------------------------------------------------------------------


def _named(path: Path) -> str:
    """The store in a sentence. Where a server has visitors, its path is not for them."""
    return "The store" if hosted() else f"The store {path}"


def cannot_write(path: Path, error: Exception) -> StoreError:
    """Of a full disk, a folder without the right to write, and the like."""
    where = "" if hosted() else f" in {path.parent}"
    why = (isinstance(error, OSError) and error.strerror) or error  # the system's own words name the path
    return StoreError(
        f"Results cannot be kept{where} ({why}); a folder that can be written and has room is needed; "
        "set JEPA_CACHE to one."
    )


def locked(path: Path, error: Exception, seconds: float, deed: str) -> LockedStore:
    """Of a lock that was waited for in vain; `deed` is what could not be done."""
    return LockedStore(
        f"{_named(path)} could not be {deed}: another program has it locked ({error}), and {seconds:.3g} s of "
        "waiting were in vain; close that program, or try again when it is done."
    )


def damaged(path: Path, why: str) -> StoreError:
    """Of damage that was met, and is dealt with."""
    return StoreError(
        f"{_named(path)} is damaged ({why}); an undamaged file is needed; do the same again: what was whole was taken "
        "over into a new one, and what is missing is computed again."
    )


def newer(path: Path, version: int) -> StoreError:
    """Of a store that a later version has written."""
    return StoreError(
        f"{_named(path)} has format {version}; this version reads format {SCHEMA_VERSION}; "
        "update the explorer, or set JEPA_CACHE to another folder."
    )


def removed(path: Path) -> StoreError:
    """Of a file that was no longer there when a transaction ended."""
    return StoreError(
        f"{_named(path)} was removed or replaced while it was written to; what was written last is lost; "
        "do the same again."
    )


def not_taken(path: Path, error: Exception) -> StoreError:
    """Of a row that is none."""
    return StoreError(
        f"{_named(path)} did not take a row ({error}); values of the kind that a result has are accepted; "
        "this is a fault of whoever made the row."
    )


def set_aside(path: Path, why: Exception, aside: Path, rescued: int) -> str:
    """What became of a damaged file."""
    taken = f", with the {rescued} rows that were whole" if rescued else ""
    return (
        f"{_named(path)} was damaged ({why}); it was kept as {aside.name} and a new one was started{taken}; "
        "missing scores are computed again."
    )
