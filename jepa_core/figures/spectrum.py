"""The spectrum behind a score, beside a reference's, and the score taken apart."""

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray
from plotly.subplots import make_subplots

from jepa_core.figures.style import LIKELY, NEUTRAL, UNLIKELY, finish
from jepa_core.shortfall import Parts, Spread

BAND = "rgba(139,149,161,0.22)"


def spectrum_figure(
    sigma: Float[ndarray, "k"], rank: int, chosen: int | None = None, band: Spread | None = None
) -> go.Figure:
    """Singular values on a log axis.

    Args:
        sigma: all K values, largest first.
        rank: how many count; those beyond are drawn as noise.
        chosen: index (from 0) of a value to mark.
        band: the spread of a reference, drawn behind: its median, its middle half and its middle 90 %.
    """
    index = np.arange(1, len(sigma) + 1)
    figure = go.Figure()
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
    # Fewer digits on the axis than Plotly's default of every 2 and 5 of each decade.
    figure.update_yaxes(type="log", dtick=1, exponentformat="power")
    return finish(figure, x="k", y="singular value", height=320)


def _draw_band(figure: go.Figure, band: Spread) -> None:
    low, lower, median, upper, high = np.exp(band.logs)
    index = np.arange(1, len(median) + 1)
    shared = {"x": index, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    for bottom, top, name in ((low, high, "90 % of the reference"), (lower, upper, "half of it")):
        figure.add_scatter(y=bottom, showlegend=False, **shared)
        figure.add_scatter(y=top, fill="tonexty", fillcolor=BAND, name=name, **shared)
    figure.add_scatter(
        x=index,
        y=median,
        mode="lines",
        line={"color": NEUTRAL, "dash": "dot", "width": 1.5},
        name="its median",
        hovertemplate="reference, k = %{x}: %{y:.3g}<extra></extra>",
    )


def parts_figure(parts: Parts) -> go.Figure:
    """A score taken apart: each log singular value minus the reference's median (bars), and their running sum below.

    The shortest run of directions that holds half of the whole difference is shaded.
    """
    index = np.arange(1, len(parts.difference) + 1)
    figure = make_subplots(rows=2, shared_xaxes=True, vertical_spacing=0.06, row_heights=[0.45, 0.55])
    figure.add_bar(
        x=index,
        y=parts.difference,
        marker={"color": np.where(parts.difference < 0, UNLIKELY, LIKELY).tolist(), "line": {"width": 0}},
        hovertemplate="k = %{x}: %{y:+.2f}<extra></extra>",
        row=1,
        col=1,
    )
    figure.add_scatter(
        x=index,
        y=parts.cumulated,
        mode="lines+markers",
        line={"color": UNLIKELY if parts.total < 0 else LIKELY, "width": 2},
        marker={"size": 3},
        hovertemplate="up to k = %{x}: %{y:+.2f}<extra></extra>",
        row=2,
        col=1,
    )
    first, last = parts.run
    figure.add_vrect(x0=first - 0.5, x1=last + 0.5, fillcolor=NEUTRAL, opacity=0.2, line_width=0, layer="below")
    figure = finish(figure, x="", y="", height=320)
    figure.add_hline(y=0, line={"color": NEUTRAL, "width": 1})
    figure.update_layout(showlegend=False)
    figure.update_xaxes(title="k", row=2, col=1)
    figure.update_yaxes(title="each", row=1, col=1)
    figure.update_yaxes(title="summed up", row=2, col=1)
    return figure
