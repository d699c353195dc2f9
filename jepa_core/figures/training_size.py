"""What a larger training set changed on each domain."""

from html import escape

import pandas as pd
import plotly.graph_objects as go

from jepa_core.figures.style import DOMAINS, NEUTRAL, finish


def training_size_figure(table: pd.DataFrame, smaller: str, larger: str) -> go.Figure:
    """The AUROC of each domain with the encoder of the smaller and of the larger training set, joined by a line.

    `table` is that of `jepa_core.analysis.training_size.compare`.
    """
    figure = go.Figure()
    names = [escape(name) for name in table["domain"]]
    for name, low, high in zip(names, table["auroc_smaller"], table["auroc_larger"], strict=True):
        figure.add_scatter(
            x=[low, high],
            y=[name, name],
            mode="lines",
            line={"color": NEUTRAL, "width": 2},
            showlegend=False,
            hoverinfo="skip",
        )
    for column, encoder, colour in (("smaller", smaller, DOMAINS[3]), ("larger", larger, DOMAINS[2])):
        figure.add_scatter(
            x=table[f"auroc_{column}"],
            y=names,
            mode="markers",
            name=escape(f"{encoder} ({column} training set)"),
            marker={"color": colour, "size": 11},
            hovertemplate="%{y}: AUROC %{x:.2f}<extra>" + escape(encoder) + "</extra>",
        )
    figure.add_vline(x=0.5, line={"color": NEUTRAL, "dash": "dot"})
    figure = finish(figure, x="AUROC   (right: less likely)", y="", height=110 + 34 * len(names))
    figure.update_xaxes(range=[-0.03, 1.03])
    figure.update_yaxes(autorange="reversed")  # the first on top
    return figure
