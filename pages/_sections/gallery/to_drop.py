"""The Gallery's view "To drop": the least likely share of each class, seen before it is exported as a list."""

import pandas as pd
import streamlit as st

from jepa_core.analysis import curation
from jepa_core.datasets.spec import DatasetSpec
from pages._sections.gallery import score_range, selection
from pages._shared import image_grid, score_tables, scoring_job
from pages._shared.choice import Choice
from pages._shared.text import counted, escaped

SHEET = 48


@st.cache_resource(show_spinner=False, max_entries=8)
def _decided(version: str, fingerprint: str, percent: float, _choice: Choice, _dataset: DatasetSpec) -> pd.DataFrame:  # noqa: ARG001
    return curation.decide(score_tables.scores(_choice, _dataset), percent, _dataset.name)


def show(choice: Choice, chosen: scoring_job.ScoredDataset) -> None:
    """A share of each class to drop, what that removes, and the list of it."""
    dataset = chosen.dataset
    st.warning(
        "**Look before you drop.** The score proposes, it does not judge. Among the least likely images of a class are "
        "the rare and the difficult ones beside the broken, and for some sets the score is upside down: then the odd "
        "images are at the other end (the Domains page measures that). Nothing is deleted here: you get a list.",
        icon=":material/visibility:",
    )
    percent = st.slider(
        "Drop the least likely … % of each class",
        0.5,
        20.0,
        5.0,
        0.5,
        key="drop",
        format="%.1f %%",
        bind="query-params",
    )
    decided = _decided(score_tables.version(choice, dataset), dataset.fingerprint, percent, choice, dataset)
    counts, dropped = curation.by_class(decided), decided[decided["decision"] == "drop"]
    words = f"This drops **{counted(len(dropped), 'image')}** of {len(decided)}"
    touched = int((counts["dropped"] > 0).sum())
    words += f" from {touched} of {len(counts)} classes, rounded down in each." if len(counts) > 1 else "."
    spared = int((counts["dropped"] == 0).sum())
    if spared:
        words += f" {counted(spared, 'class') if spared == 1 else f'{spared} classes'} too small for {percent:g} % "
        words += "keep everything."
    st.markdown(words)
    unscored = score_tables.missing_count(choice, dataset)
    if unscored:
        st.caption(f"{counted(unscored, 'image')} without a score {'is' if unscored == 1 else 'are'} not in the list.")
    if dropped["estimated"].any():
        st.caption(
            f"{int(dropped['estimated'].sum())} of them are dropped by an estimate (≈) and may not be among the least "
            "likely by their full score."
        )
    selection.export(
        choice,
        decided,
        f"drop-{percent:g}",
        {"Paths to drop": dropped, "Paths to keep": decided[decided["decision"] == "keep"]},
    )
    if len(counts) > 1:
        with st.expander("What it removes from each class", icon=":material/table_chart:"):
            number = st.column_config.NumberColumn
            st.dataframe(
                counts,
                hide_index=True,
                height="content" if len(counts) <= 12 else 460,
                placeholder="-",
                column_config={
                    "label": st.column_config.TextColumn("Class", pinned=True),
                    "images": number("Images"),
                    "dropped": number("Dropped"),
                    "limit": number("Highest score dropped", format="%.1f"),
                },
            )
    _show_dropped(choice, chosen, dropped)


def _show_dropped(choice: Choice, chosen: scoring_job.ScoredDataset, dropped: pd.DataFrame) -> None:
    rows = score_tables.ranked(choice, chosen.dataset, chosen.label)
    rows = rows[rows["name"].isin(set(dropped["name"]))]
    of = f" from {chosen.dataset.class_title(chosen.label)}" if chosen.label else ""
    st.header(escaped(f"Would be dropped{of}"))
    if rows.empty:
        st.info("Nothing. A larger share may remove something.", icon=":material/info:")
        return
    place = score_range.choose_sheet(
        len(rows), SHEET, "drop-sheet", f"{chosen.dataset.name} {chosen.label} {len(dropped)}"
    )
    st.caption(f"Images {place.start + 1} to {place.stop} of {len(rows)}, the least likely first")
    cards = image_grid.cards(choice, chosen.dataset, rows.iloc[place], chosen.label)
    image_grid.grid(cards, "unlikely", key="dropped", label="Images that would be dropped")
