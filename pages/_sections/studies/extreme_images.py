"""Figure 1 of the paper: the least and the most likely images of a class, a row for each encoder, and random ones."""

from dataclasses import replace

import pandas as pd
import streamlit as st

from jepa_core.analysis import paper_figures
from jepa_core.datasets.spec import DatasetSpec
from pages._sections.studies import missing_scores
from pages._sections.studies.study import Study, encoder_header, show_command
from pages._shared import dataset_picker, extremes, image_grid, score_tables
from pages._shared.choice import Choice


def show(study: Study) -> None:
    """The ends of a class for each encoder."""
    left, right = st.columns(2)
    with left:
        dataset = dataset_picker.choose_dataset(study.encoders[0].spec.reference)
    if dataset is None:
        st.stop()
    with right:
        label = dataset_picker.choose_class(dataset)
    missing_scores.compute(study, [dataset], label)
    tables = [(encoder, score_tables.ranked(encoder, dataset, label)) for encoder in study.encoders]
    for encoder, table in tables:
        encoder_header(encoder, scored=not table.empty)
        if table.empty:
            continue
        least, most = paper_figures.ends(table)
        cards = [image_grid.cards(encoder, dataset, rows, label, places=False) for rows in (least, most.iloc[::-1])]
        extremes.show(*cards, len(table), key=f"{encoder.spec.name}:{encoder.output}")
    if some := [(encoder, table) for encoder, table in tables if len(table)]:
        _show_random(*some[-1], dataset, label)
    show_command(study, [dataset], label)


def _show_random(encoder: Choice, table: pd.DataFrame, dataset: DatasetSpec, label: str | None) -> None:
    st.header("Random")
    rows = paper_figures.drawn_at_random(table, 2 * paper_figures.IMAGES_PER_END)
    cards = [
        replace(card, title="", aside=()) for card in image_grid.cards(encoder, dataset, rows, label, places=False)
    ]
    halves = {"left": cards[: paper_figures.IMAGES_PER_END], "right": cards[paper_figures.IMAGES_PER_END :]}
    for column, (side, half) in zip(st.columns(2), halves.items(), strict=True):
        with column:
            image_grid.grid(half, key=f"random:{side}", five=True)
