"""Scores of points whose log-density is known, and how the correlation depends on dimension and sample size."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from jepa_core.figures.style import DOMAINS, LIKELY, NEUTRAL, UNLIKELY, ZERO_LINE, finish
from jepa_core.theory.truth import SCORES

_LINES = {
    "term": ("score with the Gaussian term", LIKELY, "circle", "solid"),
    "score": ("score alone", UNLIKELY, "diamond", "solid"),
    "norm": ("-|f|²/2 alone", DOMAINS[3], "square", "dot"),
    "gaussian": ("one fitted Gaussian", NEUTRAL, "x", "dash"),
    "sphere": ("output on the sphere", DOMAINS[2], "triangle-up", "solid"),
}


def correlation_figure(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Mean correlation over seeds against D, a line for each score, its least and most as bars.

    Rows have dim, name (a key of the scores, or "sphere"), values (one a seed), for one number of samples.
    """
    figure = go.Figure()
    for name, (title, colour, symbol, dash) in _LINES.items():
        mine = sorted((row for row in rows if row["name"] == name), key=lambda row: row["dim"])
        if not mine:
            continue
        means = [float(np.mean(row["values"])) for row in mine]
        figure.add_scatter(
            x=[row["dim"] for row in mine],
            y=means,
            mode="lines+markers",
            name=title,
            line={"color": colour, "dash": dash},
            marker={"symbol": symbol, "size": 8},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [max(row["values"]) - mean for row, mean in zip(mine, means, strict=True)],
                "arrayminus": [mean - min(row["values"]) for row, mean in zip(mine, means, strict=True)],
                "thickness": 1,
                "width": 3,
            },
            hovertemplate="D = %{x}: %{y:.3f}<extra>" + title + "</extra>",
        )
    figure.add_shape(ZERO_LINE)
    figure = finish(figure, x="dimension D", y="Pearson with log p(x)", height=400)
    figure.update_xaxes(type="log", tickvals=sorted({row["dim"] for row in rows}))
    least = min((min(row["values"]) for row in rows), default=0.0)
    figure.update_yaxes(range=[min(-0.03, least - 0.03), 1.03])
    return figure


def correlation_in_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """What `correlation_figure` shows, for who cannot see it."""
    return "; ".join(
        f"D = {row['dim']}, {SCORES.get(row['name'], 'sphere')}: {np.mean(row['values']):.2f}" for row in rows
    )


def scatter_figure(points: Mapping[str, Sequence[float]], correlations: Mapping[str, float]) -> go.Figure:
    """Each fresh point's true log-density against its score alone and with the Gaussian term, side by side."""
    figure = make_subplots(
        cols=2,
        horizontal_spacing=0.12,
        subplot_titles=[f"{title}: {correlations[name]:.2f}" for name, title in _PANELS.items()],
    )
    for column, name in enumerate(_PANELS, 1):
        figure.add_scatter(
            x=points["truth"],
            y=points[name],
            mode="markers",
            marker={"color": _LINES[name][1], "symbol": _LINES[name][2], "size": 5, "opacity": 0.7},
            showlegend=False,
            hovertemplate="log p %{x:.1f}, score %{y:.2f}<extra></extra>",
            row=1,
            col=column,
        )
    figure = finish(figure, x="true log-density", y="score", height=320)
    return figure.update_layout(margin={"t": 40})


_PANELS = {"term": "with the Gaussian term", "score": "score alone"}


def density_figure(sheet: Mapping[str, Any]) -> go.Figure:
    """The true density beside the learned one on the same grid and the same colours."""
    figure = make_subplots(cols=2, shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=("true", "learned"))
    most = float(np.max(sheet["truth"]))
    for column, name in enumerate(("truth", "learned"), 1):
        figure.add_heatmap(
            x=sheet["x"],
            y=sheet["y"],
            z=sheet[name],
            zmin=0,
            zmax=most,
            colorscale="Cividis",
            showscale=False,
            hoverinfo="skip",
            row=1,
            col=column,
        )
    figure = finish(figure, x="", y="", height=300)
    figure.update_layout(margin={"t": 40})
    return figure
