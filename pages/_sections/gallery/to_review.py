"""The Gallery's view "To review": images in an order by how much each deserves a look, with reasons, and the list."""

from dataclasses import dataclass

import streamlit as st

from jepa_core.analysis import curation, curation_figures, duplicates, review, review_evidence
from jepa_core.analysis.duplicates import Duplicates
from jepa_core.analysis.review_orders import ORDERS
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.jobs import Job
from jepa_core.keys import make_key
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.store.records import Member
from pages._sections.gallery import copies, reasons, score_range, selection
from pages._shared import image_grid, jobs_ui, resources, score_tables, scoring_job, tagging, url_state
from pages._shared.choice import Choice
from pages._shared.text import counted, escaped

SHEET = 24
COPIES = "copies"
"""What is shown of pairs of copies, beside the orders."""
_AT_ONCE = 1000  # pictures that are looked at without being asked for


@dataclass(frozen=True, eq=False)
class _Looked:
    """What a look at all pictures of a set found beside what the store keeps."""

    copies: Duplicates
    failed: list[tuple[str, str]]


def show(choice: Choice, chosen: scoring_job.ScoredDataset) -> None:
    """An order of the images, a share of each class, what that is, and the list of it."""
    st.warning(
        "**Look before you drop.** An order proposes, it does not judge: the rare and the difficult stand beside the "
        "broken. Nothing is deleted here: you get a list.",
        icon=":material/visibility:",
    )
    titles = {name: order.title for name, order in ORDERS.items()} | {COPIES: "Copies"}
    order = url_state.choose_named("Order", titles, next(iter(ORDERS)), "by")
    looked = _look(choice, chosen.dataset)
    if looked is None:
        return
    for name, sentence in looked.failed[:5]:
        st.caption(escaped(f"{name} is not in any order: {sentence}"))
    if order == COPIES:
        copies.show(choice, chosen, looked.copies, _members(choice, chosen.dataset))
        return
    st.markdown(escaped(f"Puts first {ORDERS[order].finds}. {curation_figures.in_words(order)}"))
    found = _reviewed(choice, chosen.dataset, order, looked)
    for sentence in found.notes:
        st.caption(escaped(sentence))
    _show_share(choice, chosen, found)


# --- what is known of the pictures ------------------------------------------------------------------------------------


def _look(choice: Choice, dataset: DatasetSpec) -> _Looked | None:
    """A look at each picture, once: a job, whose progress is shown while it runs."""

    def work(job: Job) -> _Looked:
        store, output = resources.store(), EncoderOutput.of(resources.encoder(choice.spec.name), choice.output)
        gathered = review_evidence.gather(store, output, dataset, job.report, job.cancelled)
        evidence = review_evidence.load(store, output, store.members(dataset.name))
        digests = [member.digest for member in evidence.members]
        return _Looked(duplicates.find(digests, evidence.facts), gathered.failed)

    key = make_key("review", choice.config.key, dataset.name, dataset.fingerprint)
    ask = ""
    if resources.jobs().get(key) is None:
        missing = review_evidence.missing(resources.store(), choice.encoder_output, dataset)
        ask = f"Look at {counted(missing, 'picture')}" if missing > _AT_ONCE else ""
    job = jobs_ui.finished_job(key, f"Looking at the pictures of {dataset.title}", work, unit="picture", ask=ask)
    if job is None:
        st.caption("Looking takes a forward pass of the encoder a picture, and is done once.")
        return None
    return job.result if isinstance(job.result, _Looked) else None


def _members(choice: Choice, dataset: DatasetSpec) -> list[Member]:
    return _evidence(score_tables.version(choice, dataset), dataset.fingerprint, choice, dataset).members


@st.cache_resource(show_spinner=False, max_entries=8)
def _evidence(version: str, fingerprint: str, _choice: Choice, _dataset: DatasetSpec) -> review_evidence.Evidence:  # noqa: ARG001
    store = resources.store()
    found = review_evidence.load(store, _choice.encoder_output, store.members(_dataset.name))
    return review_evidence.with_scores(found, score_tables.scores(_choice, _dataset))


