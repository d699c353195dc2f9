"""Compare: two to four encoders on the same images, by their orders alone."""

import shlex

import pandas as pd
import streamlit as st

from jepa_core.analysis.paper_figures import outputs
from jepa_core.analysis.ranking import FEWEST_ENCODERS, MOST_ENCODERS, Comparison, compare
from jepa_core.datasets import registry
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.encoders.registry import list_encoders
from jepa_core.errors import NotEnoughData
from jepa_core.keys import make_key
from jepa_core.scoring import stored
from pages._sections.compare import disagreements
from pages._shared import dataset_picker, layout, resources, score_tables, scoring_job, url_state
from pages._shared.choice import Choice, current_choice
from pages._shared.text import counted, escaped

layout.header(
    "Compare",
    "Do encoders find the same images likely, and which images do they dispute?",
    """**What you see.** Each point is an image. Its place from left to right is its **percentile** by one encoder, from
bottom to top by another: 3 means that 97 % of these images are likelier. If two encoders agreed on everything, all
points would lie on the dotted line. Draw a line around some points with the mouse, and their pictures appear.

**Why no scores?** A score has no unit. It depends on the encoder's weights and on how many numbers its embedding has,
so a score of -20 may be high for one encoder and low for another. Which image comes before which can be compared.

**Spearman's rho** says how alike two orders are: 1 the same, 0 unrelated, -1 the other way round. In brackets stands
its 90 % interval: how far it would move with another choice of as many images.

**The ends.** The paper says that different encoders find the same images least and most likely. So the least likely
5 % of one are compared with the least likely 5 % of the other, and the most likely likewise. Two encoders that have
nothing to do with each other would share 5 % of them too, by chance; what matters is how many more are shared.

**Disputed** images are those that one encoder finds likely and the other unlikely. They show what one of the two looks
at and the other overlooks.""",
    picture="compare",
)


def choose_encoders() -> list[Choice]:
    """The encoders, each with the output that the sidebar names where it has one. The page stops for fewer than two."""
    here, chosen = list_encoders(), current_choice()
    if len(here) < FEWEST_ENCODERS:
        st.info("There is one encoder here, so nothing to compare it with: add another on the page Encoders.")
        st.stop()
    default = [chosen.spec.name, next(name for name in here if name != chosen.spec.name)]
    names = url_state.choose_several(
        "Encoders", list(here), default, "encoders", MOST_ENCODERS, f"{FEWEST_ENCODERS} to {MOST_ENCODERS} of them."
    )
    if len(names) < FEWEST_ENCODERS:
        st.info(f"Choose {FEWEST_ENCODERS} to {MOST_ENCODERS} encoders.", icon=":material/checklist:")
        st.stop()
    found = outputs([here[name] for name in names], chosen.output)
    return [Choice(output.spec, output.name, chosen.method) for output in found]


def scored_choices(choices: list[Choice], dataset: DatasetSpec) -> list[Choice]:
    """The encoders that have scores; what is missing is computed, or it is said that it cannot be.

    The page stops for fewer than two.
    """
    known = [choice for choice in choices if score_tables.scored(choice, dataset)]
    without = [choice.spec.name for choice in choices if choice not in known]
    if dataset.listed:
        words = f"The pictures of {dataset.title} are not here: a set of numbers to compare with."
        if without:
            words += f" {' and '.join(without)} cannot score them, and so cannot be compared here."
        st.info(escaped(words), icon=":material/visibility_off:")
    else:
        for choice in choices:
            found = score_tables.scored(choice, dataset)
            if missing := sum(item.name not in found for item in dataset.items()):
                words = f"{choice.spec.name} has no score yet of {counted(missing, 'image')} of {dataset.title}."
                st.markdown(escaped(words))
            scoring_job.ensure_scored(choice, dataset)
    if len(known) < FEWEST_ENCODERS:
        st.info(
            f"Scores by at least {FEWEST_ENCODERS} encoders are needed. The comparison appears here as they arrive.",
            icon=":material/hourglass_empty:",
        )
        st.stop()
    return known


@st.cache_data(show_spinner=False, max_entries=32)
def _compared(version: str, _tables: dict[str, pd.DataFrame]) -> Comparison:  # noqa: ARG001
    return compare(_tables)


def show_provenance(choices: list[Choice], dataset: DatasetSpec, label: str | None, found: Comparison) -> None:
    """What the comparison is made of, and how a terminal makes it."""
    made = stored.in_words(
        resources.store(),
        choices[0].encoder_output,
        dataset.name,
        score_tables.resolved_method(choices[0], dataset),
        pd.concat([score_tables.scores(choice, dataset) for choice in choices]),
    )
    outputs = ", ".join(f"{choice.spec.name} ({choice.output})" for choice in choices)
    st.caption(
        escaped(
            f"Percentiles are among the {counted(len(found.images), 'image')} that all have scored: {outputs}. {made}"
        )
    )
    words = ["python", "-m", "jepa_core", "compare"]
    for choice in choices:
        words += ["--encoder", choice.spec.name]
    if any(choice.output != choice.spec.default_output for choice in choices):
        words += ["--output", current_choice().output]
    words += ["--data", dataset.name.removeprefix(registry.FOLDER_PREFIX)]
    words += ["--class", label] if label else []
    method = choices[0].method
    words += ["--method", method.title_key] if method.name != "exact" else []
    words += ["--precision", method.precision] if method.precision != "fp32" else []
    words += disagreements.share_option()
    st.caption("The same from a terminal:")
    layout.code(shlex.join(words))


choices = choose_encoders()
left, right = st.columns(2)
with left:
    dataset = dataset_picker.choose_dataset(choices[0].spec.reference)
if dataset is None:
    st.stop()
with right:
    label = dataset_picker.choose_class(dataset)
choices = scored_choices(choices, dataset)
tables = {choice.spec.name: score_tables.scores(choice, dataset) for choice in choices}
if label is not None:
    tables = {name: table[table["label"] == label] for name, table in tables.items()}
version = make_key("compare", label or "", *(score_tables.version(choice, dataset) for choice in choices))
try:
    found = _compared(version, tables)
except NotEnoughData as error:
    st.info(escaped(str(error)), icon=":material/info:")
    st.stop()
by_name = {choice.spec.name: choice for choice in choices}
disagreements.show(by_name, dataset, label, found, version)
st.divider()
disagreements.show_ends(by_name, dataset, label, found)
show_provenance(choices, dataset, label, found)
