"""Images as points where UMAP placed them; ten thousand move fluidly."""

from collections.abc import Sequence
from html import escape
from itertools import product

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from jepa_core.analysis.lasso import Area
from jepa_core.figures.style import DOMAINS, LIKELY, NEUTRAL, UNLIKELY, WEBGL_ABOVE, point_trace

# Shapes beside colours: with ten colours alone, the eleventh class would look like the first.
_MARKS = [(colour, symbol) for symbol, colour in product(("circle", "diamond", "square", "cross"), DOMAINS)]
_OTHERS = "others"
_COLOURS = [[0, UNLIKELY], [0.5, "#a3abb3"], [1, LIKELY]]
_BAND = 4  # percentiles that share a colour where there are many points
CONFIG = {
    "displaylogo": False,
    "displayModeBar": True,
    "scrollZoom": True,
    "modeBarButtons": [["pan2d", "lasso2d", "select2d"], ["zoomIn2d", "zoomOut2d", "resetScale2d"]],
}
"""What `st.plotly_chart` gets as `config` for a map."""


def umap_figure(
    table: pd.DataFrame, colour: str, reference: str, groups: Sequence[str] = (), marked: Area | None = None
) -> go.Figure:
    """A map of a table with the columns x, y, name, label, domain, jepa_score, percentile and shown.

    `colour` is "percentile", "label" or "domain"; for the last two `groups` is the order of their values. Images that
    are not `shown` are faint and cannot be chosen. `marked` is an area to outline. The customdata of a point is its
    place in the table.
    """
    figure = go.Figure()
    faint = table[~table["shown"]]
    if len(faint):
        figure.add_trace(
            point_trace(len(table))(
                x=faint["x"],
                y=faint["y"],
                mode="markers",
                marker={"size": _size(len(table)) - 1, "color": NEUTRAL, "opacity": 0.25},
                hoverinfo="skip",
                showlegend=False,
                name="not chosen",
            )
        )
    shown = table[table["shown"]]
    if colour == "percentile":
        # The unlikely end last, so that it lies on top: it is what one looks for.
        shown = shown.sort_values("percentile", ascending=False)
        if len(table) > WEBGL_ABOVE:
            _add_bands(figure, shown, len(table), reference)
        else:
            _add_points(figure, shown, len(table), {"color": shown["percentile"], **_scale(reference)})
        figure.update_traces(showlegend=False)
    else:
        named = list(groups)[: len(_MARKS)]
        rest = shown[~shown[colour].isin(named)]
        if len(rest):
            _add_points(figure, rest, len(table), {"color": NEUTRAL}, _OTHERS)
        for name, (tint, symbol) in zip(named, _MARKS, strict=False):
            part = shown[shown[colour] == name]
            if len(part):
                _add_points(figure, part, len(table), {"color": tint, "symbol": symbol}, name)
    for polygon in marked or ():
        path = "M" + "L".join(f"{x},{y}" for x, y in polygon) + "Z"
        figure.add_shape(type="path", path=path, line={"color": NEUTRAL, "width": 2, "dash": "dot"})
    return _finish(figure)


def _add_bands(figure: go.Figure, shown: pd.DataFrame, count: int, reference: str) -> None:
    """Points in bands of one colour each: ten thousand colours take a browser half a second."""
    bands = np.minimum(shown["percentile"].to_numpy() // _BAND, 100 // _BAND - 1) + 0.5
    tints = {band: sample_colorscale(_COLOURS, band * _BAND / 100)[0] for band in np.unique(bands)[::-1]}
    for band, tint in tints.items():
        _add_points(figure, shown[bands == band], count, {"color": tint})
    figure.add_scatter(x=[None], y=[None], mode="markers", marker={"color": [0], **_scale(reference)}, hoverinfo="skip")


def _add_points(figure: go.Figure, part: pd.DataFrame, count: int, marker: dict, name: str = "") -> None:
    hover = [
        f"{escape(row.name)}<br>class {escape(row.label)}, {escape(row.domain)}<br>"
        f"score {row.jepa_score:.1f}, percentile {row.percentile:.1f}"
        for row in part[["name", "label", "domain", "jepa_score", "percentile"]].itertuples(index=False)
    ]
    figure.add_trace(
        point_trace(count)(
            x=part["x"],
            y=part["y"],
            mode="markers",
            name=escape(name),
            marker={"size": _size(count), "opacity": 0.85, **marker},
            customdata=part.index,
            hovertext=hover,
            hovertemplate="%{hovertext}<extra></extra>",
            unselected={"marker": {"opacity": 0.15}},
        )
    )


def _scale(reference: str) -> dict:
    return {
        "cmin": 0,
        "cmax": 100,
        "colorscale": _COLOURS,
        "colorbar": {
            "orientation": "h",
            "thickness": 10,
            "len": 0.7,
            "x": 0.5,
            "y": -0.02,
            "yanchor": "top",
            "title": {"text": f"percentile among {escape(reference)}", "side": "bottom"},
            "tickvals": [0, 50, 100],
            "ticktext": ["0, unlikely", "50", "100, likely"],
            "outlinewidth": 0,
        },
    }


def _size(count: int) -> int:
    return 9 if count <= 500 else 6 if count <= 3000 else 5


def _finish(figure: go.Figure) -> go.Figure:
    figure.update_layout(
        height=640,
        margin={"l": 4, "r": 4, "t": 34, "b": 4},
        # Streamlit lets a click choose a point only while a drag does not draw.
        dragmode="pan",
        hovermode="closest",
        hoverlabel={"namelength": -1},
        # A class is chosen beside the map: hidden by a click here, its images would still be in what the lasso chose.
        legend={
            "orientation": "h",
            "yanchor": "top",
            "y": -0.01,
            "x": 0,
            "title": None,
            "itemclick": False,
            "itemdoubleclick": False,
            "itemsizing": "constant",
        },
        newselection={"mode": "immediate"},
    )
    # Neither direction of a map has a unit, or a meaning of its own.
    nothing = {"showgrid": False, "zeroline": False, "showticklabels": False, "ticks": "", "title": None}
    figure.update_xaxes(**nothing)
    figure.update_yaxes(**nothing, scaleanchor="x")
    return figure
