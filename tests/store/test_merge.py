"""Importing a store: what is new comes in, what is here stays, and a file that is no store changes nothing."""

import io
import re
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jepa_core.errors import NotAllowed, StoreError
from jepa_core.jacobian.spectrum import Rank
from jepa_core.store import maintenance, merge, sketches
from jepa_core.store.records import Estimate, Member, Result, ResultConfig
from jepa_core.store.results import Store
from jepa_core.store.schema import COLUMNS, STEPS

CONFIG = ResultConfig("weights", "{}", "projector")
SKETCH = replace(CONFIG, method="sketch:1")
K = 4
PNG = b"\x89PNG\r\n\x1a\n..."


def digest(number: int) -> str:
    return f"{number:064x}"


def result(number: int, value: float = 1.0, k: int = K) -> Result:
    vector = np.full(k, value, np.float32)
    return Result(digest(number), vector, vector, value, 0.5, "cpu")


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """Another computer's store, copied into one file."""
    other = Store(tmp_path / "other" / "store.sqlite")
    other.put(replace(CONFIG, weights="first"), [result(99)])  # so that its configs have other numbers than ours
    other.put(CONFIG, [result(n, value=2.0) for n in range(4)])
    sketches.put_estimates(other, SKETCH, [Estimate(digest(9), 1.0, 0.0, 2.0, False, 1.0, 0.25, "cpu")])
    other.put_rank(CONFIG.space, Rank(3, "said so"))
    other.put_crops("{}", {digest(0): PNG})
    other.put_measures("measures", {digest(0): np.array([1.0, np.nan], np.float32)})
    other.put_members("folder:/theirs", [Member("1.png", 0, "cat", digest(1))])
    other.put_members("digits-test", [Member("not one of them", 0, "cat", digest(1))])
    other.put_shipped("digits-projector.parquet", "digest")
    path = tmp_path / "theirs.sqlite"
    maintenance.export(other, path)
    return path


def test_what_is_new_comes_in_and_what_is_here_stays(store: Store, theirs: Path):
    store.put(CONFIG, [result(0, value=7.0)])
    steps = []
    merged = merge.merge(store, theirs, lambda done, total: steps.append((done, total)))
    assert (merged.results, merged.estimates, merged.embeddings, merged.crops) == (4, 1, 4, 1)
    assert store.get(CONFIG, digest(0)).spectrum.tolist() == [7.0] * K
    assert store.get(CONFIG, digest(3)).spectrum.tolist() == [2.0] * K
    assert store.get(replace(CONFIG, weights="first"), digest(99)) is not None
    assert store.there("estimates", SKETCH, [digest(9)]) == {digest(9)}
    assert store.rank(CONFIG.space) == Rank(3, "said so")
    assert store.crops("{}", [digest(0)]) == {digest(0): PNG}
    assert list(store.measures("measures", [digest(0)])) == [digest(0)]
    assert [member.name for member in store.members("folder:/theirs")] == ["1.png"]
    assert steps[-1][0] == steps[-1][1]


def test_bundled_datasets_and_shipped_tables_are_left_as_they_are(store: Store, theirs: Path):
    merge.merge(store, theirs)
    assert store.members("digits-test") == []
    assert store.shipped("digits-projector.parquet") is None


def test_a_second_import_finds_nothing_new(store: Store, theirs: Path):
    merge.merge(store, theirs)
    again = merge.merge(store, theirs)
    assert (again.results, again.estimates, again.embeddings, again.crops, again.others) == (0, 0, 0, 0, 0)
    assert again.in_words().startswith("New here: 0 full scores")


def test_the_file_itself_is_left_as_it_was(store: Store, theirs: Path):
    before = theirs.read_bytes()
    theirs.chmod(0o400)
    merge.merge(store, theirs)
    assert theirs.read_bytes() == before
    assert sorted(path.name for path in theirs.parent.iterdir()) == ["other", "theirs.sqlite"]


def test_an_upload_is_imported_too(store: Store, theirs: Path):
    assert merge.merge_bytes(store, theirs.read_bytes()).results == 5


def test_a_store_of_an_older_format_is_accepted(store: Store, tmp_path: Path):
    path = tmp_path / "old.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(STEPS[0])
    connection.execute("PRAGMA user_version = 1")
    connection.execute("INSERT INTO ranks VALUES (?, 3, 'said so')", (CONFIG.space,))
    connection.commit()
    connection.close()
    assert merge.merge(store, path).others == 1


def test_an_import_that_is_cancelled_keeps_what_has_arrived(store: Store, theirs: Path):
    answers = iter([False, False])
    merged = merge.merge(store, theirs, cancelled=lambda: next(answers, True))
    assert merged.cancelled
    assert "stopped" in merged.in_words()
    assert len(store.embeddings(CONFIG.space, [digest(3)])) == 1
    assert store.get(CONFIG, digest(3)) is None


def _listed(found: re.Match) -> str:
    return f"INTO {found[1]} ({', '.join(COLUMNS[found[1]])}) VALUES"


def _add(sql: str, *values: object) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.execute(re.sub(r"INTO (\w+) VALUES", _listed, sql), values)
        connection.commit()
        connection.close()

    return spoil


def _write(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data) and None


def _cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _pickled() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, directions=np.array([{"a": 1}], dtype=object))
    return buffer.getvalue()


