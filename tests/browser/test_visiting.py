"""Short runs of `benchmarks/users.py` and `benchmarks/visitor.py`: visitors of a real server, without a browser."""

import asyncio
import signal
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest

from benchmarks import users, visitor
from benchmarks.serving import Served, server
from benchmarks.visiting import Session

Result = TypeVar("Result")

pytestmark = pytest.mark.browser  # a server of its own takes seconds to start


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """In a thread of its own: where tests with a browser ran before, the main one has a loop that does not end."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Path, Path, Path]]:
    """A hosted server, its root, the secret beside it, and its log."""
    given = tmp_path_factory.mktemp("given")
    root, beside = visitor.lay_out(given)
    environment = {"JEPA_DATA_ROOTS": str(root), "STREAMLIT_SERVER_ALLOWED_HOSTS": "127.0.0.1"}
    with server(given / "cache", environment, given / "log") as served:
        yield served, root, beside, given / "log"


def test_what_a_hostile_visitor_tries_is_refused(hosted: tuple[Served, Path, Path, Path]) -> None:
    served, root, beside, log = hosted
    tries = run(visitor.everything(served, root, beside, short=True))
    assert len(tries.rows) > 40
    assert [row for row in tries.rows if not row[3]] == []
    assert "Traceback" not in log.read_text(encoding="utf-8", errors="replace")


def test_visitors_beside_a_long_job_see_no_error(hosted: tuple[Served, Path, Path, Path]) -> None:
    served, root, _beside, log = hosted
    folders = users.fill(root.resolve(), folders=1, count=200)
    trial, memory = run(users.trial_of(served, folders, sessions=4, seconds=6, seed=0, arriving=1))
    assert sum(map(len, trial.seconds.values())) >= 4
    assert trial.wrong.total() == 0
    assert memory["most"] > 0
    assert "Traceback" not in log.read_text(encoding="utf-8", errors="replace")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_end_while_it_warms_up_says_nothing(tmp_path: Path, number: int) -> None:
    async def begin(address: str) -> None:
        async with Session(address) as owner:
            await owner.open("gallery", {})
            time.sleep(0.7)

    with server(tmp_path / "cache", log=tmp_path / "log") as served:
        run(begin(served.address))
        served.process.send_signal(number)
        assert served.process.wait(60) in (0, 1)
    said = (tmp_path / "log").read_text(encoding="utf-8", errors="replace")
    for word in ("Traceback", "Exception ignored", "nanobind"):
        assert word not in said


def test_a_server_that_is_told_to_end_during_a_job_ends_in_order(tmp_path: Path) -> None:
    folders = users.fill(tmp_path / "root", folders=1, count=300)

    async def begin(address: str) -> None:
        async with Session(address) as owner:
            await owner.open("gallery", users.JOB | {"encoder": "digits", "folder": folders[0]})
            time.sleep(1.5)

    with server(tmp_path / "cache", log=tmp_path / "log") as served:
        run(begin(served.address))
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(60) in (0, 1)
    assert "Traceback" not in (tmp_path / "log").read_text(encoding="utf-8", errors="replace")
    left = {path.name for path in (tmp_path / "cache").iterdir() if not path.name.startswith("store.sqlite")}
    assert left <= {"own-datasets.json"}  # the folder that was opened is remembered
