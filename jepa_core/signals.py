"""Ending a program that is asked to: what runs is left as Ctrl-C leaves it, with everything that is finished kept."""

import signal
from types import FrameType
from typing import NoReturn


class Stopped(KeyboardInterrupt):
    """Another asked for the end than the person at the keyboard; `status` is the exit status that says so."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


def stop_when_told() -> None:
    """Have the signals that ask a program to end raise `Stopped` in its main thread; a second one ends it at once.

    One that is ignored, as under `nohup`, stays so. To be called in the main thread.
    """
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _stop)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)
    raise Stopped(number)
