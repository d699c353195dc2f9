"""When deep linear networks learn their features: descent, its equation, and the predicted times."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from jepa_core.figures.style import LIKELY, NEUTRAL, UNLIKELY, finish

_COLOURS = (UNLIKELY, LIKELY, "#2a9d78", "#c77bb3")
_SYMBOLS = ("circle", "diamond", "square", "cross")


def learning_curves_figure(lines: Sequence[Mapping[str, Any]], until: float) -> go.Figure:
    """How much of each feature is learned: lines by the equation, points by descent, dashes the prediction."""
    figure = go.Figure()
    for number, line in enumerate(lines):
        colour, name = _COLOURS[number], f"λ = {line['covariance']:g}, \u03c1 = {line['regression']:g}"
        figure.add_scatter(
            x=line["times"],
            y=line["flow"],
            mode="lines",
            line={"color": colour},
            name=f"{name}: equation",
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=line["descent_times"],
            y=line["descent"],
            mode="markers",
            marker={"color": colour, "symbol": _SYMBOLS[number], "size": 6},
            name=f"{name}: descent",
            hovertemplate="time %{x:.0f}: %{y:.0%}<extra></extra>",
        )
        if line.get("predicted"):
            figure.add_vline(x=line["predicted"], line={"color": colour, "dash": "dash", "width": 1})
    figure.add_hline(y=0.5, line={"color": NEUTRAL, "dash": "dot", "width": 1})
    figure = finish(figure, x="time (learning rate times steps)", y="share of the fixed point", height=340)
    predicted = [line["predicted"] for line in lines if line.get("predicted")]
    figure.update_xaxes(range=[0, max(until, *(1.05 * time for time in predicted)) if predicted else until])
    figure.update_yaxes(range=[-0.03, 1.08], tickformat=".0%")
    return figure


def learning_order_figure(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """The noisy feature's half-way time divided by the predictable one's, over depth; above 1 it comes later.

    Rows have objective, depth, ratio (by descent) and equation.
    """
    figure = go.Figure()
    for objective, colour, symbol in (("JEPA", LIKELY, "circle"), ("MAE", UNLIKELY, "diamond")):
        mine = [row for row in rows if row["objective"] == objective]
        figure.add_scatter(
            x=[row["depth"] for row in mine],
            y=[row["equation"] for row in mine],
            mode="lines",
            line={"color": colour},
            name=f"{objective}: equation",
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=[row["depth"] for row in mine],
            y=[row["ratio"] for row in mine],
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 10},
            name=f"{objective}: descent",
            hovertemplate="depth %{x}: %{y:.2f}<extra></extra>",
        )
    figure.add_hline(y=1, line={"color": NEUTRAL, "dash": "dot"})
    figure = finish(figure, x="depth L", y="time of noisy / of predictable feature", height=340)
    figure.update_xaxes(dtick=1)
    return figure
