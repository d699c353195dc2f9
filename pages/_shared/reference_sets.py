"""What one image is held against: the encoder's reference and its training set, as far as they have scores."""

import numpy as np
import pandas as pd
import streamlit as st

from jepa_core.analysis.methods import Domain, load_domain
from jepa_core.datasets import registry
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.explain import image as explain_image
from jepa_core.explain.attribution import Spread
from jepa_core.stats.conformal import percentile
from pages._shared import state
from pages._shared.state import Choice

NEAREST = 8  # neighbours shown of each set


def known_set(name: str, choice: Choice) -> DatasetSpec | None:
    """A bundled or listed dataset that has scores of this encoder and output; None for another, or for no name."""
    found = registry.list_datasets().get(name)
    return found if found and state.scored(choice, found) else None


@st.cache_data(show_spinner=False, max_entries=32)
def _spread(version: str, _choice: Choice, _dataset: DatasetSpec, _precision: str) -> Spread | None:  # noqa: ARG001
    return explain_image.reference_spread(state.store(), _choice.encoder_output, _dataset, _precision)


def spread(choice: Choice, dataset: DatasetSpec) -> Spread | None:
    """How the singular values of the encoder's reference are spread; of the dataset itself where it has none."""
    for one in (known_set(choice.spec.reference, choice), dataset):
        if one is not None:
            found = _spread(state.version(choice, one), choice, one, state.settled_way(choice, one).decided)
            if found:
                return found
    return None


@st.cache_resource(show_spinner=False, max_entries=4)
def _domain(version: str, _choice: Choice, _dataset: DatasetSpec) -> Domain:  # noqa: ARG001
    way = _choice.way_to(_dataset)
    found = load_domain(state.store(), _choice.encoder_output, _dataset.name, way)
    scores = found.table["jepa_score"].to_numpy()
    return Domain(found.name, found.table.assign(percentile=percentile(scores, scores)), found.embeddings)


def embedding(choice: Choice, digest: str) -> np.ndarray:
    """The stored embedding of a scored image."""
    return state.store().embeddings(choice.config.space, [digest])[0]


def neighbours(choice: Choice, dataset: DatasetSpec, digest: str) -> pd.DataFrame:
    """The images of a scored dataset nearest to an image in the embedding, with their percentiles in it."""
    among = _domain(state.version(choice, dataset), choice, dataset)
    return explain_image.neighbours(embedding(choice, digest), digest, among, NEAREST)
