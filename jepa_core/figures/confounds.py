"""What separates two sets: each measure alone, and the score once the sets are matched in it."""

import pandas as pd
import plotly.graph_objects as go

from jepa_core.figures.style import DOMAINS, LIKELY, NEUTRAL, finish, shaded_range
from jepa_core.wording import with_interval


def confounds_figure(table: pd.DataFrame, auroc: float, low: float, high: float) -> go.Figure:
    """A row for each measure, the strongest on top, beside the score's own AUROC with its interval.

    `table` is that of `jepa_core.confounds.report.as_table`. A measure in which the sets cannot be matched has no
    diamond.
    """
    figure = go.Figure()
    table = table.iloc[(table["auroc"] - 0.5).abs().argsort(kind="stable")[::-1]]
    names = table["measure"].tolist()
    figure.add_scatter(
        x=[auroc, auroc],
        y=[names[0], names[-1]],
        mode="lines",
        name="the score",
        line={"color": LIKELY, "width": 3},
        hovertemplate=f"the score: AUROC {with_interval(auroc, low, high)}<extra></extra>",
    )
    figure.add_shape(shaded_range(low, high, LIKELY))
    figure.add_scatter(
        x=table["auroc"],
        y=names,
        mode="markers",
        name="the measure alone",
        marker={"color": NEUTRAL, "symbol": "circle-open", "size": 11, "line": {"width": 2}},
        hovertemplate="%{y} alone: AUROC %{x:.2f}<extra></extra>",
    )
    matched = table[table["after"].notna()]
    figure.add_scatter(
        x=matched["after"],
        y=matched["measure"],
        mode="markers",
        name="the score, sets matched",
        marker={"color": DOMAINS[1], "symbol": "diamond", "size": 10},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": matched["after_high"] - matched["after"],
            "arrayminus": matched["after"] - matched["after_low"],
            "color": DOMAINS[1],
        },
        hovertemplate="the score among images matched in %{y}: AUROC %{x:.2f}<extra></extra>",
    )
    figure.add_vline(x=0.5, line={"color": NEUTRAL, "dash": "dot"})
    figure = finish(figure, x="AUROC   (0.5: no separation)", y="", height=110 + 30 * len(names))
    figure.update_xaxes(range=[-0.03, 1.03])
    figure.update_yaxes(autorange="reversed", categoryorder="array", categoryarray=names)  # the first on top
    return figure
