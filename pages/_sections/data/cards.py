"""The cards of Data: what a set is, in a frame beside others, and the way into the Gallery."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

import streamlit as st

from pages._shared import image_grid, scoring_job
from pages._shared.text import escaped

PER_ROW = 3


@dataclass(frozen=True)
class Card:
    """What a card says, and what stands below it."""

    name: str  # what `get_dataset` takes
    title: str
    description: str
    facts: Sequence[str]  # a line each
    actions: Callable[[], None] = field(repr=False)
    note: str = ""
    address: str = ""  # of its page

    def has(self, wanted: str) -> bool:
        """Whether all words that are looked for are in it."""
        text = " ".join((self.name, self.title, self.description, *self.facts, self.note)).lower()
        return all(word in text for word in wanted.lower().split())


def show(group: Sequence[Card]) -> None:
    """Cards side by side."""
    for start in range(0, len(group), PER_ROW):
        for column, card in zip(st.columns(PER_ROW), group[start : start + PER_ROW], strict=False):
            with column, st.container(border=True, height="stretch", key=f"card:{card.name}"):
                st.subheader(escaped(card.title), anchor=False)
                st.markdown(escaped(card.description))
                page = [f"[Its page]({card.address})"] if card.address else []
                if card.facts:
                    st.markdown("  \n".join([*map(_bold_key, card.facts), *page]))
                if card.note:
                    st.caption(escaped(card.note))
                card.actions()


def _bold_key(fact: str) -> str:
    key, colon, rest = fact.partition(": ")
    return f"**{escaped(key)}:** {escaped(rest)}" if colon else escaped(fact)


def open_button(name: str) -> None:
    """A button that opens a set in the Gallery."""
    st.button("Open in the Gallery", icon=":material/grid_view:", key=f"open:{name}", on_click=_open, args=(name,))


def score_button(name: str) -> None:
    """A button that has a set scored with the quick look first, and opens it in the Gallery."""
    st.button(
        "Score with a quick look and open",
        icon=":material/grid_view:",
        key=f"score:{name}",
        type="primary",
        on_click=_score,
        args=(name,),
    )


def _open(name: str, **sidebar: str) -> None:
    image_grid.open_link(f"gallery?{urlencode({'dataset': name} | sidebar)}")


def _score(name: str) -> None:
    scoring_job.score_at_once(name)
    _open(name, method="quick")
