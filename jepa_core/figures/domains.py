"""Whole sets of images below each other on one score: as histograms, densities or cumulative shares.

The curves are computed here, so that the browser gets a few hundred numbers and not every image, and all rows of a kind
share one trace, so that another view is drawn at once.
"""

from collections.abc import Mapping
from html import escape

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import gaussian_kde

from jepa_core.figures.style import LIKELY, NEUTRAL, finish, shaded_range, translucent

FORMS = {"histogram": "Histogram", "density": "Density", "cumulative": "Cumulative"}
"""The ways to draw a set, by name, with their titles."""

SCORE = "JEPA-SCORE (likely to the right)"

_ROW = 0.85  # height of a set, where rows are 1 apart
_BINS, _POINTS = 60, 160
_GAP = np.array([np.nan])


def domain_figure(
    scores: Mapping[str, Float[ndarray, "_n"]],
    reference: str,
    form: str = "histogram",
    *,
    axis: str = SCORE,
    row_height: int = 40,
) -> go.Figure:
    """Sets (name -> scores) in rows on one axis, the reference's in colour and its middle half behind all.

    A histogram or a density has its own height in each row, so that a wide set is seen as well as a narrow one. The
    cumulative share, the part of a set's images up to a score, rises from 0 to 1 in each row, with the reference's
    beside it as a dotted line: where a set's lies above it, its images are less likely. Under each row are a bar over
    its middle half and a tick at its median.
    """
    finite = {name: values[np.isfinite(values)] for name, values in scores.items()}
    low, high = _span(np.concatenate([*finite.values(), np.empty(0)]))
    rows = len(scores)
    ticks = {"tickvals": list(range(rows)), "ticktext": [escape(name) for name in scores][::-1]}
    axes = {"xaxis": {"range": [low, high]}, "yaxis": ticks | {"range": [-0.2, rows], "showgrid": False}}
    figure = go.Figure(layout={"showlegend": False, **axes})
    grounds = {name: rows - 1 - position for position, name in enumerate(scores)}  # the first on top
    normal = finite[reference]
    for colour, names in ((NEUTRAL, [name for name in scores if name != reference]), (LIKELY, [reference])):
        _add_curves(
            figure, {name: finite[name] for name in names if finite[name].size}, grounds, form, (low, high), colour
        )
        _add_middles(figure, {name: scores[name] for name in names if len(scores[name])}, grounds, colour)
    if form == "cumulative" and normal.size:
        x, share, _said = _curve(form, normal, low, high)
        others = [ground for name, ground in grounds.items() if name != reference]
        figure.add_scatter(
            x=np.concatenate([np.append(x, _GAP) for _ground in others] or [_GAP]),
            y=np.concatenate([np.append(ground + _ROW * share, _GAP) for ground in others] or [_GAP]),
            mode="lines",
            line={"color": LIKELY, "width": 1.5, "dash": "dot"},
            hoverinfo="skip",
        )
    if len(scores[reference]):
        left, right = np.quantile(scores[reference], [0.25, 0.75])
        figure.add_shape(shaded_range(left, right, LIKELY, 0.12))
    return finish(figure, x=axis, y="", height=90 + row_height * rows)


def medians_in_words(scores: Mapping[str, Float[ndarray, "_n"]]) -> str:
    """The median of each set that has scores, for who cannot see the figure.

    >>> medians_in_words({"digits": np.array([1.0, 3.0, 2.0]), "noise": np.array([])})
    'digits 2.0'
    """
    return "; ".join(f"{name} {np.median(values):.1f}" for name, values in scores.items() if len(values))


def _span(values: ndarray) -> tuple[float, float]:
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = 0.03 * (high - low) or 0.5  # one value still gets a bar of visible width
    return low - margin, high + margin


def _curve(form: str, values: ndarray, low: float, high: float) -> tuple[ndarray, ndarray, list[str]]:
    """The points of a set's outline: scores, heights from 0 to 1, and what is said when one is pointed at."""
    if form == "histogram":
        edges = np.linspace(low, high, _BINS + 1)
        share = np.repeat(np.histogram(values, edges)[0] / values.size, 2)
        return np.repeat(edges, 2)[1:-1], share / share.max(), [f"{part:.1%} of the images" for part in share]
    x = np.linspace(low, high, _POINTS)
    if form == "cumulative":
        share = np.searchsorted(np.sort(values), x, side="right") / values.size
        return x, share, [f"{part:.0%} of the images up to here" for part in share]
    density = _density(values, x)
    peak = density.max()
    return x, density / peak, [f"{part:.0%} of its peak" for part in density / peak]


def _density(values: ndarray, x: ndarray) -> ndarray:
    """A Gaussian kernel density with Scott's bandwidth; one value alone, or one for all, is as wide as a step of x."""
    step = x[1] - x[0]
    if values.size < 2 or values.std() < step / 10:
        return np.exp(-(((x - values.mean()) / step) ** 2) / 2)
    return gaussian_kde(values)(x)


def _add_curves(
    figure: go.Figure,
    sets: Mapping[str, ndarray],
    grounds: Mapping[str, int],
    form: str,
    span: tuple[float, float],
    colour: str,
) -> None:
    """The filled outlines of sets of one colour, with gaps between them."""
    across: list[ndarray] = []
    up: list[ndarray] = []
    said: list[str] = []
    for name, values in sets.items():
        x, height, words = _curve(form, values, *span)
        across.append(np.concatenate([x[:1], x, x[-1:], _GAP]))
        up.append(grounds[name] + np.concatenate([[0.0], _ROW * height, [0.0], _GAP]))
        hints = [f"{escape(name)}<br>{where:.1f}: {part}" for where, part in zip(x, words, strict=True)]
        said += [hints[0], *hints, hints[-1], ""]
    if not sets:
        return
    figure.add_scatter(
        x=np.concatenate(across),
        y=np.concatenate(up),
        text=said,
        mode="lines",
        line={"color": colour, "width": 1.5},
        fill="toself",
        fillcolor=translucent(colour, 0.25),
        hoveron="points",
        hovertemplate="%{text}<extra></extra>",
    )


def _add_middles(figure: go.Figure, sets: Mapping[str, ndarray], grounds: Mapping[str, int], colour: str) -> None:
    """For each set a bar over its middle half and a tick at its median, at the ground of its row."""
    x: list[float] = []
    y: list[float] = []
    said: list[str] = []
    for name, values in sets.items():
        quarter, median, three = (float(one) for one in np.quantile(values, [0.25, 0.5, 0.75]))
        ground = grounds[name]
        x += [quarter, three, np.nan, median, median, np.nan]
        y += [ground - 0.06, ground - 0.06, np.nan, ground - 0.1, ground + _ROW / 2, np.nan]
        words = f"{escape(name)}<br>median {median:.1f}, middle half {quarter:.1f} to {three:.1f}"
        said += [words] * 6
    if sets:
        figure.add_scatter(
            x=x,
            y=y,
            text=said,
            mode="lines",
            line={"color": colour, "width": 3},
            hovertemplate="%{text}<extra></extra>",
        )
