"""Quantiles of embeddings against those of the normal distribution: on the diagonal, they are Gaussian."""

from collections.abc import Sequence

import plotly.graph_objects as go

from jepa_core.figures.style import LIKELY, NEUTRAL, finish


def qq_figure(normal: Sequence[float], embedding: Sequence[float]) -> go.Figure:
    """Quantiles of the embeddings' projections (y) at the quantiles of N(0, 1) (x), and the line where both agree."""
    ends = [min(*normal, *embedding), max(*normal, *embedding)]
    figure = go.Figure()
    figure.add_scatter(
        x=ends, y=ends, mode="lines", name="exactly Gaussian", line={"color": NEUTRAL, "dash": "dot"}, hoverinfo="skip"
    )
    figure.add_scatter(
        x=list(normal),
        y=list(embedding),
        mode="markers",
        name="held-out embeddings",
        marker={"color": LIKELY, "size": 7},
        hovertemplate="normal %{x:.2f}, embedding %{y:.2f}<extra></extra>",
    )
    return finish(figure, x="quantile of the normal distribution", y="quantile of the embedding", height=320)
