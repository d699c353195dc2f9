"""The store: nothing is lost, nothing is mixed up, several may write at once, and what goes wrong is one sentence."""

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, fields, replace
from pathlib import Path

import numpy as np
import pytest

from jepa_core.errors import StoreError
from jepa_core.jacobian.spectrum import Rank
from jepa_core.store import database
from jepa_core.store.records import Member, Result, ResultConfig
from jepa_core.store.results import Store
from jepa_core.store.schema import COLUMNS, STEPS

CONFIG = ResultConfig("weights", '{"mean": [0.5]}', "projector")


def result(digest: str, k: int = 4) -> Result:
    rng = np.random.default_rng(list(digest.encode()))
    spectrum, embedding = (rng.standard_normal(k).astype(np.float32) for _ in range(2))
    return Result(digest, spectrum, embedding, float(rng.random()), float(rng.random()), "cpu")


def results(*digests: str) -> list[Result]:
    return [result(digest) for digest in digests]


def members(*names: str) -> list[Member]:
    return [Member(name, position, "a class", f"digest of {name}") for position, name in enumerate(names)]


def same(one: Result, other: Result) -> bool:
    return all(
        np.array_equal(a, b) and a.dtype == b.dtype if isinstance(a, np.ndarray) else a == b
        for a, b in ((getattr(one, field.name), getattr(other, field.name)) for field in fields(Result))
    )


@pytest.fixture
def store() -> Store:
    return Store()


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", [field.name for field in fields(ResultConfig)])
def test_changing_any_part_of_the_config_is_another_result(store, field):
    other = replace(CONFIG, **{field: "another"})
    assert other.key != CONFIG.key
    store.put(CONFIG, results("a"))
    assert store.get(other, "a") is None
    assert store.done(other, ["a"]) == set()


@pytest.mark.parametrize(
    ("field", "is_another"),
    [
        ("weights", True),
        ("transform", True),
        ("output", True),
        ("method", False),
        ("precision", False),
        ("view", False),
    ],
)
def test_the_embedding_space_does_not_depend_on_how_the_score_was_computed(field, is_another):
    assert (replace(CONFIG, **{field: "another"}).space != CONFIG.space) is is_another


def test_another_picture_is_another_result(store):
    store.put(CONFIG, results("a"))
    assert store.get(CONFIG, "b") is None


# --- round trips ------------------------------------------------------------------------------------------------------


def test_a_result_comes_back_bit_for_bit_also_in_another_process_run(store):
    extreme = replace(
        result("a"),
        spectrum=np.array([3.4e38, 1e-45, 0.0, np.float32(1) / 3], dtype=np.float32),
        squared_norm=0.1 + 0.2,
    )
    store.put(CONFIG, [extreme, *results("b")])
    for opened in (store, Store()):
        assert same(opened.get(CONFIG, "a"), extreme)
        assert same(opened.get(CONFIG, "b"), result("b"))


def test_a_result_that_is_there_already_stays(store):
    store.put(CONFIG, results("a"))
    store.put(CONFIG, [replace(result("a"), squared_norm=99.0), result("b")])
    assert same(store.get(CONFIG, "a"), result("a"))
    assert store.done(CONFIG, ["a", "b", "c"]) == {"a", "b"}


def test_rows_are_the_results_of_a_datasets_members_in_its_order(store):
    named = [Member("2", 1, "x", "b"), Member("1", 0, "y", "a"), Member("3", 2, "x", "a"), Member("4", 3, "x", "none")]
    store.put_members("set", named)
    store.put_members("other", [Member("1", 0, "y", "c")])
    store.put(CONFIG, results("a", "b", "c"))
    rows = store.rows(CONFIG, "set")
    assert [(member.name, member.digest) for member in rows.members] == [("1", "a"), ("2", "b"), ("3", "a")]
    assert np.array_equal(rows.spectra, [result(digest).spectrum for digest in "aba"])
    assert rows.squared_norm.tolist() == [result(digest).squared_norm for digest in "aba"]
    assert len(store.scored(CONFIG, "set")) == 3


def test_an_unknown_dataset_has_no_rows(store):
    rows = store.rows(CONFIG, "nothing")
    assert (rows.members, rows.spectra.shape, rows.device) == ([], (0, 0), [])
    assert store.scored(CONFIG, "nothing") == {}


def test_embeddings_come_in_the_order_asked_for_however_many(store):
    digests = [str(number) for number in range(1203)]  # more than one statement of SQLite takes
    store.put(CONFIG, results(*digests))
    asked = digests[::-1]
    assert np.array_equal(
        store.embeddings(CONFIG.space, asked), np.stack([result(digest).embedding for digest in asked])
    )
    assert store.done(CONFIG, [*digests, "missing"]) == set(digests)


def test_a_missing_embedding_is_told(store):
    store.put(CONFIG, results("a"))
    with pytest.raises(StoreError, match="2 of 3 embeddings are not in the store; score the images first"):
        store.embeddings(CONFIG.space, ["a", "b", "c"])


