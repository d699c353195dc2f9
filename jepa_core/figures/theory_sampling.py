"""Samples of Langevin dynamics beside the truth, and their energy distance on the way."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from jepa_core.figures.style import LIKELY, UNLIKELY, ZERO_LINE, finish


def samples_figure(result: Mapping[str, Any]) -> go.Figure:
    """The truth, and where the walking points are (where they start, until they move), in the same box."""
    moved = "samples" in result
    figure = make_subplots(
        cols=2, horizontal_spacing=0.06, subplot_titles=("truth", "samples" if moved else "starting points")
    )
    shown = (result["truth"], LIKELY), (result["samples"] if moved else result["start"], UNLIKELY)
    left, low, right, high = result["box"]
    for column, (points, colour) in enumerate(shown, 1):
        figure.add_scatter(
            x=[point[0] for point in points],
            y=[point[1] for point in points],
            mode="markers",
            marker={"color": colour, "size": 4, "opacity": 0.7},
            showlegend=False,
            hoverinfo="skip",
            row=1,
            col=column,
        )
    figure = finish(figure, x="", y="", height=360)
    figure.update_xaxes(range=[left, right], showgrid=False)
    figure.update_yaxes(range=[low, high], showgrid=False)
    figure.update_layout(margin={"t": 40})
    return figure


def energy_distance_figure(result: Mapping[str, Any]) -> go.Figure:
    """The samples' energy distance to the truth over the steps, beside that of a fresh true sample."""
    history = [{"step": 0, "energy": result["energy_start"]}, *result.get("history", [])]
    figure = go.Figure()
    figure.add_scatter(
        x=[row["step"] for row in history],
        y=[row["energy"] for row in history],
        mode="lines+markers",
        line={"color": UNLIKELY},
        name="samples",
        hovertemplate="after %{x} steps: %{y:.3f}<extra></extra>",
    )
    figure.add_scatter(
        x=[0, max(history[-1]["step"], 1)],
        y=[result["energy_fresh"]] * 2,
        mode="lines",
        line={"color": LIKELY, "dash": "dash"},
        name="a fresh true sample",
        hovertemplate="a fresh true sample: %{y:.3f}<extra></extra>",
    )
    figure.add_shape(ZERO_LINE)
    return finish(figure, x="steps of the walk", y="energy distance to the truth", height=260)


def ascent_figure(path: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Both scores along a climb."""
    figure = go.Figure()
    for name, title, colour, dash in (
        ("score", "score", UNLIKELY, "solid"),
        ("term", "with the Gaussian term", LIKELY, "dash"),
    ):
        figure.add_scatter(
            x=[row["step"] for row in path],
            y=[row[name] for row in path],
            mode="lines",
            name=title,
            line={"color": colour, "dash": dash},
        )
    return finish(figure, x="steps uphill", y="score", height=260)
