"""Scoring by Ray: the rows of one process, after a killed worker, too. What needs Ray itself is run by .ci/run."""

import contextlib
import json
import os
import pickle
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from jepa_core.datasets.registry import get_dataset
from jepa_core.errors import JepaError
from jepa_core.scoring import on_ray
from jepa_core.scoring.batches import exact_work
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.image_run import RunSummary
from jepa_core.scoring.method import ScoringMethod
from jepa_core.scoring.on_ray import RayJob
from jepa_core.scoring.parts import listing_of, merge_parts
from jepa_core.scoring.run import ScoringRun
from jepa_core.store.parts import PartFolder
from jepa_core.store.results import Store

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


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # what Ray remarks on its own use
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


@pytest.mark.parametrize(
    ("cluster", "megabytes", "device", "actors", "each"),
    [
        ({"CPU": 16.0, "GPU": 2.0}, 350.0, None, 2, {"num_gpus": 1}),
        ({"CPU": 16.0, "GPU": 2.0}, 350.0, "cpu", 16, {"num_cpus": 1}),
        ({"CPU": 16.0}, 2500.0, None, 4, {"num_cpus": 4}),
        ({"CPU": 2.0}, 2500.0, None, 1, {"num_cpus": 2}),
        ({}, 3.0, None, 1, {"num_cpus": 1}),
    ],
)
def test_an_actor_takes_a_card_or_a_core_or_a_few_where_weights_are_large(cluster, megabytes, device, actors, each):
    assert on_ray._actors(cluster, megabytes, device) == (actors, each)


def test_units_are_whole_batches_of_what_no_file_has(job):
    listing = listing_of(job.dataset, job.output)
    units = job._units(listing, RunSummary(), on_cards=False)
    batch = exact_work(job.output).size
    assert [position for unit in units for position in unit["positions"]] == [item.position for item in job.items]
    assert all(len(unit["positions"]) % batch == 0 for unit in units[:-1])
    actor = on_ray._Worker(job.output, job.method, job.parts, listing, "cpu").made()
    _give(actor, job, units[0]["positions"])
    summary = RunSummary()
    assert job._units(listing, summary, on_cards=False) == units[1:]
    assert summary.reused == len(units[0]["positions"])


def test_what_a_task_could_not_read_is_told_by_its_worker(job):
    actor = on_ray._Worker(job.output, job.method, job.parts, listing_of(job.dataset, job.output), "cpu").made()
    found = _give(actor, job, [0, 1, 2], unreadable=1)
    assert found["failed"] == [[job.dataset.item(1).name, "It is gone."]]
    assert found["scored"] == 2


def _give(actor, job: RayJob, positions: list[int], unreadable: int | None = None) -> dict:
    items = [job.dataset.item(position) for position in positions]
    unit = [(i.position, i.label, i.name, "It is gone." if i.position == unreadable else i.read()) for i in items]
    return json.loads(actor({"unit": [pickle.dumps(unit)]})["summary"][0])


def test_a_worker_with_other_weights_is_told(job):
    wanted = replace(job.output.config(), weights="others")
    listing = listing_of(job.dataset, job.output)
    with pytest.raises(JepaError, match=r"A worker has another encoder 'digits' than the machine that asked"):
        on_ray._scorer(("digits", "projector"), wanted, job.method, PartFolder(job.parts), listing, "cpu")
