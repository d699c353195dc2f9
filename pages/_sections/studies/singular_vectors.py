"""Figure 7 of the paper: the changes of an image that each encoder notices most and least."""

import streamlit as st

from jepa_core.analysis import paper_figures
from jepa_core.explain.directions import Directions, directions_of
from jepa_core.figures.singular_vectors import singular_vector_picture
from jepa_core.images import array_png
from jepa_core.jobs import Job
from pages._sections.studies import missing_scores
from pages._sections.studies.study import Study, encoder_header, show_command
from pages._shared import dataset_picker, image_grid, jobs_ui, resources, score_tables

_LARGEST, _SMALLEST = 4, 3  # singular values whose directions are shown


def show(study: Study) -> None:
    """The directions of the least and the most likely image for each encoder."""
    dataset = dataset_picker.choose_dataset(study.encoders[0].spec.reference)
    if dataset is None:
        st.stop()
    if dataset.listed:
        st.info("Directions need the pictures themselves: choose a set whose pictures are here.")
        st.stop()
    missing_scores.compute(study, [dataset])
    for encoder in study.encoders:
        table = score_tables.ranked(encoder, dataset, None)
        rank = encoder.encoder_output.rank.rank
        encoder_header(encoder, scored=not table.empty)
        if table.empty:
            continue
        for title, rows in (("least", table.iloc[:1]), ("most", table.iloc[-1:])):

            def work(_job: Job, rows=rows, encoder=encoder, rank=rank) -> Directions:
                picture = paper_figures.picture(dataset, rows)
                return directions_of(resources.encoder(encoder.spec.name), encoder.output, picture, rank)

            key = f"directions:{encoder.config.key}:{rank}:{rows['digest'].iloc[0]}"
            found = jobs_ui.job_result(key, "Computing directions", work)
            assert isinstance(found, Directions)
            st.caption(f"The {title} likely image, and the changes of it that are noticed most (k = 1) and least")
            image_grid.grid(
                [*image_grid.cards(encoder, dataset, rows), *_direction_cards(found)],
                key=f"{encoder.spec.name}:{encoder.output}:{title}",
            )
    show_command(study, [dataset])


def _direction_cards(found: Directions) -> list[image_grid.Card]:
    count = len(found.sigma)
    shown = dict.fromkeys([*range(min(_LARGEST, count)), *range(max(0, count - _SMALLEST), count)])
    return [
        image_grid.Card(
            source=image_grid.data_address(array_png(singular_vector_picture(found.right(k)), 160)),
            problem="",
            title=f"k = {k + 1}",
            aside=(f"moves by {found.sigma[k]:.3g}",),
            alt=f"Direction {k + 1}",
        )
        for k in shown
    ]
