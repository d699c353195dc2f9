"""Where one picture falls among the references by each method, on one scale."""

import pandas as pd
import plotly.graph_objects as go

from jepa_core.figures.style import LIKELY, NEUTRAL, UNLIKELY, finish


def percentiles_figure(table: pd.DataFrame) -> go.Figure:
    """A dot with its 90 % interval for each line of `evidence.percentiles_table`; a diamond where the method finds it
    unusual, an open circle for a method that the verdict does not ask.

    The axis is the share of references below the picture's value, 0 to 100 %. Methods come from the top in the order of
    the table.
    """
    table = table.assign(row=range(len(table) - 1, -1, -1))
    unusual, aside = table["raised"].eq(True), table["raised"].isna()
    figure = go.Figure()
    for part, name, symbol, size, colour in (
        (table[~unusual & ~aside], "like the references", "circle", 11, LIKELY),
        (table[unusual], "unusual", "diamond", 14, UNLIKELY),
        (table[aside], "not asked for the verdict", "circle-open", 11, NEUTRAL),
    ):
        if part.empty:
            continue
        figure.add_scatter(
            x=part["percentile"],
            y=part["row"],
            mode="markers",
            name=name,
            customdata=part[["low", "high"]],
            text=part["method"],
            marker={"symbol": symbol, "size": size, "color": colour},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": part["high"] - part["percentile"],
                "arrayminus": part["percentile"] - part["low"],
                "color": NEUTRAL,
            },
            hovertemplate="%{text}: above %{x:.1f} % (%{customdata[0]:.1f} to %{customdata[1]:.1f})<extra></extra>",
        )
    figure = finish(figure, x="above % of the references", y="", height=280)
    figure.update_xaxes(range=[-4, 104], tickvals=[0, 25, 50, 75, 100])
    figure.update_yaxes(tickvals=table["row"], ticktext=table["method"], range=[-0.6, len(table) - 0.4], showgrid=False)
    return figure
