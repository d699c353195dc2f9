"""Figure 3 of the paper: the scores of whole datasets, one figure for each encoder."""

from collections.abc import Mapping

import streamlit as st

from jepa_core.datasets.spec import DatasetSpec
from jepa_core.figures.domains import domain_figure, medians_in_words
from jepa_core.figures.style import CONFIG
from pages._sections.studies import missing_scores
from pages._sections.studies.study import Study, encoder_header, show_command
from pages._shared import figure_cache, known_sets, score_tables


def show(study: Study) -> None:
    """Histograms of whole datasets for each encoder."""
    known_sets.open_all()
    listed = known_sets.specs()
    names = st.multiselect(
        "Datasets",
        list(listed),
        default=_first_datasets(study, listed),
        format_func=known_sets.titles().__getitem__,
        key="studies-datasets",
    )
    if not names:
        st.info("Choose one dataset or more.", icon=":material/checklist:")
        st.stop()
    datasets = [listed[name] for name in names]
    missing_scores.compute(study, datasets)
    st.caption(
        "A row for each set: its histogram, with a mark at its median. The band is the middle half of the first set. "
        "Scores of different encoders are not on one scale."
    )
    for encoder in study.encoders:
        found = {dataset.title: score_tables.scores(encoder, dataset) for dataset in datasets}
        scores = {title: table["jepa_score"].to_numpy() for title, table in found.items() if len(table)}
        encoder_header(encoder, scored=bool(scores))
        if not scores:
            continue
        versions = [score_tables.version(encoder, dataset) for dataset in datasets]
        st.plotly_chart(
            figure_cache.cached_figure(
                lambda scores=scores: domain_figure(scores, next(iter(scores))), "figure3", *versions
            ),
            config=CONFIG,
            alt=medians_in_words(scores),
            key=f"figure3:{encoder.spec.name}",
        )
    show_command(study, datasets)


def _first_datasets(study: Study, listed: Mapping[str, DatasetSpec]) -> list[str]:
    """The encoders' own references first, then the sets of the paper's figure that are here."""
    names = [encoder.spec.reference for encoder in study.encoders] + ["mnist", "galaxy-zoo"]
    return [name for name in dict.fromkeys(names) if name in listed]
