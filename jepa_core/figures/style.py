"""Colours and layout that all figures share.

The colours are from Okabe and Ito's palette, which stays apart under the common colour-vision deficiencies, slightly
lightened so that they read on a white and on a dark page. Fonts and backgrounds come from the page's theme.
"""

import re
from html import unescape
from unicodedata import east_asian_width

import plotly.graph_objects as go

LIKELY = "#2b8cc4"
UNLIKELY = "#e07b39"
NEUTRAL = "#8b95a1"
DOMAINS = ("#2b8cc4", "#e07b39", "#2a9d78", "#c77bb3", "#d1a32a", "#6cb8e6", "#7d6fd0", "#9a9a9a", "#b3563f", "#5f8f3e")


_TAG = re.compile(r"<[^>]*>")
AXIS = {"fixedrange": True, "zeroline": False, "automargin": False}
MARGIN = {"l": 60, "r": 8, "t": 28, "b": 44}
LAYOUT = {
    "margin": MARGIN,
    "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0},
    "hoverlabel": {"namelength": -1},
    "dragmode": False,  # a finger that scrolls past a chart must not zoom it
    "barmode": "overlay",
    "bargap": 0.04,
}


def finish(figure: go.Figure, *, x: str, y: str, height: int = 300) -> go.Figure:
    """Apply the shared layout: axis titles, tight margins, a legend above the plot.

    Where the vertical axis has a title it has numbers, else names. Margins are fixed: finding them takes a browser half
    as long again as all the rest of the drawing. Only an axis with neither leaves them to Plotly.
    """
    axes = {"xaxis": {}, "yaxis": {}} | figure.layout.to_plotly_json()
    names = axes["yaxis"].get("ticktext")
    open_ended = not y and names is None
    plain = {"tickformat": "~g"}  # 0.1, not 10 with a small raised number
    titled = {
        name: (plain if axis.get("type") == "log" else {})
        | axis
        | AXIS
        | {"automargin": open_ended, "title": {"text": x if name.startswith("x") else y}}
        for name, axis in axes.items()
        if name.startswith(("xaxis", "yaxis"))
    }
    margin = {"l": 8, "r": 8, "t": 28, "b": 8} if open_ended else MARGIN
    if names is not None and not y:
        margin = MARGIN | {"l": 12 + max(map(_width, names), default=0)}
    # At once and as a whole: updating layout and axes one after another takes Plotly four times as long.
    return figure.update_layout(LAYOUT | titled | {"height": height, "margin": margin}, overwrite=True)


def _width(name: str) -> int:
    """About the pixels of a tick's text, an emphasised tag or an entity counted as what it shows."""
    lines = [unescape(_TAG.sub("", line)) for line in name.split("<br>")]
    wide = ("W", "F")  # Chinese, Japanese and Korean characters
    return max(sum(13 if east_asian_width(one) in wide else 7 for one in line) for line in lines)


# `add_hline` and `add_vrect` take Plotly ten times as long as a shape.
ZERO_LINE = {
    "type": "line",
    "xref": "paper",
    "x0": 0,
    "x1": 1,
    "y0": 0,
    "y1": 0,
    "line": {"color": NEUTRAL, "width": 1},
}


def shaded_range(left: float, right: float, colour: str, opacity: float = 0.2) -> dict:
    """A range of the horizontal axis as a shape of the layout: a ground behind all that is drawn."""
    shape = {"type": "rect", "x0": left, "x1": right, "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
    return shape | {"fillcolor": colour, "opacity": opacity, "line": {"width": 0}}


def translucent(colour: str, opacity: float) -> str:
    """A colour "#rrggbb" that lets through what is behind it.

    >>> translucent("#ff8000", 0.5)
    'rgba(255, 128, 0, 0.5)'
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"


WEBGL_ABOVE = 1000
"""Points from which on the browser draws them with WebGL, which stays fluid but is coarser and slow to begin."""


def point_trace(count: int) -> type[go.Scatter] | type[go.Scattergl]:
    """The trace for a figure of so many points."""
    return go.Scattergl if count > WEBGL_ABOVE else go.Scatter


CONFIG = {"displayModeBar": False, "displaylogo": False}
"""What `st.plotly_chart` gets as `config`."""
