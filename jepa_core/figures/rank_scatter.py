"""Rank against rank: a point for each image at its percentiles by two encoders, and the rows of selected points."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray

from jepa_core.figures.style import DOMAINS, NEUTRAL, finish, point_trace

SELECTABLE = {
    "displaylogo": False,
    "modeBarButtons": [["lasso2d", "select2d"]],
    "displayModeBar": True,
}
"""What `st.plotly_chart` gets as `config` for a figure whose points can be selected."""


def rank_scatter_figure(
    first: Float[ndarray, "n"],
    second: Float[ndarray, "n"],
    encoders: tuple[str, str],
    names: Sequence[str],
    disputed: Mapping[str, Sequence[int]],
    *,
    drag: bool = True,
) -> go.Figure:
    """Percentiles by one encoder (x) and by another (y); on the diagonal they agree.

    Args:
        first, second: percentiles of n images, low being unlikely.
        encoders: the names of the two.
        names: of the images, shown when a point is pointed at.
        disputed: for each of the two encoders the rows that it finds likelier by most, which are marked.
        drag: whether dragging draws a lasso at once; else a tool has to be chosen first, so that a finger can scroll.
    """
    marked = [row for rows in disputed.values() for row in rows]
    rest = np.setdiff1d(np.arange(len(first)), marked)
    groups = [("images", rest, NEUTRAL, "circle", 6)]
    for encoder, colour, symbol in zip(encoders, DOMAINS[2:4], ("diamond", "square"), strict=True):
        rows = np.array(disputed.get(encoder, ()), dtype=int)
        groups.append((f"disputed, likely for {encoder}", rows, colour, symbol, 10))
    figure = go.Figure()
    kind = point_trace(len(first))
    for title, rows, colour, symbol, size in groups:
        figure.add_trace(
            kind(
                x=first[rows],
                y=second[rows],
                customdata=rows,
                text=[escape(names[row]) for row in rows],
                mode="markers",
                name=escape(title),
                marker={"color": colour, "symbol": symbol, "size": size, "opacity": 0.75},
                hovertemplate="%{text}<br>"
                f"{escape(encoders[0])} %{{x:.1f}}, {escape(encoders[1])} %{{y:.1f}}<extra></extra>",
            )
        )
    line = {"color": NEUTRAL, "dash": "dot", "width": 1.5}
    figure.add_shape(type="line", x0=0, y0=0, x1=100, y1=100, line=line, layer="below")
    x, y = (f"percentile by {escape(encoder)}" for encoder in encoders)
    figure = finish(figure, x=f"{x} (right: likely)", y=f"{y} (up: likely)", height=460)
    # The tools of the selection stand at the top right, above the legend and not on it.
    figure.update_layout(dragmode="lasso" if drag else False, margin_t=56)
    figure.update_xaxes(range=[-3, 103])
    figure.update_yaxes(range=[-3, 103])
    return figure


def selected_rows(points: Iterable[Mapping[str, Any]], count: int) -> list[int]:
    """The rows of the selected points of a `rank_scatter_figure` of `count` images: in order, each once.

    A point without a row, or with one that is not there (any more), is left out: a selection comes from the browser.
    """
    found = set()
    for point in points:
        row = point.get("customdata")
        row = row[0] if isinstance(row, list | tuple) and row else row
        if type(row) is int and 0 <= row < count:  # True is no row
            found.add(row)
    return sorted(found)
