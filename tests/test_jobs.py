"""One queue, one worker: jobs in order, with progress, cancel and a sentence when they fail."""

import logging
import threading

import numpy as np
import pytest

from jepa_core.errors import DatasetError
from jepa_core.jobs import Job, JobQueue, State

SOON = 30  # seconds after which a test gives up


@pytest.fixture
def queue() -> JobQueue:
    return JobQueue()


class Held:
    """Work that says when it has begun and goes on when it is told to."""

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()

    def __call__(self, job: Job) -> str:
        job.report(1, 4)
        self.begun.set()
        assert self.go_on.wait(SOON)
        return "done"


@pytest.fixture
def held():
    """Work that keeps the worker busy; let go at the end, whatever happens."""
    work = Held()
    yield work
    work.go_on.set()


def test_a_job_gives_its_result(queue):
    job = queue.submit("key", "Counting", lambda job: job.key + "!")
    assert job.wait(SOON)
    assert (job.state, job.result, job.message, job.active) == (State.DONE, "key!", "", False)


def test_jobs_run_one_after_another_in_the_order_they_came(queue, held):
    order = []
    queue.submit("first", "First", held)
    later = [queue.submit(str(n), "Later", lambda _job, n=n: order.append(n)) for n in range(5)]
    assert held.begun.wait(SOON)
    assert [job.state for job in later] == [State.QUEUED] * 5
    assert order == []
    held.go_on.set()
    assert all(job.wait(SOON) for job in later)
    assert order == [0, 1, 2, 3, 4]


def test_progress_is_seen_while_the_job_runs(queue, held):
    job = queue.submit("key", "Counting", held)
    assert held.begun.wait(SOON)
    assert (job.state, job.done, job.total, job.active) == (State.RUNNING, 1, 4, True)
    assert job.seconds_left >= 0
    held.go_on.set()
    assert job.wait(SOON)


def test_before_the_first_step_nothing_is_estimated(queue, held):
    queue.submit("first", "First", held)
    assert queue.submit("second", "Second", held).seconds_left is None


def test_the_estimate_is_the_time_so_far_for_each_step_left(monkeypatch):
    job = Job("key", "Counting", lambda job: job.report(2, 10))
    monkeypatch.setattr("jepa_core.jobs.time.monotonic", lambda: 100.0)
    job.run()
    monkeypatch.setattr("jepa_core.jobs.time.monotonic", lambda: 103.0)
    assert job.seconds_left == pytest.approx(12.0)


def test_a_queued_job_that_is_cancelled_never_runs(queue, held):
    ran = []
    queue.submit("first", "First", held)
    job = queue.submit("second", "Second", ran.append)
    job.cancel()
    held.go_on.set()
    assert job.wait(SOON)
    assert (job.state, ran) == (State.CANCELLED, [])


def test_a_running_job_sees_that_it_is_cancelled_and_keeps_what_it_has(queue):
    begun = threading.Event()

    def work(job: Job) -> str:
        begun.set()
        while not job.cancelled():
            job.report(job.done + 1, 10**9)
        return "a part"

    job = queue.submit("key", "Counting", work)
    assert begun.wait(SOON)
    job.cancel()
    assert job.wait(SOON)
    assert (job.state, job.result) == (State.CANCELLED, "a part")


def test_a_failure_is_told_in_its_own_sentence_and_the_next_job_runs(queue):
    def work(_job: Job) -> None:
        raise DatasetError("The folder is gone; choose another.")

    failed = queue.submit("bad", "Scoring", work)
    fine = queue.submit("good", "Scoring", lambda _job: 1)
    assert fine.wait(SOON)
    assert (failed.state, failed.message) == (State.FAILED, "The folder is gone; choose another.")
    assert fine.state is State.DONE


def test_an_unexpected_failure_is_told_and_logged_with_its_trace(queue, caplog):
    with caplog.at_level(logging.ERROR, logger="jepa_core.jobs"):
        job = queue.submit("bad", "Scoring", lambda _job: 1 / 0)
        assert job.wait(SOON)
    assert job.state is State.FAILED
    assert job.message == (
        "Scoring failed unexpectedly (ZeroDivisionError: division by zero); the log has the details."
    )
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


def test_a_key_that_is_queued_or_running_is_not_queued_twice(queue, held):
    running = queue.submit("running", "First", held)
    queued = queue.submit("queued", "Second", lambda _job: None)
    assert held.begun.wait(SOON)
    assert queue.submit("running", "Again", lambda _job: None) is running
    assert queue.submit("queued", "Again", lambda _job: None) is queued


def test_a_key_that_has_finished_may_be_queued_again(queue):
    first = queue.submit("key", "First", lambda _job: 1)
    assert first.wait(SOON)
    second = queue.submit("key", "Second", lambda _job: 2)
    assert second.wait(SOON)
    assert (second.result, queue.get("key")) == (2, second)
    assert queue.get("another") is None


def test_old_jobs_are_forgotten_but_not_active_ones(queue, held):
    jobs = [queue.submit(str(n), "Job", lambda _job: None) for n in range(60)]
    assert jobs[-1].wait(SOON)
    running = queue.submit("running", "Job", held)
    assert len(queue.all()) <= 34
    assert queue.get("59") is jobs[59]
    assert queue.get("0") is None
    assert queue.get("running") is running


