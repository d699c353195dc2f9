"""Errors become sentences: in the run of a whole page, and where a fragment of it reruns by itself."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec

import streamlit as st

from jepa_core.errors import JepaError
from jepa_core.redaction import told, unforeseen
from pages._shared.text import escaped

Given = ParamSpec("Given")

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


@contextmanager
def show_errors(what: str) -> Iterator[None]:
    """Show an error of what runs inside as one sentence; `what` names it."""
    try:
        yield
    except JepaError as error:
        st.error(escaped(told(error)), icon=":material/error:")
    except Exception as error:
        logging.getLogger(__name__).exception("%s failed", what)
        st.error(
            escaped(
                f"{what} met something it did not expect ({unforeseen(error)}). The log has the details; "
                "the other pages still work."
            ),
            icon=":material/error:",
        )


def poll_interval(seconds: float) -> float:
    """How often to look for news, in seconds: as rarely as asked, and more so where visitors wait for their turns."""
    return seconds + 5 * getattr(_mine, "waited", 0.0)


def fragment(
    function: Callable[Given, None] | None = None, *, run_every: float | None = None
) -> Callable[..., Callable[..., None]] | Callable[Given, None]:
    """Streamlit's `fragment`, which `app.py` is not around when it reruns by itself: an error is said in its place."""
    if function is None:
        return lambda inner: fragment(inner, run_every=run_every)

    @wraps(function)
    def guarded(*args: Given.args, **kwargs: Given.kwargs) -> None:
        with take_turn(), show_errors("A part of this page"):
            function(*args, **kwargs)

    return st.fragment(guarded, run_every=run_every)
