"""Gaussian vectors as K grows: their length, a coordinate on the sphere, and the spread that grows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from jepa_core.figures.style import LIKELY, NEUTRAL, UNLIKELY, finish

_SHADES = ("#d1a32a", "#2a9d78", "#2b8cc4", "#7d6fd0", "#c77bb3")


def deviations_figure(table: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Standard deviations over K, on log axes: |z|/sqrt(K) falls, |z|^2/2 grows; points are drawn, lines exact.

    Rows have k, length_sd, term_sd (exact) and length_drawn, term_drawn.
    """
    figure = go.Figure()
    k = [row["k"] for row in table]
    for name, exact, drawn, colour, symbol in (
        ("|z|²/2", "term_sd", "term_drawn", UNLIKELY, "diamond"),
        ("|z|/√K", "length_sd", "length_drawn", LIKELY, "circle"),
    ):
        figure.add_scatter(
            x=k, y=[row[exact] for row in table], mode="lines", line={"color": colour}, name=f"{name}, exact"
        )
        figure.add_scatter(
            x=k,
            y=[row[drawn] for row in table],
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 8},
            name=f"{name}, drawn",
            hovertemplate="K = %{x}: %{y:.3g}<extra></extra>",
        )
    figure.update_xaxes(type="log", tickvals=k[::2])
    figure.update_yaxes(type="log", dtick=1)
    return finish(figure, x="K", y="standard deviation", height=340)


def exact_laws_figure(curves: Sequence[tuple[int, Mapping[str, Any]]], part: str) -> go.Figure:
    """The exact law of the "length" |z|/sqrt(K) or of one "coordinate" on the sphere, a line for each K.

    Curves have `part` with edges and law.
    """
    figure = go.Figure()
    for number, (k, result) in enumerate(curves):
        shade = _SHADES[round(number * (len(_SHADES) - 1) / max(1, len(curves) - 1))]
        law = np.minimum(result[part]["law"], 1.2) if part == "coordinate" else result[part]["law"]
        figure.add_scatter(x=result[part]["edges"], y=law, mode="lines", line={"color": shade}, name=f"K = {k}")
    if part == "coordinate":
        _add_normal(figure, np.linspace(-3.5, 3.5, 81))
        return finish(figure, x="√K times a coordinate of z/|z|", y="density", height=340)
    figure = finish(figure, x="|z|/√K", y="density", height=340)
    figure.update_xaxes(range=[0, 2.4])
    return figure


def drawn_vectors_figure(result: Mapping[str, Any]) -> go.Figure:
    """What was drawn so far for one K (bars) beside the exact laws (lines)."""
    figure = make_subplots(cols=2, subplot_titles=("length, |z|/√K", "a coordinate on the sphere"))
    for column, part in enumerate(("length", "coordinate"), 1):
        edges = np.array(result[part]["edges"])
        figure.add_bar(
            x=(edges[1:] + edges[:-1]) / 2,
            y=result[part]["drawn"],
            marker={"color": LIKELY, "line": {"width": 0}},
            opacity=0.55,
            name="drawn",
            showlegend=column == 1,
            col=column,
            row=1,
        )
        figure.add_scatter(
            x=edges,
            y=result[part]["law"],
            mode="lines",
            line={"color": UNLIKELY, "width": 2},
            name="exact law",
            showlegend=column == 1,
            col=column,
            row=1,
        )
    at = np.array(result["coordinate"]["edges"])
    _add_normal(figure, at, row=1, col=2)
    figure = finish(figure, x="", y="", height=320)
    figure.update_layout(margin={"t": 56}, legend={"y": 1.12})
    return figure


def _add_normal(figure: go.Figure, at: np.ndarray, **where: int) -> None:
    figure.add_scatter(
        x=at,
        y=np.exp(-(at**2) / 2) / np.sqrt(2 * np.pi),
        mode="lines",
        line={"color": NEUTRAL, "dash": "dot"},
        name="N(0, 1)",
        **where,
    )
