"""The images that a person picked on any page: shown, cleared, exported."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pandas as pd
import streamlit as st

from jepa_core.analysis import curation, parquet_export
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.errors import JepaError
from pages._sections.gallery import tag_bar
from pages._shared import image_grid, resources, score_tables, tagging
from pages._shared.choice import Choice
from pages._shared.text import counted

MOST_SHOWN = 96  # pictures shown


def show(choice: Choice, dataset: DatasetSpec) -> None:
    """The selection, and what has a tag in the dataset that is looked at."""
    chosen = image_grid.picked()
    tag_bar.offer_tagged(dataset)
    if not chosen:
        st.info(
            "Nothing is selected. Press the ring in the corner of a picture, or x on the keyboard, to add it. "
            "The selection stays until you clear it or close the explorer; tag it to find it again later.",
            icon=":material/check_circle:",
        )
        return
    tables = {name: _scored(choice, name) for name in dict.fromkeys(chosen.values())}
    members = {name: resources.store().members(name) for name in tables}
    table = tagging.with_tags(curation.picked(members, chosen, tables))
    left, right = st.columns([5, 1], vertical_alignment="center")
    sets = f" of {len(tables)} datasets" if len(tables) > 1 else ""
    left.markdown(
        f"**{counted(len(chosen), 'image')}**{sets} selected. Scores are those of encoder {choice.spec.name}."
    )
    right.button("Clear", icon=":material/delete:", on_click=chosen.clear, width="stretch")
    tag_bar.show(chosen)
    export(choice, table, "selection", {"List of paths": table})
    cards = [card for name, one in tables.items() for card in _cards(choice, name, one, chosen)]
    places = {digest: place for place, digest in enumerate(chosen)}
    image_grid.grid(
        sorted(cards, key=lambda card: places[card.id])[:MOST_SHOWN], key="selection", label="Your selection"
    )
    if len(cards) > MOST_SHOWN:
        st.caption(f"The first {MOST_SHOWN} of {len(cards)} are shown; the export has all.")
    if len(cards) < len(chosen):
        st.caption(
            f"{counted(len(chosen) - len(cards), 'image')} without a score of this encoder and method cannot be shown "
            "here."
        )


def _scored(choice: Choice, name: str) -> pd.DataFrame:
    try:
        return score_tables.ranked(choice, resources.dataset(name), None)
    except JepaError:  # a folder that is gone
        return pd.DataFrame(columns=["digest"])


def _cards(choice: Choice, name: str, table: pd.DataFrame, chosen: dict[str, str]) -> list[image_grid.Card]:
    own = [digest for digest, dataset in chosen.items() if dataset == name]
    rows = table[table["digest"].isin(own)].drop_duplicates("digest")
    if rows.empty:
        return []
    tagged = tagging.of(name)
    made = image_grid.cards(choice, resources.dataset(name), rows)
    return [replace(card, aside=(*_tags(tagged.get(card.id, ())), *card.aside)) for card in made]


def _tags(words: tuple[str, ...]) -> tuple[str, ...]:
    return (f"Tagged {', '.join(words)}",) if words else ()


def export(choice: Choice, table: pd.DataFrame, name: str, paths: dict[str, pd.DataFrame]) -> None:
    """Buttons that download a table as CSV, or as Parquet with the embeddings, and lists of paths.

    `paths`: label of a button -> the rows whose paths it gives.
    """
    with st.container(horizontal=True):
        _button("CSV", lambda: curation.as_csv(table), f"{name}.csv")
        _button("Parquet", lambda: _as_parquet(choice, table), f"{name}.parquet")
        for label, rows in paths.items():
            _button(label, partial(curation.as_paths, rows), f"{name}-{label.lower().replace(' ', '-')}.txt")


def _as_parquet(choice: Choice, table: pd.DataFrame) -> bytes:
    return parquet_export.as_parquet(resources.store(), choice.encoder_output, table, choice.method.precision)


def _button(label: str, make: Callable[[], bytes], name: str) -> None:
    # What a button downloads is made when it is pressed.
    st.download_button(label, make, name, icon=":material/download:", on_click="ignore")