def test_members_are_replaced_by_name_and_forgotten_by_name(store):
    store.put_members("set", members("a", "b", "c"))
    store.put_members("set", [Member("b", 7, "new class", "new digest")])
    store.forget_members("set", ["a"])
    assert store.members("set") == [members("a", "b", "c")[2], Member("b", 7, "new class", "new digest")]


def test_the_first_rank_recorded_stands(store):
    assert store.rank("space") is None
    assert store.put_rank("space", Rank(14, "first")) == Rank(14, "first")
    assert store.put_rank("space", Rank(15, "second")) == Rank(14, "first")


def test_crops_are_kept_by_transform_and_picture(store):
    store.put_crops("one", {"a": b"png"})
    assert (store.crops("one", ["a", "b"]), store.crops("two", ["a"])) == ({"a": b"png"}, {})


def test_measures_are_kept_by_their_space_and_the_newest_stand(store):
    one, other = np.array([1, 2.5], np.float32), np.array([3, 4], np.float32)
    store.put_measures("space", {"a": other, "b": one})
    store.put_measures("space", {"a": one})
    found = Store().measures("space", ["a", "b", "c"])
    assert {digest: vector.tolist() for digest, vector in found.items()} == {"a": [1, 2.5], "b": [1, 2.5]}
    assert store.measures("another", ["a"]) == {}


def older(path: Path, version: int) -> None:
    """A store of a former format with one result."""
    connection = sqlite3.connect(path)
    for step in STEPS[:version]:
        connection.executescript(step)
    one = result("a")
    rows = {
        "configs": (1, CONFIG.key, *astuple(CONFIG)),
        "results": (1, "a", one.spectrum.tobytes(), 1.0, 1.0, "cpu"),
        "embeddings": (CONFIG.space, "a", one.embedding.tobytes()),
        "members": ("set", "one", 0, "", "a"),
    }
    for table, row in rows.items():  # as those written before rows had sums
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO {table} ({', '.join(COLUMNS[table])}) VALUES ({marks})", row)
    connection.commit()
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()


@pytest.mark.parametrize("version", range(1, len(STEPS)))
def test_a_store_of_an_older_version_gets_what_it_lacks(cache, version):
    older(cache / "store.sqlite", version)
    newer = Store()
    newer.put_measures("space", {"a": np.ones(2, np.float32)})
    newer.put(CONFIG, results("b"))
    newer.put_members("set", [Member("two", 1, "", "b")])
    assert np.array_equal(newer.rows(CONFIG, "set").spectra, [result("a").spectrum, result("b").spectrum])
    newer.check()


# --- several processes ------------------------------------------------------------------------------------------------


def _write(path: Path, first: int, barrier) -> None:
    barrier.wait()
    opened = Store(path)  # both create it at the same moment
    for start in range(first, first + 200, 5):
        digests = [str(number) for number in range(start, start + 5)]
        opened.put(CONFIG, results(*digests))
        opened.put_members("set", [Member(digest, int(digest), "", digest) for digest in digests])


def test_two_processes_write_at_once_and_every_row_is_there_once(cache):
    path = cache / "store.sqlite"
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    writers = [spawn.Process(target=_write, args=(path, first, barrier)) for first in (0, 100)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    rows = Store(path).rows(CONFIG, "set")
    assert [member.digest for member in rows.members] == [str(number) for number in range(300)]
    assert np.array_equal(rows.spectra, [result(str(number)).spectrum for number in range(300)])


def test_a_reader_is_not_held_up_by_a_writer(store):
    store.put(CONFIG, results("a"))
    other = Store()
    with store.transaction() as cursor:
        cursor.execute("DELETE FROM results")
        assert other.done(CONFIG, ["a"]) == {"a"}


def test_two_threads_may_use_one_store(store):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: store.put(CONFIG, results(str(number), str(number + 1))), range(40)))
    assert store.done(CONFIG, [str(number) for number in range(41)]) == {str(number) for number in range(41)}


def test_every_threads_connection_is_set_up_alike(store):
    def synchronous() -> int:
        return store._connection().execute("PRAGMA synchronous").fetchone()[0]

    with ThreadPoolExecutor(1) as pool:
        assert (synchronous(), pool.submit(synchronous).result()) == (1, 1)  # 1 is NORMAL, 2 the default FULL


def test_an_error_in_the_middle_of_a_batch_leaves_nothing_of_it(store):
    store.put(CONFIG, results("a"))
    with pytest.raises(AttributeError):
        store.put(CONFIG, [result("b"), "not a result"])
    assert store.done(CONFIG, ["a", "b"]) == {"a"}
    store.put(CONFIG, results("b"))  # and the store is not left inside a transaction
    assert store.done(CONFIG, ["b"]) == {"b"}


# --- damage -----------------------------------------------------------------------------------------------------------


def garbage(path: Path) -> None:
    path.write_bytes(b"this is not a database" * 500)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def filled_and_closed() -> Path:
    """A store with rows, all of them in its main file, as after the process that wrote it has ended."""
    opened = Store()
    opened.put(CONFIG, results(*(str(number) for number in range(300))))
    opened.close()
    return opened.path


