"""The Gallery's pairs of copies, side by side: what was there first, and what is a copy of it."""

import pandas as pd
import streamlit as st

from jepa_core.analysis import curation, review
from jepa_core.analysis.duplicates import Duplicates
from jepa_core.store.records import Member
from pages._sections.gallery import reasons, score_range, selection
from pages._shared import image_grid, score_tables, scoring_job, tagging
from pages._shared.choice import Choice
from pages._shared.text import counted, escaped

PAIRS = 12  # shown on a page


def show(choice: Choice, chosen: scoring_job.ScoredDataset, found: Duplicates, members: list[Member]) -> None:
    """The pairs, and the list of the later picture of each."""
    st.markdown(
        "The same file, the same pixels, or nearly the same picture: resized, packed anew, slightly cropped, "
        "brightened, marked or mirrored."
    )
    if found.untold:
        st.caption(
            f"{counted(found.untold, 'picture')} {'is' if found.untold == 1 else 'are'} too small, too plain or too "
            "much of one kind for that: of them only equal pixels are found."
        )
    words = review.copies_in_words(members, found.pairs)
    pairs = [one for one in found.pairs if chosen.label is None or members[one.second].label == chosen.label]
    if not pairs:
        st.info("No copies were found.", icon=":material/check_circle:")
        return
    later = list(dict.fromkeys(members[one.second].name for one in pairs))
    st.markdown(f"**{counted(len(pairs), 'pair')}**; the later pictures are {counted(len(later), 'image')}.")
    selection.export(
        choice, listed := _listed(choice, chosen, later, words, members), "copies", {"List of paths": listed}
    )
    place = score_range.choose_sheet(len(pairs), PAIRS, "copies-sheet", f"{chosen.dataset.name} {len(pairs)}")
    names, told = [], []
    for one in pairs[place]:
        names += [members[one.first].name, members[one.second].name]
        told += ["", review.copies_in_words(members, [one])[one.second][0]]
    st.caption(escaped(f"Pairs {place.start + 1} to {place.stop} of {len(pairs)}"))
    cards = reasons.cards(choice, chosen, names, told)
    image_grid.grid(cards, key="copies", label="Pairs of copies", layout="pairs")


def _listed(
    choice: Choice,
    chosen: scoring_job.ScoredDataset,
    names: list[str],
    words: dict[int, list[str]],
    members: list[Member],
) -> pd.DataFrame:
    """The later pictures as a list: where each is, its score, its tags, and what it is a copy of."""
    table, name = score_tables.scores(choice, chosen.dataset), chosen.dataset.name
    table = table[table["name"].isin(set(names))]
    told = {members[place].name: "; ".join(said) for place, said in words.items()}
    columns = ["dataset", "name", "label", "digest", "path", "jepa_score", "low", "high", "estimated", "reasons"]
    table = table.assign(dataset=name, path=curation.paths_of(name, table["name"]), reasons=table["name"].map(told))
    return tagging.with_tags(table[columns])
