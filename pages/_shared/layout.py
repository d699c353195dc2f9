"""What stands around a page: its title with the explanation, code to copy, and `app.py`, which it runs in."""

import runpy
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from jepa_core.config import ASSETS, ROOT
from jepa_core.files import read_asset

_run = threading.local()


@contextmanager
def inside_app() -> Iterator[None]:
    """What `app.py` runs a page in."""
    _run.inside = True
    try:
        yield
    finally:
        _run.inside = False


def require_app() -> None:
    """Run `app.py` around a page that Streamlit started by itself.

    Until a server process has called `st.navigation` for the first time, Streamlit takes every file in `pages/` for an
    application of its own. A deep link that is the first request of a server would miss all that `app.py` sets up.
    """
    if not getattr(_run, "inside", False):
        runpy.run_path(str(ROOT / "app.py"), run_name="__main__")
        st.stop()


# Pages take no `svg` as HTML, and as an image it would not have the theme's colours.
_DRAWING = st.components.v2.component(
    "drawing",
    html='<div class="drawing"></div>\n',
    css=".drawing { color: var(--st-text-color); max-width: 34rem; }\n.drawing svg { width: 100%; display: block; }\n",
    js="""export default function ({ data, parentElement }) {
  parentElement.querySelector(".drawing").innerHTML = data;
}
""",
)


def header(title: str, text: str, explanation: str, picture: str = "") -> None:
    """The page's title, one sentence, and a longer explanation one click away.

    `picture` names a drawing of `assets/explain`, which stands above the explanation.
    """
    require_app()
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    left.title(title)
    left.markdown(text)
    with right.popover("What am I looking at?", icon=":material/help:", width="stretch"):
        if picture:
            _DRAWING(data=read_asset(ASSETS / "explain" / f"{picture}.svg"), key=f"explain:{picture}")
        st.markdown(explanation)


def code(text: str) -> None:
    """A command or lines of Python to copy, in one colour: some of Streamlit's for code have a contrast below 3."""
    st.code(text, language=None, wrap_lines=True)
