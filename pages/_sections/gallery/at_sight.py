"""One sentence on what sets the shown ends of a class apart, by the plain measures of their pictures."""

import pandas as pd
import streamlit as st

from jepa_core.confounds import two_ends
from jepa_core.datasets.spec import DatasetSpec
from pages._shared import resources
from pages._shared.choice import Choice
from pages._shared.text import escaped


def show(choice: Choice, dataset: DatasetSpec, least: pd.DataFrame, most: pd.DataFrame) -> None:
    """The sentence, if a measure says one; the few pictures are measured now."""
    digests = tuple(least["digest"]), tuple(most["digest"])
    if words := _in_words(choice.config.transform, *digests, choice, dataset, least, most):
        st.markdown(escaped(words))


@st.cache_data(show_spinner=False, max_entries=256)
def _in_words(
    transform: str,  # noqa: ARG001 (a part of the cache's key, as the digests)
    least: tuple[str, ...],  # noqa: ARG001
    most: tuple[str, ...],  # noqa: ARG001
    _choice: Choice,
    _dataset: DatasetSpec,
    _least: pd.DataFrame,
    _most: pd.DataFrame,
) -> str:
    return two_ends.of_images(resources.store(), _choice.spec, _dataset, _least, _most)
