"""The store of the pages: whatever becomes of the file in the cache folder, pages come up, without a restart."""

import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from jepa_core.errors import LockedStore, StoreError
from jepa_core.store import database, sqlite_errors
from jepa_core.store import shipped as store_shipped
from jepa_core.store.records import Member
from jepa_core.store.results import Store
from pages._shared import open_store as opened_module
from pages._shared.open_store import SharedStore
from tests.store.test_database import ALONE, WRITING, locked
from tests.store.test_results import CONFIG, results


@pytest.fixture(autouse=True)
def shipped(tmp_path, monkeypatch) -> Path:
    """One shipped table, of three pictures; temporary stores in the folder of this test."""
    monkeypatch.setattr(store_shipped, "ASSETS", tmp_path / "assets")
    monkeypatch.setattr(opened_module.tempfile, "tempdir", str(tmp_path))
    made = Store(tmp_path / "made.sqlite")
    made.put(CONFIG, results("a", "b", "c"))
    made.put_members("set", [Member(name, place, "", name) for place, name in enumerate("abc")])
    path = tmp_path / "assets" / "scores" / "tiny-projector.parquet"
    store_shipped.ship(made, CONFIG, ["set"], path)
    return path


def scored(opened: SharedStore) -> set[str]:
    return set(opened.store().scored(CONFIG, "set"))


def become(path: Path, version: int) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


def test_the_shipped_tables_are_there_and_nothing_is_said():
    opened = SharedStore()
    assert opened.notices() == []
    assert scored(opened) == set("abc")


def test_a_store_that_was_deleted_gets_the_shipped_tables_anew():
    opened = SharedStore()
    opened.notices()
    before = opened.store().changes()
    opened.store().path.unlink()
    assert opened.notices() == []
    assert scored(opened) == set("abc")
    assert opened.store().changes() != before


def test_a_damaged_store_is_set_aside_with_its_notice(cache):
    opened = SharedStore()
    opened.notices()
    opened.store().select("PRAGMA wal_checkpoint(TRUNCATE)")
    opened.store().path.write_bytes(b"no database" * 3000)
    [said] = SharedStore().notices()
    assert "was damaged" in said
    assert len(list(cache.glob("store.sqlite.damaged-*"))) == 1
    assert opened.notices() == []  # to this one it is another file
    assert scored(opened) == set("abc")


def test_damage_that_is_met_while_reading_is_dealt_with_in_the_same_server(cache):
    opened = SharedStore()
    opened.notices()
    opened.store().put(CONFIG, results(*map(str, range(300))))
    opened.store().select("UPDATE results SET seconds = -1 WHERE digest = 'a'")
    with pytest.raises(StoreError, match="is damaged"):
        opened.store().rows(CONFIG, "set")
    [said] = opened.notices()
    assert "was damaged" in said
    assert "rows that were whole" in said
    assert scored(opened) == set("abc")
    assert len(opened.store().done(CONFIG, list(map(str, range(300))))) == 300
    assert len(list(cache.glob("store.sqlite.damaged-*"))) == 1


def test_a_newer_store_is_said_in_one_sentence_and_the_rest_works(monkeypatch):
    monkeypatch.setattr(opened_module, "_RETRY", 0.0)
    opened = SharedStore()
    opened.notices()
    path = opened.store().path
    become(path, 99)
    [said] = opened.notices()
    assert "has format 99" in said
    assert "as long as the explorer runs" in said
    assert scored(opened) == set("abc")
    opened.store().put(CONFIG, results("meanwhile"))
    become(path, database.SCHEMA_VERSION)
    assert opened.notices() == []
    assert opened.store().path == path
    assert opened.store().done(CONFIG, ["meanwhile"]) == {"meanwhile"}  # what was computed meanwhile came along


def test_a_disk_too_small_for_the_shipped_tables_still_shows_them(monkeypatch, cache):
    Store().put(CONFIG, results("mine"))
    load = store_shipped.load_shipped

    def full(store: Store, path: Path, *given: Any) -> bool:
        if store.path.parent == cache:
            raise sqlite_errors.cannot_write(store.path, sqlite3.OperationalError("database or disk is full"))
        return load(store, path, *given)

    monkeypatch.setattr(store_shipped, "load_shipped", full)
    opened = SharedStore()
    [said] = opened.notices()
    assert "database or disk is full" in said
    assert "as long as the explorer runs" in said
    assert scored(opened) == set("abc")
    assert opened.store().done(CONFIG, ["mine"]) == {"mine"}  # what is there can be read
    assert len(opened.notices()) == 1


def test_a_cache_folder_that_cannot_be_made_is_said_and_the_pages_work(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JEPA_CACHE", str(tmp_path / "file"))
    opened = SharedStore()
    [said] = opened.notices()
    assert "Results cannot be kept" in said
    assert scored(opened) == set("abc")


def test_a_writer_holds_up_no_page_and_the_tables_follow_when_it_is_done(monkeypatch):
    monkeypatch.setattr(opened_module, "_READING_IN", 0.0)
    path = Store().path
    opened = SharedStore()
    with locked(path, *WRITING):
        [said] = opened.notices()
        assert "are not read in yet" in said
        assert scored(opened) == set()
    assert opened.notices() == []
    assert scored(opened) == set("abc")


def test_a_store_that_another_program_keeps_is_said_soon_and_comes_back(monkeypatch):
    monkeypatch.setattr(opened_module, "_REFUSED", 0.2)
    made = Store()
    path = made.path
    made.close()
    opened = SharedStore()
    with locked(path, *ALONE):
        start = time.monotonic()
        assert opened.notices() == []  # whoever reads says it
        with pytest.raises(LockedStore):
            opened.store()
        assert time.monotonic() - start < 10  # it was three minutes
    time.sleep(0.3)
    opened.notices()
    assert scored(opened) == set("abc")


def test_a_damaged_shipped_table_is_named_and_the_store_works(shipped):
    shipped.with_name("other.parquet").write_bytes(b"damaged")
    opened = SharedStore()
    [said] = opened.notices()
    assert "other.parquet cannot be read" in said
    assert scored(opened) == set("abc")
