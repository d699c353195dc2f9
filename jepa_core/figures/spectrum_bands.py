"""Which end of the spectrum separates two domains."""

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray

from jepa_core.figures.style import DOMAINS, NEUTRAL, finish, shaded_range


def spectrum_bands_figure(
    single: Float[ndarray, "rank"],
    from_top: Float[ndarray, "rank"],
    from_bottom: Float[ndarray, "rank"],
    quarter: int,
) -> go.Figure:
    """AUROC by index k of the singular values: each alone, the k largest together, and all from k on.

    The `quarter` largest and smallest, the head and the tail, are shaded.
    """
    rank = len(single)
    figure = go.Figure()
    for first, last in ((1, quarter), (rank - quarter + 1, rank)):
        figure.add_shape(shaded_range(first - 0.5, last + 0.5, NEUTRAL, 0.16))
    index = np.arange(1, rank + 1)
    curves = (
        (single, "k alone", "markers", DOMAINS[2], "solid"),
        (from_top, "1 to k (from the largest)", "lines", DOMAINS[0], "solid"),
        (from_bottom, "k to the last (from the smallest)", "lines", DOMAINS[1], "dash"),
    )
    for values, name, mode, colour, dash in curves:
        figure.add_scatter(
            x=index,
            y=values,
            mode=mode,
            name=name,
            line={"color": colour, "width": 2.5, "dash": dash},
            marker={"color": colour, "size": 6},
            hovertemplate="k = %{x}: AUROC %{y:.2f}<extra>" + name + "</extra>",
        )
    figure.add_hline(y=0.5, line={"color": NEUTRAL, "dash": "dot"})
    figure = finish(figure, x="k   (shaded: head on the left, tail on the right)", y="AUROC", height=340)
    figure.update_xaxes(range=[0.5, rank + 0.5])
    figure.update_yaxes(range=[-0.03, 1.03])
    return figure
