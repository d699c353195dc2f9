"""Pages take turns: few run at once, and who waits looks for news more rarely."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# Pages that run at once. Python lets one thread at a time compute. Each gives the interpreter away at every row and
# array; among fifty it then waits for all others, so that a page of .1 s took seconds. In turns it takes its .1 s.
_TURNS = threading.Semaphore(max(2, (os.cpu_count() or 2) // 2))
_mine = threading.local()


@contextmanager
def take_turn() -> Iterator[None]:
    """Run what is inside when few others run; a part of what has its turn already goes on in it."""
    if getattr(_mine, "turn", False):
        yield
        return
    asked = time.monotonic()
    with _TURNS:
        _mine.turn, _mine.waited = True, time.monotonic() - asked
        try:
            yield
        finally:
            _mine.turn = False


def poll_interval(seconds: float) -> float:
    """How often to look for news, in seconds: as rarely as asked, and more so where visitors wait for their turns."""
    return seconds + 5 * getattr(_mine, "waited", 0.0)
