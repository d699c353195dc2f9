"""Decoding in processes that can be killed, since what a file says of its cost is not believed.

A picture from outside is handed to a child (`jepa_core.decoding.sandbox_worker`), which has Pillow and nothing of ours
to lose. It may take SECONDS of the processor and EXTRA bytes above its pixels; it is killed where it takes more, and at
once where the work is cancelled. A child serves one picture after another; one that was killed is replaced. Children
start when the first picture comes, leave when this process does, and are never more than MOST_CHILDREN.
"""

import atexit
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any

from jepa_core.config import ROOT, hosted
from jepa_core.decoding.decode import MAX_MEGAPIXELS
from jepa_core.errors import BadImage, JepaError
from jepa_core.progress import Cancelled, never

SECONDS = 4.0  # of the processor, for one picture
WALL_SECONDS = 60.0  # for one picture: on a busy machine the processor's seconds take longer
EXTRA = 288 * 2**20  # bytes that decoding may take above four for each pixel
VISITORS_MEGAPIXELS = 25
MOST_CHILDREN = max(2, min(8, os.cpu_count() or 2))  # children, so pictures at once
# Memory that is free goes back to the system, and none is set aside for threads that it does not have.
_FRUGAL = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(2**22), "OPENBLAS_NUM_THREADS": "1"}
_POLL = 0.05  # seconds between two looks at whether the work was cancelled
_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from jepa_core.decoding import sandbox_worker as w; w.main()"
)


class DecodingCancelled(JepaError):
    """Decoding that was stopped since nobody waits for it any more."""


