"""Scoring by Ray on this machine: the rows of one process, after a killed worker, too. Run by .ci/run."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from jepa_core.datasets.registry import get_dataset
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ScoringMethod
from jepa_core.scoring.on_ray import RayJob
from jepa_core.scoring.parts import merge_parts
from jepa_core.scoring.run import ScoringRun
from jepa_core.store.parts import PartFolder
from jepa_core.store.results import Store

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore")]  # what Ray remarks on its own use

COLUMNS = {
    "members": "dataset, name, position, label, digest",
    "results": "digest, spectrum, squared_norm, device",
    "embeddings": "space, digest, vector",
    "measures": "space, digest, vector",
    "ranks": "space, rank, reason",
}


def content(store: Store) -> dict[str, list[tuple]]:
    return {table: sorted(store.select(f"SELECT {columns} FROM {table}")) for table, columns in COLUMNS.items()}


@pytest.fixture
def job(tmp_path: Path) -> RayJob:
    from jepa_core.encoders.registry import load_encoder

    output, dataset = EncoderOutput.of(load_encoder("digits", "cpu")), get_dataset("digits-test#150")
    return RayJob(output, dataset, list(dataset.items()), ScoringMethod(), str(tmp_path / "parts"), device="cpu")


@pytest.fixture
def expected(job: RayJob, tmp_path: Path) -> dict[str, list[tuple]]:
    store = Store(tmp_path / "plain.sqlite")
    ScoringRun.of_dataset(store, job.output, job.dataset, job.method).score()
    return content(store)


def _actors() -> list[int]:
    """The processes of this test's actors, by /proc."""
    commands, parents = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
            commands[int(stat.parent.name)] = stat.with_name("cmdline").read_text(errors="replace")

    def is_mine(process: int) -> bool:
        return process == os.getpid() or (process in parents and is_mine(parents[process]))

    return [process for process, command in commands.items() if "MapWorker" in command and is_mine(process)]


def _kill_one_actor_once_there_are_parts(folder: Path, killed: list[int]) -> None:
    while not killed:
        time.sleep(0.05)
        if any(folder.rglob("*.parquet")):
            for process in _actors()[:1]:
                os.kill(process, signal.SIGKILL)
                killed.append(process)


def test_the_rows_are_those_of_one_process_and_a_killed_worker_takes_none_along(job, expected, store):
    killed: list[int] = []
    killer = threading.Thread(target=_kill_one_actor_once_there_are_parts, args=(Path(job.parts), killed), daemon=True)
    killer.start()
    summary = job.score()
    assert killed
    assert summary.failed == []
    assert summary.done == 150
    merge_parts(store, PartFolder(job.parts))
    assert content(store) == expected
    assert job.score().scored == 0  # nothing is done again
