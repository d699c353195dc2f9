"""One sentence on what sets the shown ends of a class apart, by the plain measures of their pictures."""

import numpy as np
import pandas as pd
import streamlit as st

from jepa_core.confounds import measure, two_ends
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.errors import JepaError
from pages._shared import resources
from pages._shared.choice import Choice
from pages._shared.text import escaped


def show(choice: Choice, dataset: DatasetSpec, least: pd.DataFrame, most: pd.DataFrame) -> None:
    """The sentence, if a measure says one; the few pictures are measured now."""
    rows = pd.concat([least, most])
    if words := _in_words(choice.config.transform, tuple(rows["digest"]), len(least), choice, dataset, rows):
        st.markdown(escaped(words))


@st.cache_data(show_spinner=False, max_entries=256)
def _in_words(
    transform: str,  # noqa: ARG001 (a part of the cache's key)
    digests: tuple[str, ...],
    count: int,
    _choice: Choice,
    _dataset: DatasetSpec,
    _rows: pd.DataFrame,
) -> str:
    store, spec = resources.store(), _choice.spec
    try:
        measure.measure_missing(store, spec, _dataset, _rows)
        found = store.measures(measure.space_of(spec.transform), digests)
    except JepaError:  # a store that takes nothing more; the pictures speak for themselves
        return ""
    least, most = ([found[digest] for digest in end if digest in found] for end in (digests[:count], digests[count:]))
    return two_ends.in_words(np.stack(least), np.stack(most)) if least and most else ""
