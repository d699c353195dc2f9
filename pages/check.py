"""Check: upload images and see whether they belong to what the encoder knows."""

from collections.abc import Sequence

import streamlit as st

from jepa_core import datasets, images
from jepa_core.check import Checked, KnownSet, Outcome, check_pictures, in_words, load_known, outcome_table
from jepa_core.figures.histogram import mark_on_reference
from jepa_core.figures.style import CONFIG
from jepa_core.items import DatasetSpec
from jepa_core.jobs import Job
from jepa_core.keys import make_key
from pages._shared import pictures, state, widgets
from pages._shared.state import Choice
from pages._shared.text import counted, plain

MOST = 64
MARKED = 10  # lines on the histogram, as many as there are colours

widgets.header(
    "Check",
    "Upload images and see where they fall among images that the encoder should know.",
    """**What you see.** Each image gets its JEPA-SCORE and its **percentile** in the reference: percentile 2 means that
98 % of the reference is more likely. Beside it stands the **distance** to the training images in the embedding (or to a
part of the reference, where there are none), as a percentile too: 99 means that hardly any reference image lies so far.

The two fail on different images. A low score, a very *high* score, or a large distance: each is a reason to look. One
that is unremarkable on its own proves nothing.

The images stay in memory until you leave this page, and are not stored.""",
)
choice = state.choice()


@st.cache_resource(show_spinner=False, max_entries=8)
def _known(versions: Sequence[str], _dataset: DatasetSpec, _choice: Choice) -> KnownSet:  # noqa: ARG001
    return load_known(state.store(), _choice.spec, _choice.output, _dataset.name, _choice.way_to(_dataset))


def show_one(item: Checked) -> None:
    left, right = st.columns([1, 4])
    with left:
        png = images.display_png(item.crop, 160)
        pictures.grid([pictures.Card(pictures.data_address(png), "", item.name, ("the scored crop",), item.name)])
    with right:
        a, b, c = st.columns(3)
        a.metric("JEPA-SCORE", f"{item.scores['jepa_score']:.1f}")
        b.metric("Percentile of the score", f"{item.percentile:.1f}", help="Low: unlikely. Very high is untypical too.")
        far = item.distance_percentile
        c.metric("Percentile of the distance", "-" if far is None else f"{far:.1f}", help="High: far away.")
        st.markdown(plain(in_words(item, known)))
        for note in item.notes:
            st.caption(plain(note))
    with st.expander("Nearest references", icon=":material/image_search:"):
        for share, rows, end in (("most", item.likely, "likely"), ("least", item.unlikely, "unlikely")):
            st.markdown(f"Among the **{share} likely** quarter of the reference")
            pictures.grid(pictures.cards(choice, dataset, rows), end, new_tab=True)


def show(outcome: Outcome) -> None:
    for _name, sentence in outcome.failed:
        st.error(plain(sentence), icon=":material/broken_image:")
    if not outcome.checked:
        return
    st.plotly_chart(
        mark_on_reference(known.scores, {item.name: item.scores["jepa_score"] for item in outcome.checked[:MARKED]}),
        config=CONFIG,
        alt=f"The uploaded images on the histogram of {len(known.scores)} reference scores",
    )
    st.caption(plain(f"The reference: {state.how(choice, dataset, known.domain.table)} The uploads are scored fully."))
    if len(outcome.checked) > MARKED:
        st.caption(f"The first {MARKED} are marked.")
    for item in outcome.checked:
        with st.container(border=True):
            show_one(item)
    st.download_button(
        "Download the table (CSV)", outcome_table(outcome).to_csv(index=False), "check.csv", icon=":material/download:"
    )


with st.container(border=True):
    dataset = widgets.choose_dataset(choice.spec.reference, "Reference", "against")
    if dataset is None:
        st.stop()
    widgets.keep_scored(choice, dataset)
    uploads = st.file_uploader(
        "Images", accept_multiple_files=True, help=f"Up to {MOST} at a time: {', '.join(images.FORMATS)}."
    )
if not uploads:
    st.info(
        "Nothing uploaded yet. Any picture will do; try one that the encoder cannot know.", icon=":material/upload:"
    )
    st.stop()
if len(uploads) > MOST:
    st.warning(f"{len(uploads)} images were given and the first {MOST} are checked; upload the rest afterwards.")
training = datasets.list_datasets().get(choice.spec.training)  # what distances are fitted on, where it has scores
versions = [state.version(choice, one) for one in (dataset, training) if one]
known = _known(versions, dataset, choice)
named = [(upload.name, upload.getvalue()) for upload in uploads[:MOST]]


def work(_job: Job) -> Outcome:
    return check_pictures(state.encoder(choice.spec.name), choice.output, named, known)


digests = [part for name, data in named for part in (name, images.digest(data))]
key = make_key("check", *versions, *digests)
show(widgets.computed(key, f"Checking {counted(len(named), 'image')}", work))
