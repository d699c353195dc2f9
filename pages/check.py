"""Check: hand over pictures and see whether they belong to what the encoder knows."""

from collections.abc import Sequence

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from jepa_core import images
from jepa_core.check import evidence
from jepa_core.check.evidence import Checked, KnownSet, load_known
from jepa_core.check.summary import most_unusual_first, summary, together
from jepa_core.check.verdict import ASKED, Explains, Kind, least_references
from jepa_core.datasets import registry
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.datasets.uploads import LARGEST, MOST, TOTAL
from jepa_core.errors import NotEnoughData
from jepa_core.figures.histogram import mark_on_reference
from jepa_core.figures.percentiles import places_figure
from jepa_core.figures.style import CONFIG
from jepa_core.keys import make_key
from jepa_core.spreadsheets import csv_text
from pages._sections.check import job, session_uploads, verdict_list
from pages._shared import image_grid, state, widgets
from pages._shared.state import Choice
from pages._shared.text import counted, percent_place, plain

# One picture each: what belongs to the encoder `digits`, what is near it, and what is not.
EXAMPLES = ("digits-validation", "flipped-digits", "photo-tiles", "noise", "flat-colours", "shapes")
TOLD = 3  # sentences about bad files before the rest is folded away
number, text = st.column_config.NumberColumn, st.column_config.TextColumn
PLACES = {
    "method": text("Method", pinned=True),
    "value": number("Value", format="%.2f"),
    "percentile": number("Percentile", format="%.1f", help="Among the references; of a distance, high is far"),
    "low": number("from", format="%.1f", help="90 % interval: what another reference of this size would change"),
    "high": number("to", format="%.1f"),
    "unlikely": number("p unlikely", format="%.3f", help="Share of ordinary pictures that are as unlikely, or as far"),
    "untypical": number("p either side", format="%.3f", help="The same for both sides: too high counts as well"),
    "raised": None,
}
MEASURES = {
    "measure": text("Plain measure", pinned=True),
    "unit": text("Unit"),
    "value": number("This picture", format="%.2f"),
    "percentile": number("Percentile", format="%.0f", help="Among the references"),
    "low": number("References from", format="%.2f", help="Nine in ten references are between these two"),
    "high": number("to", format="%.2f"),
}

