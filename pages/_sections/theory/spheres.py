"""Theory's experiment on Gaussian vectors: why an embedding of many numbers lies on a sphere."""

import streamlit as st

from jepa_core import theory
from jepa_core.figures import theory_spheres
from jepa_core.theory import experiment as theory_experiment
from jepa_core.theory import spheres
from pages._sections.theory import experiment_parts


def show() -> None:
    cells = experiment_parts.full_result(theory.SPHERES)
    left, middle, right = st.columns(3)
    some = [(cell.settings.k, cell.result) for cell in cells if cell.settings.k in (2, 8, 32, 256, 4096)]
    with left:
        st.header("The length narrows")
        experiment_parts.chart(
            theory_spheres.exact_laws_figure(some, "length"),
            "spheres-length",
            "Densities of |z|/√K, narrower as K grows",
        )
    with middle:
        st.header("A coordinate looks Gaussian")
        experiment_parts.chart(
            theory_spheres.exact_laws_figure(some, "coordinate"),
            "spheres-coordinate",
            "Densities that come close to N(0, 1)",
        )
    with right:
        st.header("What the score leaves out widens")
        rows = spheres.spreads(cells)
        alt = "; ".join(f"K = {row['k']}: |z|/√K {row['length_sd']:.2g}, |z|²/2 {row['term_sd']:.2g}" for row in rows)
        experiment_parts.chart(theory_spheres.deviations_figure(rows), "spheres-spread", alt)
    experiment_parts.made_by(theory.SPHERES, cells)
    st.header("Run it here")
    k = st.select_slider("K", [cell.settings.k for cell in cells], value=16, key="sphere-k", bind="query-params")

    def draw(result: theory_experiment.Result) -> None:
        experiment_parts.chart(
            theory_spheres.drawn_vectors_figure(result),
            "spheres-live",
            "Drawn lengths and coordinates beside their laws",
        )
        drawn, exact = result["drawn"], result["exact"]
        st.caption(
            f"Standard deviation of |z|/√K: {drawn['length_sd']:.4f} drawn, {exact['length_sd']:.4f} exact. "
            f"Of |z|²/2: {drawn['term_sd']:.2f} drawn, {exact['term_sd']:.2f} exact."
        )

    experiment_parts.run_here(theory.SPHERES, spheres.Settings(k=k), draw)
