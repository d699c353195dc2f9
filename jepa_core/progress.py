"""How long work says how far it is, and asks whether it is still wanted."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with (done, total) after each step; with (0, 0) where what comes has no steps."""

Cancelled = Callable[[], bool]
"""Asked before each step: whether nobody waits for the rest any more."""


def silent(_done: int, _total: int) -> None:
    """The progress of work that nobody looks at."""


def never() -> bool:
    """The answer of who waits to the end."""
    return False
