"""The drawn world's score held against the density that its pictures are drawn from."""

from collections.abc import Sequence

import streamlit as st
from numpy import ndarray

from jepa_core.analysis import known_density
from jepa_core.datasets import registry
from jepa_core.figures.known_density import known_density_figure
from jepa_core.figures.style import CONFIG
from pages._shared import score_tables
from pages._shared.choice import Choice
from pages._shared.errors import fragment
from pages._shared.text import escaped

TRUTH = "world-test"  # the bundled set whose pictures have a known density


@st.cache_data(show_spinner="Computing the known densities", max_entries=8)
def _truth(positions: Sequence[int], scale: Sequence[float]) -> ndarray:
    return known_density.log_density(positions, scale)


@fragment
def show(choice: Choice) -> None:
    """The scores of the drawn world beside its known density."""
    title = registry.list_datasets()[TRUTH].title
    table = score_tables.scores(choice, registry.list_datasets()[TRUTH]).reset_index(drop=True)
    truth = _truth(table["position"].tolist(), choice.spec.data_config["std"])
    readings = known_density.readings(table)
    st.header("Does the score read the density?")
    st.markdown(
        escaped(
            f"The pictures of {title} are drawn from a known density, so the score can be held against the truth. "
            f"Pearson's and Spearman's correlation with the known log-density, {len(table)} pictures: "
            f"{known_density.correlations_in_words(truth, readings)}. 1 would be a perfect reading, 0 none."
        )
    )
    drawn = st.segmented_control("Shown", list(readings)[:2], default="JEPA-SCORE", key="truth") or "JEPA-SCORE"
    st.plotly_chart(
        known_density_figure(truth, readings[drawn], table["label"].tolist(), drawn),
        config=CONFIG,
        alt=f"Known log-density and {drawn} of {len(table)} drawn pictures",
    )