@dataclass(eq=False)
class _Child:
    """A process that decodes, and why it is to be killed, if it is."""

    process: subprocess.Popen = field(init=False)
    why: str = ""

    def __post_init__(self) -> None:
        # In a session of its own, or Ctrl-C in a terminal would reach it, too. -S and -E: the path is given whole.
        path = json.dumps([str(ROOT), *sys.path])
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", _PROGRAM, path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | _FRUGAL,
            start_new_session=True,
            pipesize=2**20,  # a crop goes through at once
        )

    def kill(self, why: str = "") -> None:
        self.why = self.why or why
        self.process.kill()

    def end(self) -> int:
        """Wait for its end, and return its exit status."""
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(OSError):
                if pipe:
                    pipe.close()
        return self.process.wait()

    def ask(self, request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        """Its answer; EOFError or OSError where it has died."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        send(self.process.stdin, request, data)
        return receive(self.process.stdout)


def send(pipe: IO[bytes], head: dict[str, Any], body: bytes) -> None:
    """One message: the lengths of both parts, a head in JSON, and bytes."""
    text = json.dumps(head).encode()
    pipe.write(len(text).to_bytes(4, "big") + len(body).to_bytes(8, "big") + text)
    pipe.write(body)
    pipe.flush()


def receive(pipe: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """The next message of the other side; EOFError where it is gone."""
    lengths = _exactly(pipe, 12)
    text = _exactly(pipe, int.from_bytes(lengths[:4], "big"))
    return json.loads(text), _exactly(pipe, int.from_bytes(lengths[4:], "big"))


def _exactly(pipe: IO[bytes], count: int) -> bytes:
    data = pipe.read(count)
    if len(data) < count:
        raise EOFError
    return data


class _Watch:
    """Looks after the children at work: kills one that takes too long or is not waited for any more."""

    def __init__(self) -> None:
        self._at_work: dict[_Child, tuple[float, Callable[[], bool]]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @contextmanager
    def over(self, child: _Child, cancelled: Cancelled) -> Iterator[None]:
        """While the child is at work."""
        with self._changed:
            self._at_work[child] = (time.monotonic() + WALL_SECONDS, cancelled)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._look, name="jepa-decode-watch", daemon=True)
                self._thread.start()
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                del self._at_work[child]

    def _look(self) -> None:
        while True:
            with self._changed:
                while not self._at_work:
                    self._changed.wait()
                for child, (deadline, cancelled) in self._at_work.items():
                    with suppress(Exception):  # whoever asks is told of it in their own thread
                        if cancelled():
                            child.kill("cancelled")
                    if time.monotonic() > deadline:
                        child.kill("time")
            time.sleep(_POLL)


class _Children:
    """The children of this process; a fork of it has none."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.idle: list[_Child] = []
        self.places = threading.BoundedSemaphore(MOST_CHILDREN)
        self.lock = threading.Lock()
        self.watch = _Watch()

    def ask(
        self, request: dict[str, Any], data: bytes, name: str, cancelled: Cancelled
    ) -> tuple[dict[str, Any], bytes]:
        while not self.places.acquire(timeout=_POLL):
            if cancelled():
                raise _cancelled(name)
        try:
            return self._asked(request, data, name, cancelled)
        finally:
            self.places.release()

    def _asked(
        self, request: dict[str, Any], data: bytes, name: str, cancelled: Cancelled
    ) -> tuple[dict[str, Any], bytes]:
        if cancelled():
            raise _cancelled(name)
        with self.lock:
            child = self.idle.pop() if self.idle else None
        child = child or _started(name)
        try:
            with self.watch.over(child, cancelled):
                answer = child.ask(request, data)
        except (EOFError, OSError, ValueError) as error:  # it has died, or is of no use any more
            child.kill()
            raise _why(child, child.end(), name) from error
        except BaseException:  # such as Ctrl-C: half an answer would be taken for that to the next picture
            child.kill()
            child.end()
            raise
        with self.lock:
            self.idle.append(child)
        return answer

    def leave(self) -> None:
        """End the children, which wait for work."""
        with self.lock:
            for child in self.idle:
                child.end()
            self.idle.clear()


def _started(name: str) -> _Child:
    try:
        return _Child()
    except OSError as error:
        raise BadImage(
            f"{name} was not decoded: no process could be started for it ({error.strerror}); a machine with some "
            "memory to spare is accepted; close other programs and try again."
        ) from error


_children = _Children()
atexit.register(lambda: _children.leave())


def run(
    data: bytes,
    name: str,
    cancelled: Cancelled = never,
    crop: dict[str, Any] | None = None,
) -> tuple[dict[str, Any], bytes]:
    """Have bytes decoded, and cropped under a data config if one is given.

    Returns what `sandbox_worker.answer` says of the picture, and its pixels. Raises `BadImage` and `DecodingCancelled`.
    """
    global _children
    if _children.owner != os.getpid():
        _children = _Children()
    request = {"name": name, "megapixels": megapixels(), "crop": crop, "seconds": SECONDS, "extra": EXTRA}
    head, body = _children.ask(request, data, name, cancelled)
    if "refused" in head:
        raise BadImage(head["refused"])
    return head, body


def megapixels() -> int:
    """How many a picture may have: on a server for visitors fewer than at home."""
    return VISITORS_MEGAPIXELS if hosted() else MAX_MEGAPIXELS


def _cancelled(name: str) -> DecodingCancelled:
    return DecodingCancelled(f"Decoding {name} was cancelled; it can be started again.")


def _why(child: _Child, status: int, name: str) -> JepaError:
    """What the death of a child says of the picture that it was decoding."""
    import signal

    if child.why == "cancelled":
        return _cancelled(name)
    if child.why == "time" or -status in (getattr(signal, "SIGPROF", 0), getattr(signal, "SIGXCPU", 0)):
        return BadImage(
            f"{name} takes more than {SECONDS:g} seconds of the processor to decode; a picture that takes less is "
            "accepted; save it as PNG or JPEG, or make it smaller."
        )
    return BadImage(
        f"{name} ends the program that decodes it (status {status}); a complete picture of ordinary size is accepted; "
        "save or copy it again."
    )
