"""Errors become sentences: in the run of a whole page, and where a fragment of it reruns by itself."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec

import streamlit as st

from jepa_core.errors import JepaError
from jepa_core.redaction import told, unforeseen
from pages._shared.text import escaped
from pages._shared.turns import take_turn

Given = ParamSpec("Given")


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
