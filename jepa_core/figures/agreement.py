"""How much of the ends of two orders is the same, beside what chance gives."""

from collections.abc import Mapping
from html import escape

import plotly.graph_objects as go

from jepa_core.analysis.agreement import Agreement
from jepa_core.figures.style import LIKELY, NEUTRAL, UNLIKELY, finish


def agreement_figure(found: Mapping[str, Agreement]) -> go.Figure:
    """A row for each encoder: the shares of the least and the most likely images in common, on chance's range."""
    figure = go.Figure()
    names = [escape(name) for name in found]
    for name, one in zip(names, found.values(), strict=True):
        figure.add_scatter(
            x=[one.least.low, one.least.high],
            y=[name, name],
            mode="lines",
            name="chance",
            legendgroup="chance",
            showlegend=name == names[0],
            line={"color": NEUTRAL, "width": 12},
            opacity=0.4,
            hovertemplate=f"chance: {one.least.low:.0%} to {one.least.high:.0%}<extra></extra>",
        )
    # Other shapes, not just other colours, and not of one size: two equal shares are both seen.
    for end, colour, symbol, size in (("least", UNLIKELY, "diamond", 14), ("most", LIKELY, "circle", 9)):
        figure.add_scatter(
            x=[(one.least if end == "least" else one.most).share for one in found.values()],
            y=names,
            mode="markers",
            name=f"{end} likely",
            marker={"color": colour, "symbol": symbol, "size": size},
            hovertemplate="%{y}: %{x:.0%} of the " + end + " likely<extra></extra>",
        )
    figure = finish(figure, x="share in common", y="", height=120 + 36 * len(names))
    figure.update_xaxes(tickformat=".0%", range=[-0.03, 1.03])
    figure.update_yaxes(autorange="reversed")  # the first on top
    return figure
