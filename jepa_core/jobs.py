"""One queue of work with one worker thread, progress and cancel.

Pages rerun on every click and must not compute; they submit a callable here and look at the job. The callable gets
the `Job`, reports through `job.report(done, total)` and stops when `job.cancelled` is set. One worker a device: two
computations at once on the same cores or card only slow each other down. An urgent job, for which a person is waiting,
goes before the others: it starts when the running one next reports.

A job has an owner, the visitor who first asked for it. Where a server has visitors, only the owner may know its title
and cancel it (`jepa_core.config.hosted`); who may is asked by `Job.concerns`.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum

from jepa_core.config import hosted
from jepa_core.errors import JepaError
from jepa_core.redaction import told, unforeseen

_log = logging.getLogger(__name__)
# Finished jobs that are remembered for the person who started them, and the bytes of their results: one Jacobian of a
# large encoder is hundreds of megabytes.
_KEPT = 32
_KEPT_BYTES = 2**29


class State(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


def _nothing() -> None:
    """Between the steps of a job that need not make way."""


def _nobody() -> str:
    """The owner of jobs where nobody asks who it is."""
    return ""


def _is_ending(error: Exception) -> bool:
    """Whether the program ends and lends no thread any more: Python says so a moment before its main thread is gone."""
    return isinstance(error, RuntimeError) and "interpreter shutdown" in str(error)


class Job:
    """One piece of work. `done` of `total` are steps, `message` is a sentence, `result` what the callable returned."""

    def __init__(
        self,
        key: str,
        title: str,
        work: Callable[["Job"], object],
        between: Callable[[], None] = _nothing,
        unit: str = "image",
        owner: str = "",
    ) -> None:
        self.key = key
        self.title = title
        self.unit = unit  # of the steps
        self.owner = owner
        self.state = State.QUEUED
        self.done = 0
        self.total = 0
        self.message = ""
        self.result: object = None
        self.partial: object = None  # what the work has found so far, for a page to show
        self.started: float | None = None  # the part of the work that `total` counts
        self.began: float | None = None  # the work as a whole
        self.ended: float | None = None
        self._work: Callable[[Job], object] | None = work
        self._between = between
        self._start = threading.Lock()
        self._cancel = threading.Event()
        self._finished = threading.Event()

    @property
    def active(self) -> bool:
        """Queued or running."""
        return self.state in (State.QUEUED, State.RUNNING)

    @property
    def seconds_left(self) -> float | None:
        """Estimated from the steps done so far; None before the first."""
        if not self.done or self.started is None:
            return None
        return (time.monotonic() - self.started) * (self.total - self.done) / self.done

    @property
    def seconds(self) -> float:
        """How long it has been running, or ran."""
        if self.began is None:
            return 0.0
        return (self.ended or time.monotonic()) - self.began

    @property
    def bytes(self) -> int:
        """Of its result, where that says how large it is."""
        return getattr(self.result, "nbytes", 0)

    def concerns(self, visitor: str) -> bool:
        """Whether a visitor may know its title and cancel it: at home everybody may, hosted its owner alone."""
        return not hosted() or self.owner == visitor

    def report(self, done: int, total: int) -> None:
        """Say how far the work is; another total is another part of it. Urgent jobs run before this returns."""
        if total != self.total:
            self.started = time.monotonic()
        self.done, self.total = done, total
        self._between()

    def cancelled(self) -> bool:
        """Whether the person asked to stop; the work looks at it between steps."""
        return self._cancel.is_set()

    def cancel(self) -> None:
        """Ask to stop; what still waits in the queue ends at once. What is finished stays."""
        self._cancel.set()
        with self._start:
            if self.state is State.QUEUED:
                self._end(State.CANCELLED)

    def wait(self, seconds: float) -> bool:
        """Wait until the job has ended, at most so long; return whether it has."""
        return self._finished.wait(seconds)

    def run(self) -> None:
        """Do the work; never raises."""
        with self._start:
            if self.state is not State.QUEUED:
                return
            self.state = State.RUNNING
        self.started = self.began = time.monotonic()
        self._end(self._outcome())

    def _outcome(self) -> State:
        assert self._work is not None
        try:
            self.result = self._work(self)
        except JepaError as error:
            self.message = told(error)
        except Exception as error:
            if not threading.main_thread().is_alive() or _is_ending(error):
                return State.CANCELLED
            _log.exception("Job %r failed", self.title)
            self.message = f"{self.title} failed unexpectedly ({unforeseen(error)}); the log has the details."
        else:
            return State.CANCELLED if self.cancelled() else State.DONE
        return State.FAILED

    def _end(self, state: State) -> None:
        self.ended = time.monotonic()
        if state is State.DONE:
            self._work = None  # it may hold uploads; what failed or was stopped may be tried again
        self.state = state
        self._finished.set()


class JobQueue:
    """Runs jobs one after another on a thread of its own; `visitor` says who submits one."""

    def __init__(self, visitor: Callable[[], str] = _nobody) -> None:
        self._visitor = visitor
        self._ordinary: deque[Job] = deque()
        self._urgent: deque[Job] = deque()
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._arrived = threading.Semaphore(0)
        threading.Thread(target=self._work, name="jepa-worker", daemon=True).start()

    def _work(self) -> None:
        while True:
            self._arrived.acquire()
            self._run_urgent()
            if self._ordinary:
                self._ordinary.popleft().run()

    def _run_urgent(self) -> None:
        while self._urgent:
            self._urgent.popleft().run()

    def submit(
        self, key: str, title: str, work: Callable[[Job], object], *, urgent: bool = False, unit: str = "image"
    ) -> Job:
        """Queue `work` unless a job of the same key is queued or running; return the job of that key."""
        with self._lock:
            job = self._jobs.get(key)
            if job is None or not job.active:
                self._jobs.pop(key, None)  # so that it becomes the youngest
                between = _nothing if urgent else self._run_urgent
                job = self._jobs[key] = Job(key, title, work, between, unit, self._visitor())
                if self._closed:
                    job.cancel()
                (self._urgent if urgent else self._ordinary).append(job)
                self._arrived.release()
                self._forget()
            return job

    def _forget(self) -> None:
        """The oldest of the finished jobs, where there are many or their results are large; never the youngest."""
        finished = [job for job in self._jobs.values() if not job.active]
        total = 0
        for place, job in enumerate(reversed(finished)):
            total += job.bytes
            if place and (place >= _KEPT or total > _KEPT_BYTES):
                del self._jobs[job.key]

    def retry(self, job: Job) -> Job:
        """Queue the work of a job that failed or was cancelled once more; return the job that has it now."""
        work = job._work
        if work is None or job.active:
            return job
        return self.submit(job.key, job.title, work, urgent=job._between is _nothing, unit=job.unit)

    def close(self, seconds: float) -> bool:
        """Cancel everything, take nothing more, and wait until the worker has stopped; whether it has in that time."""
        with self._lock:
            self._closed = True
            left = [job for job in self._jobs.values() if job.active]
        for job in left:
            job.cancel()
        end = time.monotonic() + seconds
        return all(job.wait(max(end - time.monotonic(), 0)) for job in left)

    def get(self, key: str) -> Job | None:
        """The latest job of a key, or None."""
        with self._lock:
            return self._jobs.get(key)

    def all(self) -> list[Job]:
        """The jobs that are remembered, oldest first."""
        with self._lock:
            return list(self._jobs.values())