widgets.header(
    "Check",
    "Does this picture belong to what the encoder knows? Drop one, many, or a ZIP.",
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

**Your pictures** stay in this server's memory for this visit, also while you look at other pages, and are not stored.
*Forget them* drops them at once; two minutes after your browser has gone they are dropped as well.""",
    picture="check",
)
choice = state.choice()
held = session_uploads.mine()


@st.cache_resource(show_spinner=False, max_entries=8)
def _known(versions: Sequence[str], _dataset: DatasetSpec, of_class: str | None, _choice: Choice) -> KnownSet:  # noqa: ARG001
    return load_known(state.store(), _choice.encoder_output, _dataset.name, _choice.way_to(_dataset), of_class)


def take(key: str) -> None:
    """Move what was dropped into the session, which outlives the widget on another page."""
    # A run that is interrupted is told of them again, when they have been moved already.
    files = [file for file in st.session_state[key] if isinstance(file, UploadedFile)]
    if not files:
        return
    held.take((file.name, file.getvalue()) for file in files)
    st.session_state["upload-round"] = st.session_state.get("upload-round", 0) + 1
    context = get_script_run_ctx()
    for file in files:  # Streamlit would keep its copy for as long as the session, also of what is to be forgotten
        context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)


def take_examples() -> None:
    known = registry.list_datasets()
    held.take((f"{name}.ppm", known[name].item(0).read()) for name in EXAMPLES if name in known)


def ask() -> None:
    """The place to drop pictures at, with its limits, and what is held."""
    accepted = ", ".join(images.FORMATS)
    key = f"upload:{st.session_state.get('upload-round', 0)}"
    st.file_uploader("Pictures, or ZIPs of pictures", accept_multiple_files=True, key=key, on_change=take, args=(key,))
    st.caption(
        f"Up to {MOST} pictures, {LARGEST // 2**20} MB a file and {TOTAL // 2**20} MB together: {accepted}, or a ZIP "
        "of them. They stay in memory for this visit and are not stored."
    )
    if not held.pictures:
        st.button("No picture at hand? Take six examples", icon=":material/image:", on_click=take_examples)


def tell(sentences: Sequence[str]) -> None:
    for sentence in sentences[:TOLD]:
        st.error(plain(sentence), icon=":material/broken_image:")
    if len(sentences) > TOLD:
        with st.expander(f"And {len(sentences) - TOLD} more that could not be taken", icon=":material/broken_image:"):
            st.markdown("\n".join(f"- {plain(sentence)}" for sentence in sentences[TOLD:]))


def neighbours(item: Checked) -> None:
    """The nearest references, and the nearest of either end of the score."""
    st.markdown("**The references that the encoder finds most like it**, wherever they score")
    if dataset.listed:
        near = "; ".join(f"{row.label}, {percent_place(row.percentile)}" for row in item.nearest.itertuples())
        st.markdown(plain(f"Their pictures are not bundled. Their classes: {near}."))
        return
    image_grid.grid(image_grid.cards(choice, dataset, item.nearest, label), key="nearest", label="Nearest references")
    ends = (("most", "likely", item.likely), ("least", "unlikely", item.unlikely))
    for column, (share, end, rows) in zip(st.columns(2), ends, strict=True):
        with column:
            st.markdown(f"The nearest in the **{share} likely** quarter")
            title = f"Nearest of the {share} likely references"
            image_grid.grid(image_grid.cards(choice, dataset, rows, label), end, key=f"nearest-{end}", label=title)


def show_one(item: Checked, others: Sequence[Checked]) -> None:
    verdict_list.banner(item, address(item))
    if item.verdict.kind is not Kind.ORDINARY and item.complexity and item.complexity.explains is Explains.YES:
        st.warning(plain(f"Its {item.complexity.measure.title} alone could be the reason."), icon=":material/warning:")
    st.markdown("\n".join(f"- {plain(sentence)}" for sentence in item.verdict.sentences))
    for note in item.notes:
        st.caption(plain(note))
    place, table = item.places["jepa"], evidence.places_table(item)
    left, right = st.columns(2)
    with left:
        st.markdown("**Its score** among the references")
        scores = [other.places["jepa"].score for other in others if other is not item]
        st.plotly_chart(
            mark_on_reference(known.scores, "this picture", place.score, scores),
            config=CONFIG,
            alt=f"{item.name} at {place.score:.1f} on the histogram of {len(known.scores)} reference scores, "
            f"{percent_place(place.percentile)} ({place.low:.1f} to {place.high:.1f})",
        )
    with right:
        st.markdown("**Every method's view** of it, with its 90 % interval")
        st.plotly_chart(
            places_figure(table),
            config=CONFIG,
            alt="; ".join(
                f"{row.method}: above {row.percentile:.1f} % of the references" for row in table.itertuples()
            ),
        )
    neighbours(item)
    with st.expander("All figures: methods, p-values, plain measures", icon=":material/table_chart:"):
        st.dataframe(table, hide_index=True, height="content", placeholder="-", column_config=PLACES)
        if not item.measures.empty:
            st.dataframe(item.measures, hide_index=True, height="content", placeholder="-", column_config=MEASURES)


def address(item: Checked) -> str:
    return image_grid.data_address(images.display_png(item.crop, 160))


def show(found: job.Found) -> None:
    checked = found.outcome.checked
    items = most_unusual_first(checked)
    if len(items) > 1:
        st.header(plain(summary(found.outcome)))
        order = [checked.index(item) for item in items]
        if held.chosen not in order:
            held.chosen = order[0]
        verdict_list.choose(
            {place: (checked[place], found.thumbnails[place]) for place in order}, held, key=f"verdicts:{held.token}"
        )
        st.caption(plain(f"The most unusual first; choose one to see its evidence. {together(found.outcome)}"))
    show_one(checked[held.chosen or 0], checked)
    st.caption(plain(f"The reference: {state.how(choice, dataset, known.domain.table)} The pictures are scored fully."))
    st.download_button(
        "Download the table (CSV)",
        csv_text(evidence.outcome_table(found.outcome)),
        "check.csv",
        icon=":material/download:",
    )


above = st.container(horizontal=True, vertical_alignment="center")
if held.pictures:
    settings = st.expander("Add pictures, or choose another reference", icon=":material/tune:")
else:
    settings = st.container(border=True)
with settings:
    left, right = st.columns(2)
    with left:
        dataset = widgets.choose_dataset(choice.spec.reference, "Reference", "against", "against-class")
    if dataset is None:
        st.stop()
    with right:
        label = widgets.choose_class(dataset, "against-class")
    widgets.keep_scored(choice, dataset)
    training = registry.list_datasets().get(choice.spec.training)  # what distances are fitted on, where it has scores
    versions = [state.version(choice, one) for one in (dataset, training) if one]
    try:
        known = _known(versions, dataset, label, choice)
    except NotEnoughData as error:
        st.warning(plain(str(error)), icon=":material/warning:")
        st.stop()
    least = least_references("jepa", len(ASKED))
    if len(known.scores) < least:
        st.warning(
            f"There are {len(known.scores)} references, and a verdict needs {least}: pictures get percentiles, but no "
            "verdict. Choose all classes, or a larger reference.",
            icon=":material/warning:",
        )
    ask()
if not held.pictures:
    tell(held.refused)
    verdict_list.legend()
    st.stop()
key = make_key("check", held.token, *versions, label or "")
with above:
    done = held.found.get(key)  # without pictures that turned out to be none
    count = len(done.outcome.checked) if done else len(held.pictures)
    words = f"**{counted(count, 'picture')}** against **{plain(dataset.title)}**"
    st.markdown(words + (f", class **{plain(label)}**" if label else ""), width="content")
    st.button("Forget them", icon=":material/delete:", on_click=held.forget, type="tertiary")
if key not in held.found:
    title = f"Checking {counted(len(held.pictures), 'picture')}"
    widgets.computed(key, title, job.work_on(held, key, choice, dataset, known))
found = held.found[key]
tell([*held.refused, *(sentence for _name, sentence in found.outcome.failed)])
if found.outcome.checked:
    show(found)