def _reviewed(choice: Choice, dataset: DatasetSpec, order: str, looked: _Looked) -> review.Review:
    version = score_tables.version(choice, dataset)
    return _review(version, dataset.fingerprint, choice.config.key, order, choice, dataset, looked)


@st.cache_resource(show_spinner=False, max_entries=16)
def _review(
    version: str,
    fingerprint: str,
    config: str,  # noqa: ARG001 (a part of the cache's key)
    order: str,
    _choice: Choice,
    _dataset: DatasetSpec,
    _looked: _Looked,
) -> review.Review:
    evidence = _evidence(version, fingerprint, _choice, _dataset)
    return review.review(evidence, _dataset.name, order, _looked.copies)


# --- what is shown of it ----------------------------------------------------------------------------------------------


def _show_share(choice: Choice, chosen: scoring_job.ScoredDataset, found: review.Review) -> None:
    dataset = chosen.dataset
    percent = st.slider(
        "Review the first … % of each class", 0.5, 20.0, 5.0, 0.5, key="drop", format="%.1f %%", bind="query-params"
    )
    unlike = found.table.drop_duplicates("digest").set_index("digest")["unlike"]
    decided = curation.decide(score_tables.scores(choice, dataset), percent, dataset.name, unlike)
    decided = tagging.with_tags(decided)
    decided = decided.merge(found.table[["name", "unlike", "reasons", "duplicate_of"]], on="name", how="left")
    counts, listed = curation.by_class(decided), decided[decided["decision"] == "review"]
    words = f"These are **{counted(len(listed), 'image')}** of {len(decided)}"
    touched, spared = int((counts["review"] > 0).sum()), int((counts["review"] == 0).sum())
    words += f" from {touched} of {len(counts)} classes, rounded down in each." if len(counts) > 1 else "."
    if spared:
        words += f" {counted(spared, 'class') if spared == 1 else f'{spared} classes'} too small for {percent:g} % "
        words += "have none."
    st.markdown(words)
    unscored = score_tables.missing_count(choice, dataset)
    if unscored:
        st.caption(f"{counted(unscored, 'image')} without a score {'is' if unscored == 1 else 'are'} not in the list.")
    kept = decided[decided["decision"] == "keep"]
    selection.export(choice, decided, f"review-{percent:g}", {"Paths to review": listed, "Paths to keep": kept})
    if len(counts) > 1:
        with st.expander("How many of each class", icon=":material/table_chart:"):
            number = st.column_config.NumberColumn
            st.dataframe(
                counts,
                hide_index=True,
                height="content" if len(counts) <= 12 else 460,
                placeholder="-",
                column_config={
                    "label": st.column_config.TextColumn("Class", pinned=True),
                    "images": number("Images"),
                    "review": number("To review"),
                    "limit": number("Highest score among them", format="%.1f"),
                },
            )
    _show_listed(choice, chosen, found, set(listed["name"]))


def _show_listed(choice: Choice, chosen: scoring_job.ScoredDataset, found: review.Review, listed: set[str]) -> None:
    dataset = chosen.dataset
    rows = found.table[found.table["name"].isin(listed)]
    rows = rows if chosen.label is None else rows[rows["label"] == chosen.label]
    st.header(escaped(f"To review of {dataset.class_title(chosen.label)}" if chosen.label else "To review"))
    if rows.empty:
        st.info("Nothing. A larger share may have something.", icon=":material/info:")
        return
    place = score_range.choose_sheet(len(rows), SHEET, "drop-sheet", f"{dataset.name} {chosen.label} {len(rows)}")
    st.caption(f"Images {place.start + 1} to {place.stop} of {len(rows)}, what is most unlike its class first")
    shown = rows.iloc[place]
    cards = reasons.cards(choice, chosen, shown["name"].tolist(), shown["reasons"].tolist())
    image_grid.grid(cards, key="review", label="Images to review", layout="reasons")
