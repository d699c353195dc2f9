"""Facts on a page: names and their values."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st


@dataclass(frozen=True)
class Fact:
    """A value with its name, and a smaller line below it."""

    name: str
    value: str
    small: str = ""


def show(facts: Sequence[Fact], *, lines: bool = False) -> None:
    """Draw facts beside each other, or (`lines`) one a line, for long values."""
    items = []
    for fact in facts:
        small = f'<span class="small">{html.escape(fact.small)}</span>' if fact.small else ""
        items.append(f"<div><dt>{html.escape(fact.name)}</dt><dd>{html.escape(fact.value)}{small}</dd></div>")
    st.html(f'<dl class="jepa-facts{" lines" if lines else ""}">{"".join(items)}</dl>')
