"""What a killed program has left: the rows of its store, and files that nobody needs. For `benchmarks/kills.py`."""

import shutil
import sqlite3
import tempfile
from pathlib import Path

import numpy as np


def rows(path: Path) -> dict[tuple, tuple]:
    """What a store has, by table and key, read as by another program; nothing where there is no store yet."""
    if not path.exists():
        return {}
    return _rows(f"{path.as_uri()}?mode=ro")


def rows_after(path: Path) -> dict[tuple, tuple]:
    """`rows` of the store of a program that was killed.

    They are read in a copy, since whoever opens the store itself plays its log in, which is for the next run to do, and
    whoever may only read cannot.
    """
    if not path.exists():
        return {}
    with tempfile.TemporaryDirectory(prefix="jepa-kills-") as made:
        for one in (path, path.with_name(f"{path.name}-wal")):
            if one.exists():
                shutil.copy(one, made)
        return _rows(f"{(Path(made) / path.name).as_uri()}?mode=rw")


def _rows(address: str) -> dict[tuple, tuple]:
    connection = sqlite3.connect(address, uri=True, timeout=30)
    found: dict[tuple, tuple] = {}
    try:
        for table, keys in (("results", 2), ("embeddings", 2), ("estimates", 2), ("members", 2)):
            for row in connection.execute(f"SELECT * FROM {table}"):
                key = (table, *row[:keys])
                found[(*key, "again")[: len(key) + (key in found)]] = row[keys:]
    except sqlite3.OperationalError:
        if "mode=rw" in address and connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
            raise
        return {}  # the tables are not there yet, or the log has still to be played in
    finally:
        connection.close()
    return found


def scores_of(found: dict[tuple, tuple]) -> dict[tuple, float]:
    """One number for each row that has one: the sum of its log singular values, or its estimate."""
    made = {}
    for key, row in found.items():
        if key[0] == "results":
            sigma = np.frombuffer(row[0], "<f4").astype(float)
            made[key] = float(np.log(np.sort(sigma)[-48:] + 1e-12).sum())
        elif key[0] in ("members", "estimates"):
            made[key] = float(row[0])
    return made


def partial_files(folder: Path) -> list[str]:
    """What a killed program may have left: hidden files, and SQLite's own of a store that nobody has open."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and (path.name.startswith(".") or path.name.endswith(("-wal", "-shm", "-journal")))
    ]
