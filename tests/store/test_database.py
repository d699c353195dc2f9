"""A store that is locked, deleted, replaced, damaged or newer while it is in use: nobody waits, or starts anew."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from jepa_core.errors import LockedStore, StoreError
from jepa_core.store import database, shipped
from jepa_core.store.records import Member
from jepa_core.store.results import Store
from jepa_core.store.schema import SCHEMA_VERSION
from tests.store.test_results import CONFIG, result, results

NAMES = [f"{number:064x}" for number in range(0, 2**255, 2**255 // 300)]


@pytest.fixture
def filled(store: Store) -> Store:
    store.put(CONFIG, results(*NAMES))
    store.put_members("set", [Member(name, place, "", name) for place, name in enumerate(NAMES)])
    return store


def in_main_file(store: Store) -> Path:
    """The store's path, with all rows in the file itself."""
    store.select("PRAGMA wal_checkpoint(TRUNCATE)")
    return store.path


@contextmanager
def locked(path: Path, *statements: str) -> Iterator[None]:
    """The store while another process holds a lock on it."""
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "for s in sys.argv[2:]: c.execute(s).fetchall()\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path), *statements], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"held\n"
    try:
        yield
    finally:
        holder.communicate(b"")


WRITING = ("BEGIN IMMEDIATE",)
ALONE = ("PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE", "SELECT COUNT(*) FROM configs")


# --- locked -----------------------------------------------------------------------------------------------------------


def test_opening_and_reading_wait_for_no_writer(filled, monkeypatch):
    monkeypatch.setattr(database, "_READING", 0.0)  # so that waiting would be an error
    monkeypatch.setattr(database, "_PATIENCE", 0.0)
    with locked(filled.path, *WRITING):
        for opened in (filled, Store()):
            opened.changes()
            assert len(opened.rows(CONFIG, "set").members) == len(NAMES)
            assert len(opened.embeddings(CONFIG.space, NAMES)) == len(NAMES)


def test_what_is_convenience_is_dropped_soon_and_results_wait_for_their_turn(filled, monkeypatch):
    monkeypatch.setattr(database, "BRIEFLY", 0.0)
    with locked(filled.path, *WRITING):
        start = time.monotonic()
        with pytest.raises(LockedStore):
            filled.put_crops("transform", {"a": b"png"})
        assert time.monotonic() - start < 5  # not the half minute that results wait
        waiting = threading.Thread(target=filled.put, args=(CONFIG, results("late")))
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
    waiting.join(30)
    assert filled.done(CONFIG, ["late"]) == {"late"}


def test_whoever_waits_in_vain_is_told_of_the_lock_and_of_no_other_folder(filled, monkeypatch):
    monkeypatch.setattr(database, "_PATIENCE", 0.3)
    with locked(filled.path, *WRITING), pytest.raises(LockedStore) as caught:
        filled.put(CONFIG, results("a"))
    said = str(caught.value)
    assert "another program has it locked (database is locked), and 0.3 s of waiting were in vain" in said
    assert "close that program, or try again" in said
    assert "JEPA_CACHE" not in said


def test_a_program_that_keeps_the_file_for_itself_is_told_at_once(filled, monkeypatch):
    monkeypatch.setattr(database, "_READING", 0.2)
    filled.close()
    with locked(filled.path, *ALONE):
        for use in (lambda: filled.done(CONFIG, NAMES), filled.changes, Store):
            with pytest.raises(LockedStore, match="could not be read: another program has it locked"):
                use()
    assert filled.done(CONFIG, NAMES[:3]) == set(NAMES[:3])


# --- gone, another, newer ---------------------------------------------------------------------------------------------


def delete(path: Path) -> None:
    path.unlink()


