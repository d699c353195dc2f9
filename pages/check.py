"""Check: hand over pictures and see whether they belong to what the encoder knows."""

from collections.abc import Sequence

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from jepa_core import images
from jepa_core.check import evidence, known_set
from jepa_core.check.summary import most_unusual_first, summary, together
from jepa_core.check.track_record import track_record
from jepa_core.datasets import registry
from jepa_core.datasets.uploads import MOST_PICTURE_BYTES, MOST_PICTURES, MOST_SESSION_BYTES
from jepa_core.errors import NotEnoughData
from jepa_core.keys import make_key
from jepa_core.spreadsheets import csv_text
from pages._sections.check import check_job, picture_evidence, session_uploads, verdict_list
from pages._sections.check.picture_evidence import Against
from pages._shared import dataset_picker, jobs_ui, layout, score_tables, scoring_job
from pages._shared.choice import current_choice
from pages._shared.text import counted, escaped

# One picture each of what belongs to the encoders `photo` and `digits`, what is near them, and what is not.
EXAMPLES = ("scenes-test", "digits-validation", "flipped-digits", "photo-tiles", "noise", "flat-colours", "shapes")
SHOWN_REFUSALS = 3  # sentences about bad files before the rest is folded away
layout.header(
    "Check",
    "Does this picture belong to what the encoder knows? Drop one, many, or a ZIP.",
    """**The verdict.** Several methods look at each picture and are weighed together: how large the **layers'
derivatives** are and where its **embedding** lies, **what can be seen** of it (dark, blurred, without colour ...),
traces of a known **disturbance**, the **spectrum**, and the **JEPA-SCORE**, too low or too high. All of it is compared
with the *references*, pictures that belong and that the encoder did not learn from. At most 5 of 100 pictures that
belong are called anything, on average over all references that could have been drawn.

**Disturbed** means that it lies where the encoder puts pictures that it knows after they were darkened, blurred and so
on. **Out of distribution** means that it does not.

**At once, and the score later.** A verdict needs one forward pass a picture. The score needs many times that, and is
one more witness.

**Complexity.** Scores can follow how simple, dark or grey a picture is. Where a score is unusual, the picture is
compared with references of its own complexity; if it is ordinary among them, complexity explains the score.

Nothing unusual does not prove that a picture belongs. The Domains page shows which kinds of pictures each method
misses with this encoder.

**Your pictures** stay in this server's memory for this visit, also while you look at other pages, and are not stored.
*Forget them* drops them at once; two minutes after your browser has gone they are dropped as well.""",
    picture="check",
)
choice = current_choice()
held = session_uploads.of_session()


def take_uploads(key: str) -> None:
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


def show_upload_area() -> None:
    """The place to drop pictures at, with its limits, and what is held."""
    accepted = ", ".join(images.FORMATS)
    key = f"upload:{st.session_state.get('upload-round', 0)}"
    st.file_uploader(
        "Pictures, or ZIPs of pictures", accept_multiple_files=True, key=key, on_change=take_uploads, args=(key,)
    )
    st.caption(
        f"Up to {MOST_PICTURES} pictures, {MOST_PICTURE_BYTES // 2**20} MB a file and "
        f"{MOST_SESSION_BYTES // 2**20} MB together: {accepted}, or a ZIP of them. "
        "They stay in memory for this visit and are not stored."
    )
    if not held.pictures:
        st.button("No picture at hand? Take seven examples", icon=":material/image:", on_click=take_examples)


def show_refused(sentences: Sequence[str]) -> None:
    for sentence in sentences[:SHOWN_REFUSALS]:
        st.error(escaped(sentence), icon=":material/broken_image:")
    if len(sentences) > SHOWN_REFUSALS:
        with st.expander(
            f"And {len(sentences) - SHOWN_REFUSALS} more that could not be taken", icon=":material/broken_image:"
        ):
            st.markdown("\n".join(f"- {escaped(sentence)}" for sentence in sentences[SHOWN_REFUSALS:]))


def show_verdicts(found: check_job.CheckResult) -> None:
    checked = found.outcome.checked
    items = most_unusual_first(checked)
    if len(items) > 1:
        st.header(escaped(summary(found.outcome)))
        order = [checked.index(item) for item in items]
        if held.chosen not in order:
            held.chosen = order[0]
        verdict_list.choose(
            {place: (checked[place], found.thumbnails[place]) for place in order}, held, key=f"verdicts:{held.token}"
        )
        st.caption(escaped(f"The most unusual first; choose one to see its evidence. {together(found.outcome)}"))
    picture_evidence.show(checked[held.chosen or 0], checked, Against(choice, dataset, label, found.known))
    made = score_tables.provenance_in_words(choice, dataset, found.known.domain.table)
    scored = "The pictures are scored fully." if found.scored else "The pictures have no scores yet."
    st.caption(escaped(f"The reference: {made} {scored}"))
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
        dataset = dataset_picker.choose_dataset(choice.spec.reference, "Reference", "against", "against-class")
    if dataset is None:
        st.stop()
    with right:
        label = dataset_picker.choose_class(dataset, "against-class")
    scoring_job.ensure_scored(choice, dataset)
    training = registry.list_datasets().get(choice.spec.training)  # what methods are fitted on, where it has scores
    versions = [score_tables.version(choice, one) for one in (dataset, training) if one]
    table = score_tables.scores(choice, dataset)
    count = len(table) if label is None else int((table["label"] == label).sum())
    try:
        known_set.fail_if_too_few(choice.encoder_output, dataset.name, count)
    except NotEnoughData as error:
        st.warning(escaped(str(error)), icon=":material/warning:")
        st.stop()
    show_upload_area()
if not held.pictures:
    show_refused(held.refused)
    verdict_list.legend()
    if record := track_record(choice.spec):
        st.markdown("**What to expect of this encoder**")
        st.markdown("\n".join(f"- {escaped(sentence)}" for sentence in record.sentences))
    st.stop()
key = make_key("check", held.token, *versions, label or "")
with above:
    done = held.found.get(key)  # without pictures that turned out to be none
    count = len(done.outcome.checked) if done else len(held.pictures)
    words = f"**{counted(count, 'picture')}** against **{escaped(dataset.title)}**"
    st.markdown(words + (f", class **{escaped(label)}**" if label else ""), width="content")
    st.button("Forget them", icon=":material/delete:", on_click=held.forget, type="tertiary")
title = f"Checking {counted(len(held.pictures), 'picture')}"
if key not in held.found:
    first = check_job.check_uploads(held, key, choice, dataset, label, scores=False)
    jobs_ui.job_result(f"{key} first", title, first)
found = held.found[key]
if not found.scored and found.outcome.checked:
    then = check_job.check_uploads(held, key, choice, dataset, label, scores=True)
    if jobs_ui.finished_job(key, "By one forward pass each; the scores follow", then):
        found = held.found[key]
show_refused([*held.refused, *(sentence for _name, sentence in found.outcome.failed)])
if found.outcome.checked:
    show_verdicts(found)
