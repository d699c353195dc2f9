"""Histograms of scores, binned here so that the browser gets a few dozen numbers and not every image."""

from collections.abc import Sequence
from html import escape

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray

from jepa_core.figures.style import LIKELY, NEUTRAL, UNLIKELY, finish, shaded_range, translucent

_AXIS = "JEPA-SCORE (likely to the right)"


def _edges(values: ndarray, bins: int) -> ndarray:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return np.array([0.0, 1.0])
    low, high = finite.min(), finite.max()
    if low == high:  # one value still gets a bar of visible width
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, bins + 1)


def class_histogram(
    chosen: Float[ndarray, "n"],
    everything: Float[ndarray, "m"],
    title: str,
    low: float,
    high: float,
    marked: tuple[float, float] | None = None,
) -> go.Figure:
    """The scores of a class in front of the whole dataset's, both as shares.

    Bars up to `low` have the colour of the unlikely end, bars from `high` on that of the likely end; the range `marked`
    has a ground of its own. A box can be drawn over scores to choose them.
    """
    edges = _edges(np.concatenate([chosen, everything]), 40)
    centres = (edges[:-1] + edges[1:]) / 2
    figure = go.Figure(layout={"yaxis": {"tickformat": ".0%"}})
    if len(everything) > len(chosen):
        share = np.histogram(everything, edges)[0] / len(everything)
        figure.add_bar(
            # No opacity: the legend would show the colour without it.
            x=centres,
            y=share,
            name="all classes",
            marker={"color": translucent(NEUTRAL, 0.35)},
            hoverinfo="skip",
        )
    share = np.histogram(chosen, edges)[0] / max(len(chosen), 1)
    colours = np.where(edges[1:] <= low, UNLIKELY, np.where(edges[:-1] >= high, LIKELY, "#7c93ad"))
    figure.add_bar(
        x=centres,
        y=share,
        name=escape(title),
        marker={"color": colours.tolist()},
        showlegend=False,  # the swatch would have the colour of the first bar
        hovertemplate="score about %{x:.1f}: %{y:.1%} of the images<extra></extra>",
    )
    if marked:
        figure.add_shape(shaded_range(*marked, NEUTRAL))
    finish(figure, x=_AXIS, y="share of images", height=210)
    return figure.update_layout(dragmode="select", selectdirection="h")


def score_histogram(table: pd.DataFrame, title: str = "these images") -> go.Figure:
    """The scores of a table (column `jepa_score`); a twentieth at each end has that end's colour.

    >>> score_histogram(pd.DataFrame({"jepa_score": [1.0, 2.0, 4.0]})).data[0].y.sum().round(9)
    np.float64(1.0)
    """
    scores = table["jepa_score"].to_numpy(dtype=np.float64)
    low, high = np.quantile(scores, [0.05, 0.95]) if scores.size else (0.0, 0.0)
    return class_histogram(scores, scores, title, float(low), float(high))


def class_histogram_in_words(scores: Float[ndarray, "n"], title: str) -> str:
    """What `class_histogram` shows, for who cannot see it.

    >>> class_histogram_in_words(np.array([1.0, 3.0, 2.0]), "class 3")
    'Histogram of 3 scores of class 3, median 2.0'
    """
    return f"Histogram of {len(scores)} scores of {title}, median {np.median(scores):.1f}"


def reference_histogram(reference: Float[ndarray, "m"], name: str, score: float, others: Sequence[float]) -> go.Figure:
    """The reference's scores with a line for one picture's, under its name, and ticks for those of other pictures."""
    edges = _edges(np.array([*reference, *others, score]), 50)
    counts = np.histogram(reference, edges)[0]
    top = counts.max(initial=1)
    figure = go.Figure()
    figure.add_bar(
        x=(edges[:-1] + edges[1:]) / 2,
        y=counts,
        name="references",
        marker={"color": NEUTRAL, "opacity": 0.6},
        hovertemplate="score about %{x:.1f}: %{y} images<extra>references</extra>",
    )
    if others:
        figure.add_scatter(
            x=list(others),
            y=np.full(len(others), -0.06 * top),
            mode="markers",
            name="the other pictures",
            marker={"symbol": "line-ns-open", "size": 10, "color": LIKELY, "line": {"width": 2}},
            hovertemplate="%{x:.1f}<extra>another picture</extra>",
        )
    figure.add_scatter(
        x=[score, score],
        y=[0, 1.06 * top],
        mode="lines+markers",
        name=escape(name),
        line={"color": UNLIKELY, "width": 4},
        marker={"symbol": ["line-ns", "triangle-down"], "size": 14, "color": UNLIKELY},
        hovertemplate="%{x:.1f}<extra>this picture</extra>",
    )
    return finish(figure, x=_AXIS, y="images", height=280)
