"""What one image is held against: the encoder's reference and its training set, as far as they have scores."""

from dataclasses import replace

import pandas as pd
import streamlit as st
from numpy import ndarray

from jepa_core.analysis.methods import Domain, load_domain
from jepa_core.analysis.percentiles import with_percentiles
from jepa_core.datasets import registry
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.explain import image as explain_image
from jepa_core.explain.attribution import SpectrumSpread
from pages._shared import resources, score_tables
from pages._shared.choice import Choice

NEAREST = 8  # neighbours shown of each set


def scored_set(name: str, choice: Choice) -> DatasetSpec | None:
    """A bundled or listed dataset that has scores of this encoder and output; None for another, or for no name."""
    found = registry.list_datasets().get(name)
    return found if found and score_tables.scored(choice, found) else None


@st.cache_data(show_spinner=False, max_entries=32)
def _spread(version: str, _choice: Choice, _dataset: DatasetSpec, _precision: str) -> SpectrumSpread | None:  # noqa: ARG001
    return explain_image.reference_spread(resources.store(), _choice.encoder_output, _dataset, _precision)


def spread(choice: Choice, dataset: DatasetSpec) -> SpectrumSpread | None:
    """How the singular values of the encoder's reference are spread; of the dataset itself where it has none."""
    for one in (scored_set(choice.spec.reference, choice), dataset):
        if one is not None:
            found = _spread(
                score_tables.version(choice, one), choice, one, score_tables.resolved_method(choice, one).decided
            )
            if found:
                return found
    return None


@st.cache_resource(show_spinner=False, max_entries=4)
def _domain(version: str, _choice: Choice, _dataset: DatasetSpec) -> Domain:  # noqa: ARG001
    method = _choice.method_for(_dataset)
    found = load_domain(resources.store(), _choice.encoder_output, _dataset.name, method)
    return replace(found, table=with_percentiles(found.table))


def embedding(choice: Choice, digest: str) -> ndarray:
    """The stored embedding of a scored image."""
    return resources.store().embeddings(choice.config.space, [digest])[0]


def neighbours(choice: Choice, dataset: DatasetSpec, digest: str) -> pd.DataFrame:
    """The images of a scored dataset nearest to an image in the embedding, with their percentiles in it."""
    among = _domain(score_tables.version(choice, dataset), choice, dataset)
    return explain_image.neighbours(embedding(choice, digest), digest, among, NEAREST)
