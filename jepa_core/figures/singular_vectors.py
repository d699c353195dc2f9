"""Singular vectors and leverage maps as pictures and bars, and what happens on a walk along a direction."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float, UInt8
from numpy import ndarray

from jepa_core.figures.style import LIKELY, UNLIKELY, ZERO_LINE, finish


def singular_vector_picture(vector: Float[ndarray, "channel height width"]) -> UInt8[ndarray, "height width 3"]:
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
    return heatmap_picture(np.sqrt(np.square(vector).sum(axis=0)))


def heatmap_picture(values: Float[ndarray, "height width"]) -> UInt8[ndarray, "height width 3"]:
    """Numbers from 0 on as colours from dark blue to yellow, which get lighter throughout; the largest is yellow."""
    share = np.clip(values / max(float(values.max()), 1e-30), 0.0, 1.0)[..., None]
    dark, light = np.array([18.0, 22.0, 40.0]), np.array([255.0, 214.0, 102.0])
    return np.round(dark + share * (light - dark)).astype(np.uint8)


def overlay_heatmap(
    picture: UInt8[ndarray, "height width channel"], values: Float[ndarray, "height width"], opacity: float
) -> UInt8[ndarray, "height width 3"]:
    """A heat map laid on a picture, which is grey below it; `opacity` 0 shows the picture alone, 1 the map alone."""
    grey = picture.astype(np.float64).mean(axis=2, keepdims=True)
    return np.round((1 - opacity) * grey + opacity * heatmap_picture(values)).astype(np.uint8)


def left_vector_figure(vector: Float[ndarray, "k"], named: Sequence[int]) -> go.Figure:
    """A left singular vector as bars: which of the embedding's numbers move, and which way; some of them named."""
    index = np.arange(1, len(vector) + 1)
    names = [str(place) if place - 1 in named else "" for place in index]
    bars = go.Bar(
        x=index,
        y=vector,
        text=names,
        textposition="outside",
        textangle=0,
        cliponaxis=False,
        marker={"color": np.where(vector < 0, UNLIKELY, LIKELY).tolist(), "line": {"width": 0}},
        hovertemplate="number %{x}: %{y:+.3f}<extra></extra>",
        showlegend=False,
    )
    return finish(go.Figure(bars, {"shapes": [ZERO_LINE]}), x="number of the embedding", y="moves by", height=260)


def walk_figure(
    lengths: Float[ndarray, "steps"],
    values: Mapping[str, Float[ndarray, "steps"]],
    at: int,
    title: str,
    predicted: Mapping[str, Float[ndarray, "steps"]] | None = None,
) -> go.Figure:
    """What a walk does to a number, by its length t, one line for each direction.

    Args:
        lengths: t of each step.
        values: the numbers, by the direction's name.
        at: the step that is marked.
        title: of the vertical axis.
        predicted: what they would be if the encoder were linear, dashed.
    """
    figure = go.Figure()
    if predicted:  # a steep prediction must not press the curves to the ground
        figure.layout.yaxis.range = [0, 1.15 * max(1e-9, *(float(found.max()) for found in values.values()))]
    for (name, found), colour in zip(values.items(), (LIKELY, UNLIKELY), strict=True):
        if predicted:
            figure.add_scatter(
                x=lengths,
                y=predicted[name],
                mode="lines",
                line={"color": colour, "dash": "dash", "width": 1},
                name="if linear",
                showlegend=colour == LIKELY,
                hovertemplate=f"t = %{{x:.3g}}: %{{y:.3g}}<extra>{name}, if linear</extra>",
            )
        figure.add_scatter(
            x=lengths,
            y=found,
            mode="lines+markers",
            line={"color": colour},
            marker={"size": np.where(np.arange(len(found)) == at, 13, 5).tolist(), "opacity": 1.0},
            name=name,
            hovertemplate=f"t = %{{x:.3g}}: %{{y:.4g}}<extra>{name}</extra>",
        )
    return finish(figure, x="t (length in normalised pixels)", y=title, height=300)
