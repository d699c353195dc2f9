"""Tags of images: kept beyond a visit, in stores of earlier versions too, and taken over from other stores."""

import gzip
import shutil
import sqlite3
from pathlib import Path

import pytest

from jepa_core.errors import JepaError, StoreError
from jepa_core.store import maintenance, merge, tags
from jepa_core.store.results import Store
from jepa_core.store.schema import SCHEMA_VERSION, STEPS, tables_of

OLD = Path(__file__).parent / "version_0_1.sqlite.gz"


def digest(number: int) -> str:
    return f"{number:064x}"


def test_tags_last_until_they_are_removed(store: Store) -> None:
    tags.add(store, "set", [digest(1), digest(2)], "drop")
    tags.add(store, "set", [digest(2), digest(2)], "  look   again ")
    tags.add(store, "another", [digest(1)], "keep")
    assert tags.of(Store(), "set") == {digest(1): ("drop",), digest(2): ("drop", "look again")}
    tags.remove(store, "set", [digest(1), digest(2), digest(3)], "drop")
    assert tags.of(Store(), "set") == {digest(2): ("look again",)}
    assert tags.of(store, "another") == {digest(1): ("keep",)}


@pytest.mark.parametrize("word", ["", "  ", "a" * 41, "a,b", "a\x1b[2J"])
def test_what_is_no_tag_is_refused_in_one_sentence(store: Store, word: str) -> None:
    with pytest.raises(JepaError, match=r"The tag '.*' was given; 1 to 40 letters without a comma are accepted"):
        tags.add(store, "set", [digest(1)], word)
    assert tags.of(store, "set") == {}


def test_a_store_of_version_0_1_takes_tags(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_bytes(gzip.decompress(OLD.read_bytes()))
    members = sqlite3.connect(path).execute("SELECT COUNT(*) FROM members").fetchone()[0]
    store = Store(path)
    tags.add(store, "digits-validation", [digest(1)], "keep")
    assert tags.of(Store(path), "digits-validation") == {digest(1): ("keep",)}
    assert len(store.members("digits-validation")) == members > 0
    [(version,)] = store.select("PRAGMA user_version")
    assert version == SCHEMA_VERSION


def _format_4(path: Path) -> Path:
    connection = sqlite3.connect(path)
    for step in STEPS[:4]:
        connection.executescript(step)
    connection.execute("PRAGMA user_version = 4")
    connection.execute("INSERT INTO ranks VALUES (?, 3, 'said so')", (digest(7),))
    connection.commit()
    connection.close()
    return path


def test_stores_with_and_without_tags_are_merged(store: Store, tmp_path: Path) -> None:
    old = _format_4(tmp_path / "old.sqlite")
    assert "tags" not in " ".join(tables_of(4))
    tags.add(store, "set", [digest(1)], "drop")
    assert merge.merge(store, old).others == 1
    other = Store(tmp_path / "other" / "store.sqlite")
    tags.add(other, "set", [digest(1)], "drop")
    tags.add(other, "set", [digest(1), digest(2)], "keep")
    copy = tmp_path / "copy.sqlite"
    maintenance.export(other, copy)
    assert merge.merge(store, copy).others == 2
    assert tags.of(store, "set") == {digest(1): ("drop", "keep"), digest(2): ("keep",)}
    shutil.copyfile(old, tmp_path / "migrated.sqlite")
    migrated = Store(tmp_path / "migrated.sqlite")
    assert merge.merge(migrated, copy).others == 3
    assert tags.of(migrated, "set") == {digest(1): ("drop", "keep"), digest(2): ("keep",)}


def test_a_tag_that_is_none_stops_an_import(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other" / "store.sqlite")
    other.select("INSERT INTO tags (dataset, digest, tag) VALUES ('set', ?, '')", digest(1))
    copy = tmp_path / "copy.sqlite"
    maintenance.export(other, copy)
    with pytest.raises(StoreError, match="a row of its table tags is none of a store"):
        merge.merge(store, copy)


def test_a_changed_tag_is_noticed_and_the_whole_ones_are_taken_over(store: Store) -> None:
    tags.add(store, "set", [digest(number) for number in range(20)], "drop")
    store.select("UPDATE tags SET tag = 'keep' WHERE digest = ?", digest(3))
    with pytest.raises(StoreError, match="is damaged"):
        tags.of(store, "set")
    assert tags.of(Store(), "set") == {digest(number): ("drop",) for number in range(20) if number != 3}
