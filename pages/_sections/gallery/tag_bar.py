"""Tags on the Gallery's selection: given, taken away, and asked for again on a later visit."""

from collections import Counter
from collections.abc import Callable
from functools import partial

import streamlit as st

from jepa_core.config import hosted
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.errors import JepaError
from jepa_core.store.tags import LONGEST, SUGGESTED
from pages._shared import image_grid, tagging
from pages._shared.text import escaped


def offer_tagged(dataset: DatasetSpec) -> None:
    """A button for each tag of the dataset, which selects the images that have it."""
    tagged = tagging.of(dataset.name)
    counts = Counter(tag for words in tagged.values() for tag in words)
    if not counts:
        return
    st.caption(escaped(f"Tagged in {dataset.title}; press one to select its images."))
    with st.container(horizontal=True):
        for tag, count in sorted(counts.items()):
            st.button(
                escaped(f"{tag} ({count})"),
                icon=":material/sell:",
                key=f"tagged:{tag}",
                on_click=partial(_select, dataset.name, tag),
            )


def _select(dataset: str, tag: str) -> None:
    image_grid.picked().update({digest: dataset for digest, words in tagging.of(dataset).items() if tag in words})


def show(chosen: dict[str, str]) -> None:
    """A tag for all of the selection, to be given or taken away."""
    known = {tag for name in set(chosen.values()) for words in tagging.of(name).values() for tag in words}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        tag = st.selectbox(
            "Tag",
            [*SUGGESTED, *sorted(known - set(SUGGESTED))],
            key="tag",
            accept_new_options=True,
            index=None,
            placeholder="drop, keep, or a word of yours",
            help=f"One of these, or write your own (up to {LONGEST} letters, no comma).",
            width=280,
        )
        for words, do in (("Add tag", tagging.add), ("Remove tag", tagging.remove)):
            st.button(words, disabled=not tag, on_click=partial(_each_set, do, chosen, tag))
    if problem := st.session_state.pop("tag-problem", ""):
        st.error(escaped(problem), icon=":material/error:")
    st.caption(
        "Tags last for this visit, and nobody else sees them: a server for visitors keeps none."
        if hosted()
        else "Tags are kept with the results, and are there on your next visit."
    )


def _each_set(do: Callable[[str, list[str], str], None], chosen: dict[str, str], tag: str) -> None:
    try:
        for dataset in dict.fromkeys(chosen.values()):
            do(dataset, [digest for digest, name in chosen.items() if name == dataset], tag)
    except JepaError as error:
        st.session_state["tag-problem"] = str(error)
