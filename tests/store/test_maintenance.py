"""Upkeep of the store: what it holds is counted, what is deleted comes back, a copy is whole."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jepa_core.errors import NotAllowed, StoreError
from jepa_core.store import maintenance, shipped, sketches
from jepa_core.store.records import Estimate, Member, Result, ResultConfig
from jepa_core.store.results import Store

CONFIG = ResultConfig("weights", "{}", "projector")
ROUND = replace(CONFIG, precision="bf16")  # of the same embedding space
OTHER = replace(CONFIG, weights="other")
K = 4


def digests(count: int, start: int = 0) -> list[str]:
    return [f"{number:064x}" for number in range(start, start + count)]


def results(count: int, start: int = 0) -> list[Result]:
    ones = np.ones(K, np.float32)
    return [Result(digest, ones, ones, 1.0, 0.5, "cpu") for digest in digests(count, start)]


@pytest.fixture
def filled(store: Store) -> Store:
    store.put(CONFIG, results(5))
    store.put(ROUND, results(2))
    store.put(OTHER, results(3))
    guessed = [Estimate(digest, 1.0, 0.0, 2.0, False, 1.0, 0.25, "cpu") for digest in digests(4, start=10)]
    sketches.put_estimates(store, replace(OTHER, method="sketch:1"), guessed)
    store.put_members("mine", [Member(f"{n}", n, "", digest) for n, digest in enumerate(digests(5))])
    for digest in digests(6):
        store.put_crops("{}", {digest: b"\x89PNG\r\n\x1a\n"})
    return store


def test_every_config_is_counted_with_what_deleting_it_would_free(filled: Store):
    held = {(one.config.weights, one.config.method, one.config.precision): one for one in maintenance.holdings(filled)}
    exact, rounded = held["weights", "exact", "fp32"], held["weights", "exact", "bf16"]
    assert (exact.results, exact.estimates, exact.embeddings, exact.seconds) == (5, 0, 5, 2.5)
    assert (rounded.results, rounded.embeddings) == (2, 5)
    sketched = held["other", "sketch:1", "fp32"]
    assert (sketched.results, sketched.estimates, sketched.embeddings, sketched.seconds) == (0, 4, 3, 1.0)
    assert all(one.bytes > 0 for one in held.values())
    assert maintenance.crops(filled).count == 6
    assert maintenance.size_on_disk(filled) > 4096


def test_an_empty_store_holds_nothing(store: Store):
    assert maintenance.holdings(store) == []
    assert maintenance.crops(store) == maintenance.Crops(0, 0)


def test_deleting_a_config_leaves_the_others_and_what_they_share(filled: Store):
    assert maintenance.delete(filled, CONFIG) == 5
    assert filled.done(CONFIG, digests(5)) == set()
    assert len(filled.done(ROUND, digests(5))) == 2
    assert len(filled.embeddings(CONFIG.space, digests(5))) == 5  # of the same space as those in bfloat16
    assert maintenance.delete(filled, ROUND) == 2
    with pytest.raises(StoreError):
        filled.embeddings(CONFIG.space, digests(1))
    assert len(filled.done(OTHER, digests(3))) == 3
    assert len(filled.members("mine")) == 5


def test_deleting_what_is_not_there_deletes_nothing(filled: Store):
    assert maintenance.delete(filled, replace(CONFIG, output="backbone")) == 0
    assert len(filled.done(CONFIG, digests(5))) == 5


def test_deleting_estimates_deletes_their_calibration_too(filled: Store):
    with filled.transaction() as cursor:
        cursor.execute("INSERT INTO calibrations VALUES ('key', '1', x'00'), ('another', '2', x'00')")
    assert maintenance.delete(filled, replace(OTHER, method="sketch:1")) == 4
    assert filled.select("SELECT id FROM calibrations") == [("2",)]


def test_deleting_the_pictures_leaves_the_scores(filled: Store):
    assert maintenance.delete_crops(filled) == 6
    assert filled.crops("{}", digests(1)) == {}
    assert len(filled.done(CONFIG, digests(5))) == 5


def test_what_is_deleted_is_given_back_to_the_disk(store: Store):
    big = np.ones(4096, np.float32)
    store.put(CONFIG, [Result(digest, big, big, 1.0, 0.5, "cpu") for digest in digests(100)])
    before = maintenance.size_on_disk(store)
    maintenance.delete(store, CONFIG)
    assert maintenance.size_on_disk(store) < before / 5


def test_shipped_scores_come_back_after_they_were_deleted(store: Store, monkeypatch, tmp_path: Path):
    for module in (shipped, maintenance):
        monkeypatch.setattr(module, "ASSETS", tmp_path)
    made = Store(tmp_path / "made.sqlite")
    made.put(CONFIG, results(5))
    made.put_members("mine", [Member(f"{n}", n, "", digest) for n, digest in enumerate(digests(5))])
    shipped.ship(made, CONFIG, ["mine"], tmp_path / "scores" / "tiny-projector.parquet")
    assert shipped.load_all_shipped(store) == []
    store.put(CONFIG, results(1, start=50))  # computed here
    assert maintenance.shipped_file(CONFIG) == "tiny-projector.parquet"
    assert maintenance.shipped_file(OTHER) is None
    assert maintenance.delete(store, CONFIG) == 6
    shipped.load_all_shipped(store)  # as the next start does
    assert len(store.scored(CONFIG, "mine")) == 5
    assert store.done(CONFIG, digests(1, start=50)) == set()


def test_the_version_changes_with_what_the_store_holds(filled: Store):
    before = maintenance.version(filled)
    assert maintenance.version(filled) == before
    filled.put(CONFIG, results(1, start=90))
    assert maintenance.version(filled) != before


# --- a copy -----------------------------------------------------------------------------------------------------------


def test_a_copy_is_one_file_with_everything(filled: Store, tmp_path: Path):
    path = tmp_path / "copy.sqlite"
    assert maintenance.export(filled, path) == path.stat().st_size
    assert [one.name for one in tmp_path.iterdir()] == ["copy.sqlite"]
    assert sorted(maintenance.holdings(Store(path)), key=repr) == sorted(maintenance.holdings(filled), key=repr)


def test_a_copy_replaces_the_one_before(filled: Store, tmp_path: Path):
    path = tmp_path / "copy.sqlite"
    maintenance.export(filled, path)
    filled.put(CONFIG, results(1, start=90))
    maintenance.export(filled, path)
    assert len(Store(path).done(CONFIG, digests(1, start=90))) == 1


def test_a_copy_that_is_cancelled_leaves_nothing(filled: Store, tmp_path: Path):
    filled.put(CONFIG, results(3000, start=1000))
    assert maintenance.export(filled, tmp_path / "copy.sqlite", cancelled=lambda: True) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_copy_that_cannot_be_written_is_one_sentence(filled: Store, tmp_path: Path):
    with pytest.raises(StoreError, match="The copy cannot be written to"):
        maintenance.export(filled, tmp_path / "nowhere" / "copy.sqlite")
    with pytest.raises(StoreError, match="which is the store itself"):
        maintenance.export(filled, filled.path)
    assert len(filled.done(CONFIG, digests(5))) == 5


def test_upkeep_is_for_the_owner_of_a_server_alone(filled: Store, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("JEPA_DATA_ROOTS", str(tmp_path))
    for forbidden in (
        lambda: maintenance.delete(filled, CONFIG),
        lambda: maintenance.delete_crops(filled),
        lambda: maintenance.export(filled, tmp_path / "copy.sqlite"),
    ):
        with pytest.raises(NotAllowed, match="which its visitors may not"):
            forbidden()
    assert len(filled.done(CONFIG, digests(5))) == 5
    assert maintenance.crops(filled).count == 6
    assert not (tmp_path / "copy.sqlite").exists()
    assert maintenance.holdings(filled)  # looking is allowed


def test_a_copy_holds_no_write_ahead_log(filled: Store, tmp_path: Path):
    maintenance.export(filled, tmp_path / "copy.sqlite")
    connection = sqlite3.connect(f"file:{tmp_path / 'copy.sqlite'}?mode=ro&immutable=1", uri=True)
    assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
    connection.close()
