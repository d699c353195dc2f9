"""Which end of the spectrum separates two domains: a choice, one sentence and a figure."""

from collections.abc import Sequence

import streamlit as st

from jepa_core.analysis import spectrum_bands
from jepa_core.errors import NotEnoughData
from jepa_core.figures.spectrum_bands import spectrum_bands_figure
from jepa_core.figures.style import CONFIG
from pages._shared import figure_cache, known_sets, resources, score_tables
from pages._shared.choice import Choice
from pages._shared.text import escaped


@st.cache_data(show_spinner="Comparing the spectra", max_entries=64)
def _found(
    versions: Sequence[str],  # noqa: ARG001
    _choice: Choice,
    _reference: str,
    _domain: str,
    _precision: str,
) -> spectrum_bands.SpectrumBands:
    return spectrum_bands.spectrum_bands_between(
        resources.store(), _choice.encoder_output, _reference, _domain, _precision
    )


def show(choice: Choice, reference: str, domain: str) -> None:
    """The section of the Domains page, for one of its domains beside its reference."""
    listed = known_sets.specs()
    st.header("The head or the tail of the spectrum?")
    st.markdown(
        "A score adds up the logarithms of all singular values, from the changes of a picture that the encoder notices "
        "most (the head) to those it notices least (the tail). Either end may separate two sets of images, and one can "
        "hide what the other shows."
    )
    precision = score_tables.resolved_method(choice, listed[reference]).decided
    versions = [score_tables.version(choice, listed[name]) for name in (reference, domain)]
    try:
        found = _found(versions, choice, reference, domain, precision)
    except NotEnoughData as error:
        st.markdown(escaped(str(error)))
        return
    st.markdown(escaped(spectrum_bands.in_words(found, listed[domain].title, listed[reference].title)))
    st.plotly_chart(
        figure_cache.cached_figure(
            lambda: spectrum_bands_figure(found.single, found.from_top, found.from_bottom, found.quarter),
            *("ends", precision, *versions),
        ),
        config=CONFIG,
        alt=f"AUROC of {listed[domain].title} against {listed[reference].title} by index k of the singular values",
    )
    st.caption(
        escaped(
            f"AUROC of {found.outliers} images against {found.inliers} of the reference, all of them fully scored, by "
            "index k of the singular values: each alone, the k largest added up, and all from the k-th on. 0.5 is "
            "chance. Shaded are the largest and the smallest quarter; in brackets above, 90 % intervals."
        )
    )
