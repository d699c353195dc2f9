"""Histograms of scores, binned here so that the browser gets a few dozen numbers and not every image."""

from collections.abc import Mapping
from html import escape

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray

from jepa_core.figures.style import DOMAINS, LIKELY, NEUTRAL, UNLIKELY, finish

_ROW = 0.85  # height of a histogram, where rows are 1 apart
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
    figure = go.Figure()
    if len(everything) > len(chosen):
        share = np.histogram(everything, edges)[0] / len(everything)
        figure.add_bar(
            x=centres, y=share, name="all classes", marker={"color": NEUTRAL, "opacity": 0.35}, hoverinfo="skip"
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
        figure.add_vrect(*marked, fillcolor=NEUTRAL, opacity=0.2, line_width=0, layer="below")
    figure.update_yaxes(tickformat=".0%")
    finish(figure, x=_AXIS, y="share of images", height=210)
    return figure.update_layout(dragmode="select", selectdirection="h")


def domain_histogram(scores: Mapping[str, Float[ndarray, "_n"]], reference: str) -> go.Figure:
    """The histograms of several domains in rows on one axis, the reference's filled and its middle half behind all.

    Each row has its own height, so that a wide domain is seen as well as a narrow one; a tick marks its median.
    """
    edges = _edges(np.concatenate([*scores.values(), np.empty(0)]), 60)
    steps = np.repeat(edges, 2)
    figure = go.Figure()
    rows = len(scores)
    for position, (name, values) in enumerate(scores.items()):
        ground = rows - 1 - position  # the first on top
        share = np.histogram(values, edges)[0] / max(len(values), 1)
        outline = np.concatenate([[0.0], np.repeat(share, 2), [0.0]])
        colour = LIKELY if name == reference else NEUTRAL
        figure.add_scatter(
            x=steps,
            y=ground + _ROW * outline / max(share.max(initial=0.0), 1e-9),
            customdata=outline,
            name=escape(name),
            mode="lines",
            line={"color": colour, "width": 1.5},
            fill="toself",
            fillcolor=_faint(colour),
            hovertemplate="%{x:.1f}: %{customdata:.1%}<extra>" + escape(name) + "</extra>",
        )
        if len(values):
            median = float(np.median(values))
            figure.add_scatter(
                x=[median, median],
                y=[ground, ground + _ROW / 2],
                mode="lines",
                line={"color": colour, "width": 3},
                hovertemplate=f"median {median:.1f}<extra>{escape(name)}</extra>",
            )
    if len(scores[reference]):
        low, high = np.quantile(scores[reference], [0.25, 0.75])
        figure.add_vrect(x0=low, x1=high, fillcolor=LIKELY, opacity=0.12, line_width=0, layer="below")
    figure = finish(figure, x=_AXIS, y="", height=90 + 40 * rows)
    figure.update_layout(showlegend=False)
    figure.update_yaxes(
        tickvals=list(range(rows)), ticktext=[escape(name) for name in scores][::-1], range=[-0.1, rows], showgrid=False
    )
    return figure


def domain_colours(names: Mapping[str, object]) -> dict[str, str]:
    """A colour for each domain, by its place in the list."""
    return {name: DOMAINS[position % len(DOMAINS)] for position, name in enumerate(names)}


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.25)"


def mark_on_reference(reference: Float[ndarray, "m"], marks: Mapping[str, float]) -> go.Figure:
    """The reference's scores with a vertical line for each named score."""
    edges = _edges(np.concatenate([reference, np.array(list(marks.values()), dtype=float)]), 50)
    figure = go.Figure()
    figure.add_bar(
        x=(edges[:-1] + edges[1:]) / 2,
        y=np.histogram(reference, edges)[0],
        name="reference",
        marker={"color": NEUTRAL, "opacity": 0.6},
        hovertemplate="score about %{x:.1f}: %{y} images<extra>reference</extra>",
    )
    top = np.histogram(reference, edges)[0].max(initial=1)
    for colour, (name, score) in zip(domain_colours(marks).values(), marks.items(), strict=True):
        figure.add_scatter(
            x=[score, score],
            y=[0, top],
            mode="lines",
            name=escape(name),
            line={"color": colour, "width": 3},
            hovertemplate=f"{escape(name)}: %{{x:.1f}}<extra></extra>",
        )
    return finish(figure, x=_AXIS, y="images", height=280)
