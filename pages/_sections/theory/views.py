"""Theory's experiment on more views of a point."""

import streamlit as st

from jepa_core import theory
from jepa_core.figures import theory_views
from jepa_core.theory import experiment as theory_experiment
from jepa_core.theory import truth, views
from pages._sections.theory import experiment_parts


def show() -> None:
    experiment = theory.VIEWS
    cells = experiment_parts.full_result(experiment)
    for first in range(0, len(cells), 2):
        for column, cell in zip(st.columns(2), cells[first : first + 2], strict=False):
            with column:
                st.header(f"D = {cell.settings.dim}, noise {cell.settings.noise:g}")
                _draw_views(cell.result, f"views-{cell.settings.dim}-{cell.settings.noise}")
    experiment_parts.made_by(experiment, cells)
    st.header("Run it here")
    one, two = st.columns(2)
    dim = one.select_slider("Dimension D", truth.DIMS[:5], value=2, key="views-dim", bind="query-params")
    noise = two.select_slider(
        "Noise of a view", (0.03, 0.1, 0.2, 0.3, 0.5), value=0.2, key="views-noise", bind="query-params"
    )

    def draw(result: theory_experiment.Result) -> None:
        if "counts" in result:
            _draw_views(result, "views-live")

    experiment_parts.run_here(experiment, views.Settings(dim=dim, noise=noise, seeds=(0,), steps=800), draw)


def _draw_views(result: theory_experiment.Result, key: str) -> None:
    experiment_parts.chart(theory_views.views_figure(result), key, theory_views.views_in_words(result))
