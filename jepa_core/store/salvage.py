"""What is whole in a damaged store: rows whose sums are right, found one by one; and the rows whose sums are wrong."""

import shutil
import sqlite3
from collections.abc import Generator, Iterator
from pathlib import Path

from jepa_core.files import temporary_folder
from jepa_core.images import digest
from jepa_core.store.records import ResultConfig
from jepa_core.store.schema import COLUMNS, LARGEST_VALUE, SUMMED, insert, row_sum, sound, summed

# Tables whose rows say by themselves whether they are right: by the key of a config, the id of a calibration.
_TELLING = ("configs", "calibrations")
_MOST_VALUES = 10_000  # different first columns of a key: damage may make them up
# Where a damaged page stops a scan, the rows behind it are looked for from so many other places in the key's order.
_STARTS = [f"{number:02x}" for number in range(256)]


def damaged_rows(connection: sqlite3.Connection) -> int:
    """How many rows have another sum than they should."""
    connection.create_function("row_sum", -1, row_sum, deterministic=True)
    total = 0
    for table in SUMMED:
        columns = ", ".join(COLUMNS[table])
        sql = f"SELECT COUNT(*) FROM {table} WHERE crc IS NOT NULL AND crc IS NOT row_sum({columns})"
        total += connection.execute(sql).fetchone()[0]
    for table in _TELLING:
        rows = connection.execute(f"SELECT {', '.join(COLUMNS[table])} FROM {table}").fetchall()
        total += sum(not is_told(table, row) for row in rows)
    return total


def is_told(table: str, row: tuple) -> bool:
    """Whether a row of a telling table is what was written."""
    if table == "configs":
        return ResultConfig(*row[2:]).key == row[1]
    return digest(row[2])[: len(row[1])] == row[1]


def rescue(into: sqlite3.Connection, damaged: Path) -> int:
    """Write the rows of a damaged store that are whole into another; return how many, 0 where none can be read."""
    with temporary_folder() as folder:
        try:
            source = _opened(damaged, folder)
        except (OSError, sqlite3.Error):
            return 0
        try:
            return _rescue(into, source)
        except sqlite3.Error:
            if into.in_transaction:
                into.execute("ROLLBACK")
            return 0
        finally:
            source.close()


def _opened(damaged: Path, folder: Path) -> sqlite3.Connection:
    """The damaged store for reading alone: it stays as it is, as evidence."""
    log = damaged.with_name(f"{damaged.name}-wal")
    if log.exists() and log.stat().st_size:
        shutil.copyfile(damaged, folder / "store.sqlite")
        shutil.copyfile(log, folder / "store.sqlite-wal")
        connection = sqlite3.connect(folder / "store.sqlite", isolation_level=None)
    else:
        address = f"{damaged.absolute().as_uri()}?mode=ro&immutable=1"
        connection = sqlite3.connect(address, uri=True, isolation_level=None)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_VALUE)
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _rescue(into: sqlite3.Connection, source: sqlite3.Connection) -> int:
    into.execute("BEGIN IMMEDIATE")
    before = into.total_changes
    configs = set()
    for table in (*_TELLING, *SUMMED):
        for row, crc in _rows(source, table):
            if table in ("results", "estimates") and row[0] not in configs:
                continue
            if _right(table, row, crc):
                into.execute(insert(table), summed(*row) if table in SUMMED else row)
                if table == "configs":
                    configs.add(row[0])
    into.execute("COMMIT")
    return into.total_changes - before


def _right(table: str, row: tuple, crc: int | None) -> bool:
    try:
        if table in _TELLING:
            return is_told(table, row)
        return row_sum(*row) == crc if crc is not None else sound(table, row)
    except (TypeError, ValueError):  # values that are not of their kind
        return False


def _rows(source: sqlite3.Connection, table: str) -> Iterator[tuple[tuple, int | None]]:
    """Every row that can be read, some of them more than once, each with its sum."""
    columns = COLUMNS[table]
    try:
        has_sum = any(name == "crc" for _id, name, *_rest in source.execute(f"PRAGMA table_info({table})"))
    except sqlite3.Error:
        return
    listed = ", ".join(columns) + (", crc" if has_sum else ", NULL")
    first, second = columns[0], columns[1]
    select = f"SELECT {listed} FROM {table}"
    values, all_found = _distinct(source, table, first)
    if not all_found:
        for order in (f"{first}, {second}", f"{first} DESC, {second} DESC"):
            yield from _scan(source, f"{select} ORDER BY {order}")
    for value in values:
        where = f"{select} WHERE {first} = ?"
        if (yield from _scan(source, where, value)):
            continue
        yield from _scan(source, f"{where} ORDER BY {second} DESC", value)
        for start in _STARTS:
            yield from _scan(source, f"{where} AND {second} >= ? AND {second} < ?", value, start, f"{start}g")


def _scan(source: sqlite3.Connection, sql: str, *values: object) -> Generator[tuple[tuple, int | None], None, bool]:
    """The rows of a query until a damaged one; returns whether there was none."""
    try:
        for *row, crc in source.execute(sql, values):
            yield tuple(row), crc
    except (sqlite3.Error, UnicodeError):
        return False
    return True


def _distinct(source: sqlite3.Connection, table: str, column: str) -> tuple[list[object], bool]:
    """The values of the first column of a key, by jumping from each to the next, and whether that reached the last."""
    found: list[object] = []
    try:
        while True:
            where, values = (f"WHERE {column} > ?", found[-1:]) if found else ("", [])
            [(value,)] = source.execute(f"SELECT MIN({column}) FROM {table} {where}", values).fetchall()
            if value is None or len(found) > _MOST_VALUES:
                return found, value is None
            found.append(value)
    except (sqlite3.Error, UnicodeError):
        return found, False
