"""Files are written whole or not at all, and what killed writers left is removed, and nothing else."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from jepa_core import files


def gone() -> int:
    """The id of a process that is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left(pid: int, stem: str = ".table", suffix: str = ".csv", host: str = files._HOST) -> str:
    return f"{stem}.jepa-{host}-{pid}-1-{suffix}"


def killed(folder: Path, name: str) -> None:
    """A writer of that file, killed half-way."""
    code = (
        "import os, signal, sys; from pathlib import Path; from jepa_core.files import replace_file\n"
        "def half(to): to.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
        "replace_file(Path(sys.argv[1]), half)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder / name)], check=False)


def test_what_a_killed_writer_left_is_gone_with_the_next_file_and_the_old_one_stays(tmp_path):
    (tmp_path / "table.csv").write_text("old")
    killed(tmp_path, "table.csv")
    assert len(list(tmp_path.iterdir())) == 2
    assert (tmp_path / "table.csv").read_text() == "old"
    files.replace_file(tmp_path / "other.csv", lambda to: to.write_text("new"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.csv", "table.csv"]


def test_only_what_a_dead_process_of_this_machine_left_is_removed(tmp_path):
    dead = gone()
    going = [left(dead), left(dead, ".store", ".sqlite-journal"), left(dead, "jepa-score-", "xyz")]
    staying = [
        left(os.getpid()),
        left(dead, host="00000000"),
        f".table.{dead}.csv",
        ".hidden",
        "table.csv",
        f".store.{dead}.sqlite",  # of a former version, but young: perhaps of another machine
    ]
    for name in going + staying:
        (tmp_path / name).write_text("")
    old = tmp_path / f".export.{dead}.sqlite"
    old.write_text("")
    os.utime(old, (0, 0))
    files.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(staying)


def test_folders_are_swept_as_deep_as_asked(tmp_path):
    deep = tmp_path / "one" / "two"
    deep.mkdir(parents=True)
    for folder in (deep, deep.parent):
        (folder / left(gone())).write_text("")
    files.sweep(tmp_path, depth=1)
    assert [len(list(folder.glob(".*"))) for folder in (deep.parent, deep)] == [0, 1]
    files.sweep(tmp_path / "not there")


@pytest.mark.parametrize("name", ["x" * 250 + ".csv", "ü" * 120 + ".csv", "no-suffix", "a.b.c.parquet"])
def test_a_file_of_any_name_is_written(tmp_path, name):
    files.replace_file(tmp_path / name, lambda to: to.write_text("new"))
    assert (tmp_path / name).read_text() == "new"


def test_two_threads_may_write_one_file(tmp_path):
    both = threading.Barrier(2)

    def write(text: str) -> None:
        files.replace_file(tmp_path / "file", lambda to: (to.write_text(text), both.wait(), both.wait()))

    threads = [threading.Thread(target=write, args=(text,)) for text in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() in ("one", "two")


def test_a_temporary_folder_of_a_killed_program_is_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(files.tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"jepa-score-jepa-{files._HOST}-{gone()}-1-abc").mkdir()
    with files.temporary_folder() as folder:
        assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert list(tmp_path.iterdir()) == []
