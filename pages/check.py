"""Check: upload images and see whether they belong to what the encoder knows."""

from collections.abc import Sequence

import streamlit as st

from jepa_core import datasets, images
from jepa_core.check import (
    Checked,
    KnownSet,
    Outcome,
    check_pictures,
    load_known,
    measured_reference,
    outcome_table,
    places_table,
)
from jepa_core.figures.histogram import mark_on_reference
from jepa_core.figures.style import CONFIG
from jepa_core.items import DatasetSpec
from jepa_core.jobs import Job
from jepa_core.keys import make_key
from jepa_core.reference import ALPHA
from jepa_core.verdict import Explains, Kind
from pages._shared import pictures, state, widgets
from pages._shared.state import Choice
from pages._shared.text import counted, plain

MOST = 64
BADGES = {
    Kind.FOREIGN: ("error", "orange"),
    Kind.LOOK: ("visibility", "violet"),
    Kind.ORDINARY: ("check", "blue"),
    Kind.UNKNOWN: ("question_mark", "gray"),
}
number, text = st.column_config.NumberColumn, st.column_config.TextColumn
COLUMNS = {
    "method": text("Method", pinned=True),
    "value": number("Value", format="%.2f"),
    "percentile": number("Percentile", format="%.1f", help="Among the references; of a distance, high is far"),
    "low": number("from", format="%.1f", help="90 % interval: what another reference of this size would change"),
    "high": number("to", format="%.1f"),
    "unlikely": number("p unlikely", format="%.3f", help="Share of ordinary pictures that are as unlikely, or as far"),
    "untypical": number("p either side", format="%.3f", help="The same for both sides: too high counts as well"),
}
MARKED = 10  # lines on the histogram, as many as there are colours

widgets.header(
    "Check",
    "Upload images and see where they fall among images that the encoder should know.",
    """**The verdict.** Four methods judge each picture, and each fails on other pictures: the **JEPA-SCORE**, the
**distance to the 10th nearest training image** in the embedding, the **Mahalanobis distance** to all of them, and
**plain measures** (complexity, brightness, colours), which no encoder is needed for. Each is compared with the
*references*, pictures that belong and that the encoder did not learn from. A method raises its hand where fewer than
about 1 in 80 references is as unusual as the picture; of the first three on either side, since foreign pictures can
also score too *high*, or lie too *near*. So at most 5 of 100 pictures that belong raise any hand.

**p** is the share of pictures like the references that would be as unusual. It holds on average over all references
that could have been drawn, if the picture is like them; it is not the probability that this picture is foreign.

**Complexity.** Scores can follow how simple, dark or grey a picture is. Where a score is unusual, the picture is
compared with references of its own complexity; if it is ordinary among them, complexity explains the score.

Nothing unusual does not prove that a picture belongs. The Domains page shows which kinds of pictures each method
misses with this encoder.

The images stay in memory until you leave this page, and are not stored.""",
)
choice = state.choice()


@st.cache_resource(show_spinner=False, max_entries=8)
def _known(versions: Sequence[str], _dataset: DatasetSpec, _choice: Choice) -> KnownSet:  # noqa: ARG001
    return load_known(state.store(), _choice.spec, _choice.output, _dataset.name, _choice.way_to(_dataset))


def show_one(at: int, item: Checked) -> None:
    left, right = st.columns([1, 4])
    with left:
        png = images.display_png(item.crop, 160)
        pictures.grid(
            [pictures.Card(pictures.data_address(png), "", item.name, ("the scored crop",), item.name)],
            key=f"check:{at}",
        )
    with right:
        icon, colour = BADGES[item.verdict.kind]
        st.badge(str(item.verdict.kind), icon=f":material/{icon}:", color=colour)
        st.markdown(f"**{plain(item.verdict.headline)}**")
        if item.verdict.kind is not Kind.ORDINARY and item.complexity and item.complexity.explains is Explains.YES:
            st.warning(
                plain(f"Its {item.complexity.measure.title} alone could be the reason."), icon=":material/warning:"
            )
        st.markdown("\n".join(f"- {plain(sentence)}" for sentence in item.verdict.sentences))
        for note in item.notes:
            st.caption(plain(note))
    with st.expander("The figures, and the nearest references", icon=":material/image_search:"):
        st.dataframe(places_table(item), hide_index=True, height="content", placeholder="-", column_config=COLUMNS)
        for share, rows, end in (("most", item.likely, "likely"), ("least", item.unlikely, "unlikely")):
            st.markdown(f"Nearest among the **{share} likely** quarter of the reference")
            pictures.grid(pictures.cards(choice, dataset, rows), end, key=f"check:{at}:{end}", new_tab=True)


def summary(outcome: Outcome) -> str:
    kinds = [item.verdict.kind for item in outcome.checked]
    counts = [f"{kind}: {kinds.count(kind)}" for kind in Kind if kind in kinds]
    remaining = int((outcome_table(outcome)["p_unlikely_adjusted"] <= ALPHA).sum())
    return (
        f"{'. '.join(counts)}. By the score alone {remaining} of {len(kinds)} are unlikely at 5 % after Benjamini and "
        "Hochberg's correction for checking them at once."
    )


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
    if len(outcome.checked) > 1:
        st.markdown(plain(summary(outcome)))
    for at, item in enumerate(outcome.checked):
        with st.container(border=True):
            show_one(at, item)
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


def work(job: Job) -> Outcome:
    measures = measured_reference(state.store(), choice.spec, dataset, known, job.report, job.cancelled)
    return check_pictures(state.encoder(choice.spec.name), choice.output, named, known, measures)


digests = [part for name, data in named for part in (name, images.digest(data))]
key = make_key("check", *versions, *digests)
show(widgets.computed(key, f"Checking {counted(len(named), 'image')}", work))
