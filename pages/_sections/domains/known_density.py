"""The drawn world's score held against the density that its pictures are drawn from."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from jepa_core.datasets import known_density, registry
from jepa_core.figures.known_density import truth_figure
from jepa_core.figures.style import CONFIG
from pages._shared import score_tables
from pages._shared.choice import Choice
from pages._shared.errors import fragment
from pages._shared.text import plain

TRUTH = "world-test"  # the bundled set whose pictures have a known density


@st.cache_data(show_spinner="Computing the known densities", max_entries=8)
def _truth(positions: Sequence[int], scale: Sequence[float]) -> pd.Series:
    return pd.Series(known_density.known_log_density("test", positions, np.resize(scale, 3))[1])


@fragment
def show(choice: Choice) -> None:
    """The scores of the drawn world beside its known density."""
    listed = registry.list_datasets()
    table = score_tables.scores(choice, listed[TRUTH]).reset_index(drop=True)
    truth = _truth(table["position"].tolist(), choice.spec.data_config["std"])
    gaussian_term = -table["squared_norm"] / 2
    columns = {
        "JEPA-SCORE": table["jepa_score"],
        "with the Gaussian term": table["gaussian_score"],
        "Gaussian term alone": gaussian_term,
    }
    st.header("Does the score read the density?")
    found = ", ".join(
        f"{name} {truth.corr(values, method='pearson'):.2f} and {truth.corr(values, method='spearman'):.2f}"
        for name, values in columns.items()
    )
    st.markdown(
        plain(
            f"The pictures of {listed[TRUTH].title} are drawn from a known density, so the score can be held against "
            f"the truth. Pearson's and Spearman's correlation with the known log-density, {len(table)} pictures: "
            f"{found}. 1 would be a perfect reading, 0 none."
        )
    )
    drawn = st.segmented_control("Shown", list(columns)[:2], default="JEPA-SCORE", key="truth") or "JEPA-SCORE"
    st.plotly_chart(
        truth_figure(truth.to_numpy(), columns[drawn].to_numpy(), table["label"].tolist(), drawn),
        config=CONFIG,
        alt=f"Known log-density and {drawn} of {len(table)} drawn pictures",
    )
