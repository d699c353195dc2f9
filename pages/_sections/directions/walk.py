"""A walk on a page: a slider of its length, the pictures at both ends of it, and what happened to the score."""

import streamlit as st

from jepa_core.explain.walks import SEED, STEPS, Walk, Walks
from jepa_core.figures.singular_vectors import walk_figure
from jepa_core.figures.style import CONFIG
from jepa_core.images import array_png
from pages._shared import image_grid
from pages._shared.errors import fragment


@fragment
def show(walks: Walks, k: int) -> None:
    """The walk along direction k (from 0) beside the random one; everything is in `walks` already."""
    along, random = walks.along, walks.random
    at = _choose_step(along)
    t, name = along.lengths[at], f"along direction {k + 1}"
    image_grid.grid(
        [
            _card(along, STEPS, "The image", "t = 0"),
            _card(along, at, name.capitalize(), f"t = {t:g}"),
            _card(random, at, "Along a random direction", f"t = {t:g}"),
        ],
        key="walk",
        label=f"The image, and where the walk {name} and a random one lead",
        large=True,
    )
    st.markdown(_words(along, at, f"Along direction {k + 1}") + " " + _words(random, at, "Along the random direction"))
    left, right = st.columns(2, gap="medium")
    names = (f"direction {k + 1}", "random")
    with left:
        scores = dict(zip(names, (along.scores, random.scores), strict=True))
        figure = walk_figure(along.lengths, scores, at, "JEPA-SCORE")
        st.plotly_chart(figure, config=CONFIG, alt=f"JEPA-SCORE by the length of the step, {name} and a random one")
    with right:
        distances = dict(zip(names, (along.distances, random.distances), strict=True))
        predicted = dict(zip(names, (along.predicted, random.predicted), strict=True))
        figure = walk_figure(along.lengths, distances, at, "the embedding moves by", predicted)
        st.plotly_chart(
            figure,
            config=CONFIG,
            alt=f"Distance of the embedding by the length of the step, {name} and a random one, beside the prediction",
        )
    st.caption(
        "t is the length of the change in normalised pixels, and t = 0 the image itself. Where a value would leave 0 "
        "to 255 it is clipped, and the score is that of the clipped picture. Dashed: how far the embedding would move "
        f"if the encoder were linear and nothing were clipped. The random direction is drawn with seed {SEED}."
    )


def _choose_step(walk: Walk) -> int:
    """The step of the walk, from 0."""
    farthest, step = float(walk.lengths[-1]), float(walk.lengths[STEPS + 1])
    if abs(st.session_state.get("t", 0.0)) > farthest:  # of another encoder
        st.session_state["t"] = 0.0
    text = "0 is the image itself; the direction has two ends, since its sign is a convention."
    default = walk.lengths[STEPS + 2]
    t = st.slider(
        "Step length t", -farthest, farthest, float(default), step, key="t", bind="query-params", help=text, format="%g"
    )
    return STEPS + round(t / step)


def _card(walk: Walk, at: int, title: str, length: str) -> image_grid.Card:
    picture = walk.pictures[at]
    shown = array_png(picture if picture.shape[2] == 3 else picture.repeat(3, axis=2), 320)
    aside = (length, f"score {walk.scores[at]:.1f}", f"moved by {walk.distances[at]:.2g}")
    return image_grid.Card(image_grid.data_address(shown), "", title, aside, f"{title}, {', '.join(aside)}")


def _words(walk: Walk, at: int, name: str) -> str:
    """What the step did, in one sentence."""
    if at == STEPS:
        return f"{name} nothing has changed at t = 0."
    change = walk.scores[at] - walk.scores[STEPS]
    count, pixels = int(walk.clipped[at]), walk.pictures[at][..., 0].size
    return (
        f"{name} the score changes by **{change:+.1f}**, and the embedding moves by {walk.distances[at]:.3g} where a "
        f"linear encoder would move it by {walk.predicted[at]:.3g}; {count} of {pixels} pixels are clipped."
    )