def test_an_urgent_job_goes_between_the_steps_of_the_running_one(queue):
    order = []
    started, go_on = threading.Event(), threading.Event()

    def steps(job):
        started.set()
        assert go_on.wait(SOON)
        for step in range(2):
            order.append(f"step {step}")
            job.report(step + 1, 2)

    long = queue.submit("long", "Long", steps)
    assert started.wait(SOON)
    waiting = queue.submit("waiting", "Waiting", lambda _job: order.append("ordinary"))
    urgent = queue.submit("urgent", "Urgent", lambda _job: order.append("urgent"), urgent=True)
    go_on.set()
    assert all(job.wait(SOON) for job in (long, waiting, urgent))
    assert order == ["step 0", "urgent", "step 1", "ordinary"]


def test_a_job_that_runs_again_is_the_youngest(queue):
    for key in ["first", *map(str, range(30)), "first"]:
        assert queue.submit(key, "Job", lambda _job: None).wait(SOON)
    assert queue.all()[-1].key == "first"


def test_a_job_that_still_waits_ends_at_once_when_it_is_cancelled(queue, held):
    queue.submit("first", "First", held)
    assert held.begun.wait(SOON)
    job = queue.submit("second", "Second", lambda _job: None)
    job.cancel()
    assert (job.state, job.active, job.wait(0)) == (State.CANCELLED, False, True)
    again = queue.submit("second", "Second", lambda _job: "done")
    held.go_on.set()
    assert again.wait(SOON)
    assert (again.result, job.state) == ("done", State.CANCELLED)


def test_what_failed_or_was_cancelled_can_be_tried_again(queue):
    tries = []

    def work(_job: Job) -> int:
        tries.append(True)
        if len(tries) == 1:
            raise DatasetError("The folder is gone; choose another.")
        return len(tries)

    failed = queue.submit("key", "Scoring", work, unit="MB")
    assert failed.wait(SOON)
    again = queue.retry(failed)
    assert again.wait(SOON)
    assert (again.state, again.result, again.title, again.unit) == (State.DONE, 2, "Scoring", "MB")
    assert queue.get("key") is again


def test_what_is_done_or_active_is_not_tried_again(queue, held):
    done = queue.submit("done", "Done", lambda _job: None)
    assert done.wait(SOON)
    assert queue.retry(done) is done
    running = queue.submit("running", "Running", held)
    assert held.begun.wait(SOON)
    assert queue.retry(running) is running


def test_how_long_a_job_ran_is_known_after_it_ended(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("jepa_core.jobs.time.monotonic", lambda: now[0])

    def work(job: Job) -> None:
        now[0] += 3
        job.report(1, 2)  # another part of the work begins here
        now[0] += 4

    job = Job("key", "Counting", work)
    assert job.seconds == 0
    job.run()
    now[0] += 100
    assert job.seconds == 7


def test_a_job_belongs_to_the_one_who_asked_first(held):
    visitors = iter(["first", "second"])
    queue = JobQueue(lambda: next(visitors))
    job = queue.submit("key", "Counting", held)
    assert queue.submit("key", "Counting", held) is job
    assert job.owner == "first"


def test_at_home_every_job_concerns_everybody_hosted_only_its_owner(monkeypatch):
    job = Job("key", "Counting", lambda _job: None, owner="first")
    assert job.concerns("first")
    assert job.concerns("second")
    monkeypatch.setenv("JEPA_DATA_ROOTS", "/data")
    assert job.concerns("first")
    assert not job.concerns("second")


def test_of_large_results_few_are_remembered_the_youngest_always(queue, monkeypatch):
    monkeypatch.setattr("jepa_core.jobs._KEPT_BYTES", 1000)
    for key, size in (("first", 50), ("second", 50), ("third", 200)):
        assert queue.submit(key, key, lambda _job, size=size: np.zeros(size)).wait(SOON)  # 8 bytes each
    assert queue.submit("fourth", "fourth", lambda _job: None).wait(SOON)
    assert [job.key for job in queue.all()] == ["third", "fourth"]
    assert queue.submit("fifth", "fifth", lambda _job: None).wait(SOON)
    assert [job.key for job in queue.all()] == ["fourth", "fifth"]


def test_a_queue_that_is_closed_ends_what_runs_at_its_next_step_and_takes_nothing_more():
    queue, begun = JobQueue(), threading.Event()

    def work(job: Job) -> None:
        begun.set()
        while not job.cancelled():
            job.report(1, 2)

    running, waiting = queue.submit("a", "A", work), queue.submit("b", "B", work)
    assert begun.wait(10)
    assert queue.close(10)
    late = queue.submit("c", "C", work)
    assert [job.state for job in (running, waiting, late)] == [State.CANCELLED] * 3


def test_a_queue_says_when_its_worker_did_not_stop_in_time():
    queue, begun, go_on = JobQueue(), threading.Event(), threading.Event()

    def work(_job: Job) -> None:
        begun.set()
        go_on.wait(10)

    queue.submit("a", "A", work)
    assert begun.wait(10)
    assert not queue.close(0.05)
    go_on.set()
    assert queue.close(10)


def test_work_that_is_lent_no_thread_as_the_program_ends_was_cancelled(queue, caplog):
    def work(_job):
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    job = queue.submit("key", "Scoring", work)
    assert job.wait(5)
    assert (job.state, job.message, caplog.records) == (State.CANCELLED, "", [])
