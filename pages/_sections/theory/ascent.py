"""Theory's experiment that climbs the score of a trained encoder."""

import streamlit as st

from jepa_core import theory
from jepa_core.figures import theory_sampling
from jepa_core.images import array_png
from jepa_core.theory import ascent
from jepa_core.theory import experiment as theory_experiment
from pages._sections.theory import experiment_parts
from pages._shared import image_grid, url_state


def show() -> None:
    experiment = theory.ASCENT
    st.header("Climbing an encoder's score")
    cells = experiment_parts.full_result(experiment)
    one, two = st.columns(2)
    with one:
        encoder = url_state.choose_one("Trained encoder", {name: name for name in ascent.ENCODERS}, "digits", "climber")
    with two:
        climb = url_state.choose_one("Climb", ascent.TERMS, "score", "climb")
    for cell in cells:
        if (cell.settings.encoder, cell.settings.climb) == (encoder, climb):
            start = "Noise" if cell.settings.image < 0 else f"Image {cell.settings.image}"
            st.caption(f"{start} (left), and where {cell.settings.steps} steps uphill lead")
            image_grid.grid(_frames(cell.result, start), key=f"climb-{cell.settings.image}")
    experiment_parts.made_by(experiment, cells)
    st.header("Climb here")
    one, two, three = st.columns(3)
    image = one.number_input("Image (-1 for noise)", -1, 300, 3, key="climb-image", bind="query-params")
    steps = two.slider("Steps", 10, 80, 40, 10, key="climb-steps", bind="query-params")
    size = three.select_slider(
        "Length of a step", (0.01, 0.02, 0.05, 0.1, 0.2), value=0.05, key="climb-size", bind="query-params"
    )

    def draw(result: theory_experiment.Result) -> None:
        image_grid.grid(_frames(result, "Start"), key="climb-live")
        path = result["path"]
        words = f"The score went from {path[0]['score']:.1f} to {path[-1]['score']:.1f}"
        experiment_parts.chart(theory_sampling.ascent_figure(path), "climb-path", words)

    settings = ascent.Settings(encoder=encoder, image=int(image), climb=climb, steps=steps, step_size=size)
    experiment_parts.run_here(experiment, settings, draw)


def _frames(result: theory_experiment.Result, start: str) -> list[image_grid.Card]:
    scores = {row["step"]: row["score"] for row in result["path"]}
    return [
        image_grid.Card(
            source=image_grid.data_address(array_png(ascent.picture(frame), 160)),
            problem="",
            title=f"step {frame['step']}",
            aside=(f"score {scores[frame['step']]:.1f}",),
            alt=f"{start} after {frame['step']} steps uphill",
        )
        for frame in result["frames"]
    ]
