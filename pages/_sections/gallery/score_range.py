"""Choosing a part of many images: a range of scores, and a page of those that are left. Both are in the address."""

import streamlit as st
from numpy import ndarray

from jepa_core.analysis import curation
from pages._shared import url_state


def choose_range(scores: ndarray, of: str) -> tuple[float, float] | None:
    """A range of scores within those that are there, by a slider and in the address; None for all of them.

    `of` says whose scores they are: a range of others means nothing here.
    """
    low, high = curation.score_limits(scores)
    if st.session_state.setdefault("range-of", of) != of:
        st.session_state["range-of"], st.session_state["range"] = of, ""
        st.session_state["kept:range"] = ""
        st.session_state["span-limits"] = []
    url_state.restore("range", "")
    found = curation.read_range(st.session_state["range"], scores)
    url_state.publish("range", st.session_state["range"] if found else "", "")
    if low == high:
        return None
    if (low, high) not in st.session_state.setdefault("span-limits", []):
        st.session_state["span-limits"].append((low, high))
    st.session_state["span"] = (max(low, found[0]), min(high, found[1])) if found else (low, high)
    st.slider("Scores, from unlikely to likely", low, high, step=0.1, key="span", format="%.1f", on_change=_spanned)
    return found


def _spanned() -> None:
    """Take what the slider says as a choice, unless it stands where it stood before anybody touched it.

    While scores arrive its limits move, and a browser that did not hear of them yet sends the old ones with any click.
    """
    span, limits = st.session_state["span"], st.session_state["span-limits"]
    if span not in limits:
        set_range(span)
    elif span == limits[-1]:
        set_range(None)


def set_range(found: tuple[float, float] | None) -> None:
    """Choose a range of scores from elsewhere than its slider; None for all."""
    st.session_state["range"] = f"{found[0]:.1f}:{found[1]:.1f}" if found else ""


def choose_sheet(count: int, each: int, key: str, of: str) -> slice:
    """Which of `count` things are on the page to be shown, of `each` a page. Another `of` starts at the first again."""
    sheets = max(1, -(-count // each))
    if st.session_state.setdefault(f"{key}-of", of) != of:
        st.session_state[f"{key}-of"], st.session_state[key] = of, "1"
    url_state.restore(key, "1")
    asked = st.session_state[key]
    sheet = min(max(int(asked), 1), sheets) if asked.isascii() and asked.isdigit() and len(asked) < 10 else 1
    st.session_state[key] = str(sheet)
    url_state.publish(key, str(sheet), "1")

    def turn(step: int) -> None:
        st.session_state[key] = str(sheet + step)

    def jump() -> None:
        st.session_state[key] = str(st.session_state[f"{key}-jump"])

    if sheets > 1:
        st.session_state[f"{key}-jump"] = sheet
        left, middle, right = st.columns([1, 4, 1], vertical_alignment="bottom")
        left.button(
            "Back", on_click=turn, args=(-1,), disabled=sheet == 1, shortcut="P", key=f"{key}-back", width="stretch"
        )
        middle.slider(f"Page, of {sheets}", 1, sheets, key=f"{key}-jump", on_change=jump)
        right.button(
            "Next", on_click=turn, args=(1,), disabled=sheet == sheets, shortcut="N", key=f"{key}-next", width="stretch"
        )
    return slice((sheet - 1) * each, min(sheet * each, count))
