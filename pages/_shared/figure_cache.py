"""Figures that are drawn once and shown to every visitor: drawing one takes as long as the rest of a page."""

from collections.abc import Callable

import streamlit as st
from plotly.graph_objects import Figure

from jepa_core.keys import Part, make_key


@st.cache_resource(show_spinner=False, max_entries=128)
def _drawn(key: str, _draw: Callable[[], Figure]) -> Figure:  # noqa: ARG001
    return _draw()


def cached_figure(draw: Callable[[], Figure], *parts: Part) -> Figure:
    """The figure that `draw` makes; `parts` are all that it depends on, versions in place of scores.

    `st.plotly_chart` copies what it is given, and nobody else may change it.
    """
    return _drawn(make_key(*parts), draw)