@pytest.mark.parametrize("spoil", [garbage, cut])
def test_a_damaged_store_is_set_aside_with_a_sentence_and_a_new_one_works(cache, spoil):
    path = filled_and_closed()
    spoil(path)
    damaged = path.read_bytes()
    opened = Store()
    (aside,) = cache.glob("store.sqlite.damaged-*")
    assert aside.read_bytes() == damaged
    assert opened.notice.startswith(f"The store {path} was damaged (")
    assert opened.notice.endswith(
        f"it was kept as {aside.name} and a new one was started; missing scores are computed again."
    )
    opened.put(CONFIG, results("a"))
    assert Store().done(CONFIG, ["a", "1"]) == {"a"}
    assert Store().notice is None


def test_a_store_of_a_newer_version_is_told_and_left_alone(store):
    store.put(CONFIG, results("a"))
    store._connection().execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match=r"has format 99; this version reads format \d; update the explorer, or set"):
        Store()
    assert store.done(CONFIG, ["a"]) == {"a"}


def test_a_full_disk_is_told_in_a_sentence_and_earlier_rows_stay(store):
    store.put(CONFIG, results("a"))
    pages = store._connection().execute("PRAGMA page_count").fetchone()[0]
    store._connection().execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(
        StoreError,
        match=r"^Results cannot be kept in .* \(database or disk is full\); a folder that can be written and",
    ):
        store.put(CONFIG, [result(str(number), k=2000) for number in range(10)])
    assert same(store.get(CONFIG, "a"), result("a"))
    store._connection().execute("PRAGMA max_page_count = 100000")
    store.put(CONFIG, results("b"))
    assert Store().done(CONFIG, ["a", "b", "0"]) == {"a", "b"}


def as_nobody(work: Callable[[], str]) -> str:
    """What `work` returns in a child process that is not root, since for root no folder is read-only."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            answer = work()
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


@pytest.fixture
def read_only() -> Iterator[Path]:
    """A folder that others may enter but not write. pytest's own folders are closed to others."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)


@pytest.mark.parametrize("inside", ["store.sqlite", "deeper/store.sqlite"])
def test_a_read_only_folder_is_told_in_a_sentence(read_only, inside):
    path = read_only / inside
    answer = as_nobody(lambda: str(Store(path)))
    assert answer.startswith(f"StoreError: Results cannot be kept in {path.parent} (")
    assert answer.endswith("a folder that can be written and has room is needed; set JEPA_CACHE to one.")


def test_a_store_that_may_be_read_but_not_written_can_be_read(read_only):
    read_only.chmod(0o755)
    path = read_only / "store.sqlite"
    opened = Store(path)
    opened.put(CONFIG, results("a"))
    read_only.chmod(0o555)
    assert as_nobody(lambda: str(Store(path).done(CONFIG, ["a", "b"]))) == "{'a'}"
    answer = as_nobody(lambda: str(Store(path).put(CONFIG, results("b"))))
    assert answer.startswith("StoreError: Results cannot be kept in ")
    assert opened.done(CONFIG, ["a", "b"]) == {"a"}
    assert [found.name for found in read_only.glob("*damaged*")] == []


def test_a_cache_folder_that_is_a_file_is_told_in_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JEPA_CACHE", str(tmp_path / "file"))
    with pytest.raises(StoreError, match=r"^Results cannot be kept in .*; set JEPA_CACHE to one\.$"):
        Store()


def test_a_writer_that_waits_in_vain_is_told(store, monkeypatch):
    monkeypatch.setattr(database, "_PATIENCE", 0.05)
    other = Store()
    with (
        store.transaction(),
        pytest.raises(StoreError, match="database is locked") as caught,
    ):
        other.put(CONFIG, results("a"))
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)


def test_changes_tell_of_every_commit_and_of_nothing_else(store):
    before = store.changes()
    store.members("set")
    assert store.changes() == before
    store.put_crops("one", {"a": b"png"})
    own = store.changes()
    assert own != before
    Store().put_crops("one", {"b": b"png"})
    assert store.changes() != own
    other = store.changes()
    subprocess.run(
        [sys.executable, "-c", "from jepa_core.store.results import Store; Store().put_crops('two', {'a': b'png'})"],
        check=True,
    )
    assert store.changes() != other


def test_rows_come_in_blocks_as_they_come_at_once(store):
    many = [f"{place:064x}" for place in range(25)]
    store.put(CONFIG, [replace(result("a"), digest=one) for one in many[:20]])
    store.put_members("set", [Member(one, 25 - place, "x", one) for place, one in enumerate(many)])
    whole, blocks = store.rows(CONFIG, "set"), list(store.row_blocks(CONFIG, "set", 6))
    assert [member for block in blocks for member in block.members] == whole.members
    assert np.array_equal(np.concatenate([block.spectra for block in blocks]), whole.spectra)
    assert np.array_equal(np.concatenate([block.squared_norm for block in blocks]), whole.squared_norm)
    assert [device for block in blocks for device in block.device] == whole.device
    assert max(len(block.members) for block in blocks) <= 6
    assert list(store.row_blocks(CONFIG, "none")) == []