def delete_all(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def remove_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def replace(path: Path) -> None:
    other = Store(path.with_name("other.sqlite"))
    other.put(CONFIG, results("theirs"))
    other.close()
    other.path.replace(path)


def overwrite_the_head(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"no database" * 20)


def another_database(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE notes (text)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("change", "left"),
    [
        (delete, set()),
        (delete_all, set()),
        (remove_folder, set()),
        (replace, {"theirs"}),
        (overwrite_the_head, set()),
        (another_database, set()),
    ],
)
def test_a_server_goes_on_with_the_file_that_is_there(filled, change, left):
    """In every thread, with other numbers of `changes`, and with a file that SQLite finds whole."""
    in_main_file(filled)
    before = filled.changes()
    with ThreadPoolExecutor(1) as old, ThreadPoolExecutor(1) as young:
        old.submit(filled.done, CONFIG, NAMES).result()  # has a connection to the file
        change(filled.path)
        for _attempt in range(2):  # damage is told once
            with suppress(StoreError):
                young.submit(filled.put, CONFIG, results("new")).result()
                break
        answers = [pool.submit(filled.done, CONFIG, [NAMES[0], "theirs", "new"]).result() for pool in (old, young)]
    assert filled.changes() != before
    assert answers == 2 * [left | {"new"}]
    assert Store().done(CONFIG, ["new"]) == {"new"}
    assert filled.select("PRAGMA integrity_check") == [("ok",)]
    assert (filled.notice is not None) is (change in (overwrite_the_head, another_database))


def test_no_row_is_lost_with_the_files_that_sqlite_keeps_beside_it(filled):
    for suffix in ("-wal", "-shm"):
        filled.path.with_name(filled.path.name + suffix).unlink()
    assert filled.done(CONFIG, NAMES) == set(NAMES)
    filled.put(CONFIG, results("new"))
    assert Store().done(CONFIG, [*NAMES, "new"]) == {*NAMES, "new"}
    Store().check()


def test_a_replaced_store_gets_no_pages_of_the_old_one(filled):
    """SQLite would play the old file's log into the new one."""
    filled.put(CONFIG, results(*(f"{number}" for number in range(200))))  # lies in the log
    replace(filled.path)
    assert filled.done(CONFIG, ["theirs", "1"]) == {"theirs"}
    filled.check()


def test_a_batch_that_went_into_a_deleted_file_is_not_called_kept(filled):
    def write() -> None:
        with filled.transaction():
            filled.put(CONFIG, results("a"))
            filled.path.unlink()

    with pytest.raises(StoreError, match="was removed or replaced while it was written to"):
        write()
    assert filled.done(CONFIG, ["a"]) == set()


def test_a_store_that_became_newer_is_neither_written_nor_called_damaged(filled):
    def become(version: int) -> None:
        connection = sqlite3.connect(filled.path, isolation_level=None)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.close()

    become(99)
    for use in (filled.changes, lambda: filled.put(CONFIG, results("a"))):
        with pytest.raises(StoreError, match=r"has format 99; this version reads format \d; update the explorer"):
            use()
    become(SCHEMA_VERSION)
    assert filled.done(CONFIG, [*NAMES, "a"]) == set(NAMES)


# --- damaged ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("places", [1, 5, 400])
def test_damage_is_met_with_a_sentence_and_what_is_whole_stays(filled, seed, places):
    """Never fewer rows without a word, and never another value."""
    path = in_main_file(filled)
    whole = filled.rows(CONFIG, "set")
    filled.close()
    chance = random.Random(1000 * seed + places)
    with path.open("r+b") as file:
        for _ in range(places):
            file.seek(chance.randrange(path.stat().st_size))
            file.write(chance.randbytes(1))
    opened = Store()
    try:
        opened.check()
        told = opened.notice is not None
    except StoreError as error:
        assert "is damaged" in str(error)  # noqa: PT017
        told = True
    rows = opened.rows(CONFIG, "set")
    assert told or rows.members == whole.members
    places_of = [member.position for member in rows.members]
    if places_of:
        assert np.array_equal(rows.spectra, whole.spectra[places_of])
    assert np.array_equal(rows.squared_norm, whole.squared_norm[places_of])
    assert opened.select("PRAGMA integrity_check") == [("ok",)]
    if told:
        assert "was damaged (" in opened.notice
    if places == 1:
        assert len(rows.members) > len(NAMES) / 2


def change_a_value(store: Store) -> None:
    store.select("UPDATE results SET squared_norm = squared_norm + 1e-9 WHERE digest = ?", NAMES[7])


def change_a_key(store: Store) -> None:
    store.select("UPDATE results SET digest = ? WHERE digest = ?", "f" * 64, NAMES[7])


def change_a_member(store: Store) -> None:
    store.select("UPDATE members SET label = 'another' WHERE name = ?", NAMES[7])


@pytest.mark.parametrize(
    ("change", "use"),
    [
        (change_a_value, lambda store: store.rows(CONFIG, "set")),
        (change_a_value, lambda store: store.get(CONFIG, NAMES[7])),
        (change_a_key, lambda store: store.check()),
        (change_a_member, lambda store: store.members("set")),
    ],
)
def test_a_value_that_was_never_written_is_not_given_out(filled, change, use: Callable):
    change(filled)
    with pytest.raises(StoreError, match="is damaged"):
        use(filled)
    assert "with the" in filled.notice
    assert filled.done(CONFIG, NAMES) >= set(NAMES) - {NAMES[7]}
    filled.check()


def test_rows_in_the_log_of_a_damaged_file_are_taken_over_too(filled):
    path = in_main_file(filled)
    filled.put(CONFIG, results("newest"))
    copy = path.with_name("copy")
    copy.mkdir()
    for file in path.parent.glob("store.sqlite*"):
        if not file.name.endswith("-shm"):
            shutil.copy(file, copy / file.name)
    content = bytearray((copy / path.name).read_bytes())
    place = content.find(result(NAMES[0]).spectrum.tobytes())
    content[place] ^= 1
    (copy / path.name).write_bytes(content)
    opened = Store(copy / path.name)
    with pytest.raises(StoreError, match="is damaged"):
        opened.check()
    assert opened.done(CONFIG, [*NAMES, "newest"]) == {*NAMES[1:], "newest"}


def test_two_programs_that_meet_the_same_damage_set_it_aside_once(filled, cache):
    other = Store()
    change_a_value(filled)
    path = in_main_file(filled)
    for one in (filled, other):
        one._damage = "a page was not one"  # as both would have found at the same moment
    filled.done(CONFIG, NAMES)
    filled.put(CONFIG, results("new"))
    assert other.done(CONFIG, ["new"]) == {"new"}
    assert len(list(cache.glob(f"{path.name}.damaged-*"))) == 1


# --- shipped tables ---------------------------------------------------------------------------------------------------


def test_a_shipped_table_that_does_not_fit_leaves_nothing_of_it(filled, tmp_path):
    members = filled.members("set")
    made = tmp_path / "tiny-projector.parquet"
    shipped.ship(filled, CONFIG, ["set"], made)
    fresh = Store(tmp_path / "fresh.sqlite")
    pages = fresh.select("PRAGMA page_count")[0][0]
    fresh.select(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreError, match="database or disk is full"):
        shipped.load_shipped(fresh, made)
    assert fresh.members("set") == []
    fresh.select("PRAGMA max_page_count = 100000")
    assert shipped.load_shipped(fresh, made)
    assert fresh.members("set") == members


# --- leaving ----------------------------------------------------------------------------------------------------------


def test_a_connection_that_was_never_opened_or_outlives_everything_says_nothing(tmp_path):
    code = (
        "import sqlite3, sys, threading\n"
        "from jepa_core.store.sqlite_errors import Connection\n"
        "from jepa_core.store.results import Store\n"
        "for where in ('/dev/null/at/all.sqlite', sys.argv[1] + '/store.sqlite'):\n"
        "    try: Store(__import__('pathlib').Path(where))\n"
        "    except Exception: pass\n"
        "half = Connection.__new__(Connection); del half\n"
        "try: Connection('/dev/null/at/all.sqlite')\n"
        "except sqlite3.Error: pass\n"
        "store = Store(__import__('pathlib').Path(sys.argv[1] + '/store.sqlite'))\n"
        "threading.Thread(target=store.members, args=('set',)).start()\n"
        "sys.kept = Connection(':memory:')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert os.listdir(tmp_path) == ["store.sqlite"]  # noqa: PTH208