FLOATS = np.ones(K, np.float32).tobytes()
SPOILED = [
    ("it is no SQLite file", _write(b"not a store")),
    ("it is no SQLite file", _write(b"")),
    ("", _cut),
    ("", _write(b"SQLite format 3\0")),
    ("its format is 0", _add("PRAGMA user_version = 0")),
    ("its format is 99", _add("PRAGMA user_version = 99")),
    ("its tables are not those", _add("CREATE TABLE more (x)")),
    ("its tables are not those", _add("DROP TABLE members")),
    ("its tables are not those", _add("CREATE VIEW v AS SELECT 1")),
    (
        "its tables are not those",
        _add("CREATE TRIGGER t AFTER INSERT ON ranks BEGIN DELETE FROM results; END"),
    ),
    ("its tables are not those", _add("ALTER TABLE results RENAME COLUMN device TO place")),
    ("table results", _add("INSERT INTO results VALUES (2, 'short', ?, 1, 1, 'cpu')", FLOATS)),
    ("table results", _add("INSERT INTO results VALUES (2, ?, ?, 1, 1, 'cpu')", digest(50), b"odd")),
    ("table results", _add("INSERT INTO results VALUES (2, ?, ?, 1, 1, 'cpu')", digest(50), FLOATS + FLOATS)),
    ("table results", _add("INSERT INTO results VALUES (77, ?, ?, 1, 1, 'cpu')", digest(50), FLOATS)),
    ("table results", _add("INSERT INTO results VALUES (2, ?, ?, 'x', 1, 'cpu')", digest(50), FLOATS)),
    ("table results", _add("INSERT INTO results VALUES (2, ?, ?, 9e999, 1, 'cpu')", digest(50), FLOATS)),
    (
        "table results",
        _add("INSERT INTO results VALUES (2, ?, ?, 1, 1, 'cpu')", digest(50), np.full(K, np.nan, np.float32).tobytes()),
    ),
    ("table embeddings", _add("INSERT INTO embeddings VALUES (?, ?, ?)", CONFIG.space, digest(50), FLOATS * 2)),
    ("table embeddings", _add("INSERT INTO embeddings VALUES ('space', ?, ?)", digest(50), FLOATS)),
    ("table crops", _add("INSERT INTO crops VALUES (?, ?, ?)", digest(1), digest(1), b"<svg onload=...>")),
    ("table members", _add("INSERT INTO members VALUES ('d', 'n', -1, '', ?)", digest(1))),
    ("table members", _add("INSERT INTO members VALUES ('d', ?, 1, '', ?)", "n" * 20_000, digest(1))),
    ("table ranks", _add("INSERT INTO ranks VALUES (?, 0, '')", digest(1))),
    ("table precisions", _add("INSERT INTO precisions VALUES (?, 'fp8', 1)", digest(1))),
    ("table calibrations", _add("INSERT INTO calibrations VALUES (?, 'id', ?)", digest(1), b"no arrays")),
    ("table calibrations", _add("INSERT INTO calibrations VALUES (?, 'id', ?)", digest(1), _pickled())),
    ("table estimates", _add("INSERT INTO estimates VALUES (77, ?, 1, 1, 1, 0, 1, 1, 'cpu')", digest(1))),
    ("", _add("INSERT INTO crops VALUES (?, ?, zeroblob(20000000))", digest(1), digest(1))),
]


@pytest.mark.parametrize(("why", "spoil"), SPOILED)
def test_what_is_no_whole_store_is_refused_in_one_sentence(store: Store, theirs: Path, why: str, spoil) -> None:
    spoil(theirs)
    with pytest.raises(StoreError) as caught:
        merge.merge(store, theirs)
    message = str(caught.value)
    assert message.startswith("theirs.sqlite cannot be imported (")
    assert why in message
    assert message.endswith("is accepted; export it again where it is from.")
    assert "\n" not in message


def test_a_spoiled_table_does_not_come_in_at_all(store: Store, theirs: Path):
    _add("INSERT INTO results VALUES (2, 'short', ?, 1, 1, 'cpu')", FLOATS)(theirs)
    with pytest.raises(StoreError):
        merge.merge(store, theirs)
    assert store.get(CONFIG, digest(3)) is None


def test_the_store_itself_and_what_is_not_there_are_refused(store: Store, tmp_path: Path):
    with pytest.raises(StoreError, match="it is the store itself"):
        merge.merge(store, store.path)
    with pytest.raises(StoreError, match="No such file"):
        merge.merge(store, tmp_path / "nowhere.sqlite")


def test_a_store_that_is_too_large_is_refused(store: Store, theirs: Path, monkeypatch):
    monkeypatch.setattr(merge, "MOST_STORE_BYTES", 1000)
    with pytest.raises(StoreError, match="cannot be imported"):
        merge.merge(store, theirs)


def test_visitors_of_a_server_import_nothing(store: Store, theirs: Path, monkeypatch):
    monkeypatch.setenv("JEPA_DATA_ROOTS", str(theirs.parent))
    for forbidden in (lambda: merge.merge(store, theirs), lambda: merge.merge_bytes(store, theirs.read_bytes())):
        with pytest.raises(NotAllowed, match="import a store, which its visitors may not"):
            forbidden()
    assert maintenance.holdings(store) == []
