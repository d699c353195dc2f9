"""Correlation with the truth as the number of views grows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from jepa_core.figures.style import LIKELY, UNLIKELY, finish


def views_figure(result: Mapping[str, Any]) -> go.Figure:
    """Mean correlation over the seeds against the number of views, beside that of the point without noise (dashed)."""
    figure = go.Figure()
    for name, title, colour, symbol in (
        ("term", "with the Gaussian term", LIKELY, "circle"),
        ("score", "score alone", UNLIKELY, "diamond"),
    ):
        values = [line[name] for line in result["counts"]]
        means = [float(np.mean(one)) for one in values]
        figure.add_scatter(
            x=[line["views"] for line in result["counts"]],
            y=means,
            mode="lines+markers",
            name=title,
            line={"color": colour},
            marker={"symbol": symbol, "size": 8},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [max(one) - mean for one, mean in zip(values, means, strict=True)],
                "arrayminus": [mean - min(one) for one, mean in zip(values, means, strict=True)],
                "thickness": 1,
                "width": 3,
            },
            hovertemplate="%{x} views: %{y:.3f}<extra></extra>",
        )
        figure.add_hline(y=float(np.mean(result["none"][name])), line={"color": colour, "dash": "dash", "width": 1})
    figure = finish(figure, x="number of views", y="Pearson with log p(x)", height=320)
    figure.update_xaxes(type="log", tickvals=[line["views"] for line in result["counts"]])
    figure.update_yaxes(rangemode="tozero")
    return figure


def views_in_words(result: Mapping[str, Any]) -> str:
    """What `views_figure` shows, for who cannot see it."""
    means = "; ".join(f"{line['views']} views: {np.mean(line['term']):.2f}" for line in result["counts"])
    return f"Pearson with the Gaussian term, {means}"
