"""Colours and layout that all figures share.

The colours are from Okabe and Ito's palette, which stays apart under the common colour-vision deficiencies, slightly
lightened so that they read on a white and on a dark page. Fonts and backgrounds come from the page's theme.
"""

import plotly.graph_objects as go

LIKELY = "#2b8cc4"
UNLIKELY = "#e07b39"
NEUTRAL = "#8b95a1"
DOMAINS = ("#2b8cc4", "#e07b39", "#2a9d78", "#c77bb3", "#d1a32a", "#6cb8e6", "#7d6fd0", "#9a9a9a", "#b3563f", "#5f8f3e")


def finish(figure: go.Figure, *, x: str, y: str, height: int = 300) -> go.Figure:
    """Apply the shared layout: axis titles, tight margins, a legend above the plot."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 28, "b": 8},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.0, "x": 0, "title": None},
        hoverlabel={"namelength": -1},
        dragmode=False,  # a finger that scrolls past a chart must not zoom it
        barmode="overlay",
        bargap=0.04,
    )
    figure.update_xaxes(title=x, fixedrange=True, zeroline=False, automargin=True)
    figure.update_yaxes(title=y, fixedrange=True, zeroline=False, automargin=True)
    return figure


CONFIG = {"displayModeBar": False, "displaylogo": False}
"""What `st.plotly_chart` gets as `config`."""
