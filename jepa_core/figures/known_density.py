"""The score of pictures whose probability is known, against that probability."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray

from jepa_core.figures.style import DOMAINS, finish

_SYMBOLS = ("circle", "diamond", "square", "cross", "triangle-up", "x")  # not colours alone


def known_density_figure(
    density: Float[ndarray, "n"], scores: Float[ndarray, "n"], kinds: Sequence[str], score: str
) -> go.Figure:
    """A point for each picture: its known log-density (x) and its score (y), marked by its kind."""
    figure = go.Figure()
    labels = np.array(kinds)
    for number, kind in enumerate(sorted(set(kinds))):
        chosen = labels == kind
        figure.add_scatter(
            x=density[chosen],
            y=scores[chosen],
            mode="markers",
            name=kind,
            marker={
                "color": DOMAINS[number % len(DOMAINS)],
                "symbol": _SYMBOLS[number % len(_SYMBOLS)],
                "size": 6,
                "opacity": 0.7,
            },
            hovertemplate=f"{kind}<br>log-density %{{x:.1f}}, score %{{y:.2f}}<extra></extra>",
        )
    return finish(figure, x="known log-density (likely to the right)", y=score, height=380)
