"""Studies: the paper's figures 1, 3 and 7 on any encoders and datasets at hand."""

import streamlit as st

from jepa_core.analysis import paper_figures
from jepa_core.encoders.registry import list_encoders
from pages._sections.studies import extreme_images, score_histograms, singular_vectors
from pages._sections.studies.study import Study
from pages._shared import layout, url_state
from pages._shared.choice import Choice, current_choice

TITLES = {"1": "1: Extremes", "3": "3: Datasets", "7": "7: Directions"}
FIGURES = {"1": extreme_images, "3": score_histograms, "7": singular_vectors}

layout.header(
    "Studies",
    "What do the figures of the paper look like for other encoders and other images?",
    """**Figure 1** shows the least and the most likely images of a class, a row for each encoder, and random ones. Do
encoders agree? **Figure 3** shows the scores of whole datasets, one figure for each encoder, since their scores are not
on one scale. **Figure 7** shows the changes of an image that each encoder notices most and least.

Nothing long starts by itself: the page says what is missing and about how long it takes here. What is scored stays in
the store, so a study that was stopped goes on where it was.""",
    picture="studies",
)
here = list_encoders()
names = url_state.choose_several("Encoders", list(here), list(here)[:3], "studied", 6)
figure = url_state.choose_one("Figure", TITLES, "1", "figure")
if not names:
    st.info("Choose one encoder or more.", icon=":material/checklist:")
    st.stop()
chosen = current_choice()
outputs = paper_figures.outputs([here[name] for name in names], chosen.output)
encoders = tuple(Choice(output.spec, output.name, chosen.method) for output in outputs)
FIGURES[figure].show(Study(figure, encoders, chosen))
