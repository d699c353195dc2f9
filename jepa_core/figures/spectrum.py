"""The spectrum behind a score, and its directions as pictures."""

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float, UInt8
from numpy import ndarray

from jepa_core.figures.style import LIKELY, NEUTRAL, UNLIKELY, finish


def spectrum_figure(
    sigma: Float[ndarray, "k"], rank: int, chosen: int, band: Float[ndarray, "3 k"] | None = None
) -> go.Figure:
    """Singular values on a log axis, the chosen one marked (its index from 0).

    Args:
        sigma: all K values, largest first.
        rank: how many count; those beyond are drawn as noise.
        chosen: index of the marked value.
        band: 5 %, 50 % and 95 % quantiles of a reference's spectra, drawn behind.
    """
    index = np.arange(1, len(sigma) + 1)
    figure = go.Figure()
    if band is not None:
        figure.add_scatter(x=index, y=band[0], mode="lines", line={"width": 0}, hoverinfo="skip", showlegend=False)
        figure.add_scatter(
            x=index,
            y=band[2],
            mode="lines",
            line={"width": 0},
            fill="tonexty",
            fillcolor="rgba(139,149,161,0.25)",
            name="reference, 5 % to 95 %",
            hoverinfo="skip",
        )
    figure.add_scatter(
        x=index[:rank],
        y=sigma[:rank],
        mode="lines+markers",
        name="this image",
        line={"color": LIKELY},
        marker={"size": 4},
        hovertemplate="k = %{x}: %{y:.3g}<extra></extra>",
    )
    if rank < len(sigma):
        figure.add_scatter(
            x=index[rank:], y=sigma[rank:], mode="markers", name="beyond the rank", marker={"color": NEUTRAL}
        )
    figure.add_scatter(
        x=[chosen + 1],
        y=[sigma[chosen]],
        mode="markers",
        name=f"k = {chosen + 1}",
        marker={"color": UNLIKELY, "size": 11, "line": {"width": 2, "color": "white"}},
        hoverinfo="skip",
    )
    # Fewer digits on the axis than Plotly's default of every 2 and 5 of each decade.
    figure.update_yaxes(type="log", dtick=1, exponentformat="power")
    return finish(figure, x="k", y="singular value", height=320)


def signed_picture(vector: Float[ndarray, "channel height width"]) -> UInt8[ndarray, "height width 3"]:
    """A right singular vector as a picture: mid-grey is no change.

    One channel: orange is darker, blue is lighter. Three channels: the change itself in colour, scaled to its largest
    entry.
    """
    scaled = vector / max(float(np.abs(vector).max()), 1e-30)
    if vector.shape[0] == 3:
        return np.round(127.5 + 127.5 * scaled.transpose(1, 2, 0)).astype(np.uint8)
    grey = np.array([238.0, 238.0, 238.0])
    ends = np.array([[0xD4, 0x5F, 0x1A], [0x1F, 0x77, 0xB4]], dtype=float)
    share = np.abs(scaled[0])[..., None]
    towards = np.where(scaled[0][..., None] < 0, ends[0], ends[1])
    return np.round(grey + share * (towards - grey)).astype(np.uint8)


def energy_picture(vector: Float[ndarray, "channel height width"]) -> UInt8[ndarray, "height width 3"]:
    """Where a right singular vector acts: the squared entries summed over channels, square root for visibility."""
    energy = np.sqrt(np.square(vector).sum(axis=0))
    share = (energy / max(float(energy.max()), 1e-30))[..., None]
    dark, light = np.array([18.0, 22.0, 40.0]), np.array([255.0, 214.0, 102.0])
    return np.round(dark + share * (light - dark)).astype(np.uint8)
