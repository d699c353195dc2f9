"""The sizes of an encoder's layers for one picture, beside those of pictures that it knows."""

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray

from jepa_core.figures.style import LIKELY, NEUTRAL, UNLIKELY, finish

_FAR = 3.0
"""Spreads: of a normal size one in 370 lies as far from the mean."""


def layer_deviations_figure(deviations: Float[ndarray, "sizes"]) -> go.Figure:
    """A bar for each part of the Jacobian, in the order of the network: how far its size lies from what is usual.

    `deviations` has two for each part, of its mean magnitude and its mean square; the larger one is drawn, in spreads.
    """
    parts = _by_part(deviations)
    figure = go.Figure(
        go.Bar(
            x=np.arange(1, len(parts) + 1),
            y=parts,
            marker_color=np.where(np.abs(parts) > _FAR, UNLIKELY, LIKELY).tolist(),
            hovertemplate="part %{x} of " + str(len(parts)) + ": %{y:.1f} spreads<extra></extra>",
        )
    )
    for limit in (-_FAR, _FAR):
        figure.add_hline(limit, line={"color": NEUTRAL, "dash": "dot", "width": 1})
    return finish(figure, x="parts of the network, first to last", y="spreads from the mean", height=220)


def layer_deviations_in_words(deviations: Float[ndarray, "sizes"]) -> str:
    """The figure in a sentence."""
    parts = np.abs(_by_part(deviations))
    far = np.flatnonzero(parts > _FAR)
    if not len(far):
        return f"All {len(parts)} parts of the network lie within {_FAR:g} spreads of the mean"
    return (
        f"{len(far)} of {len(parts)} parts of the network lie beyond {_FAR:g} spreads of the mean, the farthest is "
        f"part {int(parts.argmax()) + 1} at {parts.max():.1f}"
    )


def _by_part(deviations: Float[ndarray, "sizes"]) -> Float[ndarray, "parts"]:
    pairs = deviations.reshape(-1, 2) if len(deviations) % 2 == 0 else deviations[:, None]
    return pairs[np.arange(len(pairs)), np.abs(pairs).argmax(axis=1)]
