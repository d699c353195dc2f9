"""The spectrum behind a score, beside a reference's, and the score taken apart."""

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray

from jepa_core.explain.attribution import ScoreAttribution, SpectrumSpread
from jepa_core.figures.style import AXIS, LAYOUT, LIKELY, NEUTRAL, UNLIKELY, ZERO_LINE, finish, shaded_range

BAND, HALF = "rgba(139,149,161,0.22)", "rgba(139,149,161,0.34)"


def spectrum_figure(
    sigma: Float[ndarray, "k"], rank: int, chosen: int | None = None, band: SpectrumSpread | None = None
) -> go.Figure:
    """Singular values on a log axis.

    Args:
        sigma: all K values, largest first.
        rank: how many count; those beyond are drawn as noise.
        chosen: index (from 0) of a value to mark.
        band: the spread of a reference, drawn behind: its median, its middle half and its middle 90 %.
    """
    index = np.arange(1, len(sigma) + 1)
    # Fewer digits on the axis than Plotly's default of every 2 and 5 of each decade.
    figure = go.Figure(layout={"yaxis": {"type": "log", "dtick": 1}})
    if band is not None:
        _draw_band(figure, band)
    figure.add_scatter(
        x=index[:rank],
        y=sigma[:rank],
        mode="lines+markers",
        name="this image",
        line={"color": LIKELY},
        marker={"size": 4},
        hovertemplate="k = %{x}: %{y:.3g}<extra></extra>",
    )
    if rank < len(sigma):
        figure.add_scatter(
            x=index[rank:], y=sigma[rank:], mode="markers", name="beyond the rank", marker={"color": NEUTRAL}
        )
    if chosen is not None:
        figure.add_scatter(
            x=[chosen + 1],
            y=[sigma[chosen]],
            mode="markers",
            name=f"k = {chosen + 1}",
            marker={"color": UNLIKELY, "size": 11, "line": {"width": 2, "color": "white"}},
            hoverinfo="skip",
        )
    return finish(figure, x="k", y="singular value", height=320)


def _draw_band(figure: go.Figure, band: SpectrumSpread) -> None:
    low, lower, median, upper, high = np.exp(band.logs)
    index = np.arange(1, len(median) + 1)
    around = np.concatenate([index, index[::-1]])
    bands = ((low, high, BAND, "90 % of the reference"), (lower, upper, HALF, "half of it"))
    for bottom, top, colour, name in bands:
        figure.add_scatter(
            x=around,
            y=np.concatenate([top, bottom[::-1]]),
            mode="none",
            fill="toself",
            fillcolor=colour,
            name=name,
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=index,
        y=median,
        mode="lines",
        line={"color": NEUTRAL, "dash": "dot", "width": 1.5},
        name="its median",
        hovertemplate="reference, k = %{x}: %{y:.3g}<extra></extra>",
    )


def attribution_figure(parts: ScoreAttribution) -> go.Figure:
    """A score taken apart: each log singular value minus the reference's median (bars), and their running sum below.

    The shortest run of directions that holds half of the whole difference is shaded_range, if there is one.
    """
    index = np.arange(1, len(parts.difference) + 1)
    each = go.Bar(
        x=index,
        y=parts.difference,
        marker={"color": np.where(parts.difference < 0, UNLIKELY, LIKELY).tolist(), "line": {"width": 0}},
        hovertemplate="k = %{x}: %{y:+.2f}<extra></extra>",
    )
    summed = go.Scatter(
        x=index,
        y=parts.cumulated,
        yaxis="y2",
        mode="lines+markers",
        line={"color": UNLIKELY if parts.total < 0 else LIKELY, "width": 2},
        marker={"size": 3},
        hovertemplate="up to k = %{x}: %{y:+.2f}<extra></extra>",
    )
    ground = [] if parts.run is None else [shaded_range(parts.run[0] - 0.5, parts.run[1] + 0.5, NEUTRAL)]
    # Not by `make_subplots`, which takes Plotly ten times as long.
    layout = LAYOUT | {
        "height": 320,
        "showlegend": False,
        "xaxis": AXIS | {"title": {"text": "k"}, "anchor": "y2"},
        "yaxis": AXIS | {"title": {"text": "each"}, "domain": [0.58, 1]},
        "yaxis2": AXIS | {"title": {"text": "summed up"}, "domain": [0, 0.52]},
        "shapes": [*ground, ZERO_LINE, ZERO_LINE | {"yref": "y2"}],
    }
    return go.Figure([each, summed], layout)
