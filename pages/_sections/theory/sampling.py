"""Theory's experiment that samples with an encoder's score, and where its ascent leads."""

import streamlit as st

from jepa_core import theory
from jepa_core.figures import theory_sampling
from jepa_core.theory import experiment as theory_experiment
from jepa_core.theory import sampling
from pages._sections.theory import ascent as ascent_section
from pages._sections.theory import experiment_parts
from pages._shared import url_state


def show() -> None:
    cells = experiment_parts.full_result(theory.SAMPLING)
    first = [cell for cell in cells if cell.settings.seed == 0]
    for cell in first:
        name = sampling.DENSITIES[cell.settings.density]
        st.header(name[0].upper() + name[1:])
        _draw_samples(cell.result, f"samples-{cell.settings.density}")
    experiment_parts.made_by(theory.SAMPLING, cells)
    st.header("Run it here")
    one, two, three = st.columns(3)
    with one:
        density = url_state.choose_one("Density", sampling.DENSITIES, "moons", "density")
    size = two.select_slider(
        "Step size η", (0.001, 0.002, 0.005, 0.01, 0.02, 0.05), value=0.002, key="eta", bind="query-params"
    )
    heat = three.select_slider(
        "Temperature T", (0.0, 0.1, 0.3, 0.5, 1.0, 1.5, 2.0), value=1.0, key="temperature", bind="query-params"
    )
    settings = sampling.Settings(density=density, step_size=size, temperature=heat, steps=1500, walk=600)
    experiment_parts.run_here(theory.SAMPLING, settings, lambda result: _draw_samples(result, "samples-live"))
    ascent_section.show()


def _draw_samples(result: theory_experiment.Result, key: str) -> None:
    left, right = st.columns([3, 2])
    with left:
        experiment_parts.chart(theory_sampling.samples_figure(result), key, "True points, and the points of the walk")
    with right:
        now = result.get("energy", result["energy_start"])
        words = (
            f"Energy distance to the truth: samples {now:.3f}, fresh true sample {result['energy_fresh']:.3f}, "
            f"starting points {result['energy_start']:.3f}"
        )
        experiment_parts.chart(theory_sampling.energy_distance_figure(result), f"{key}-energy", words)
        if "density" in result:
            words += (
                f". Mean true log-density: samples {result['density']:.2f}, fresh true sample "
                f"{result['density_fresh']:.2f}"
            )
        st.caption(f"{words}.")
