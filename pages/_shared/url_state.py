"""Choices that are in the address and go along from page to page."""

from collections.abc import Mapping, Sequence

import streamlit as st

from pages._shared.text import escaped

SIDEBAR_KEYS = {"encoder", "output", "method", "precision"}
"""The choices of the sidebar, which Streamlit keeps in the address."""
KEPT_KEYS = ("dataset", "folder", "class")
"""Choices that go along from page to page (`restore`, `publish`)."""


def restore(key: str, default: str, options: Sequence[str] | None = None) -> None:
    """Give a widget its value: on arrival at a page from the address, else from the page before, else the default.

    Streamlit's own binding of widgets to the address forgets what came with a link and was never touched.
    """
    here = st.session_state["page"]
    kept = st.session_state.get(f"kept:{key}", default)
    if st.session_state.get(f"page:{key}") != here:
        st.session_state[f"page:{key}"] = here
        st.session_state[key] = st.query_params.get(key, kept)
        asked = st.query_params.get(key)
        if options is not None and asked is not None and asked not in options:
            warn_unknown(key, asked, default)
    value = st.session_state.setdefault(key, kept)
    if options is not None and value not in options:
        st.session_state[key] = default


def publish(key: str, value: str, default: str) -> None:
    """Keep a widget's value for the next page, and put it into the address unless it is the default."""
    st.session_state[f"kept:{key}"] = value
    if value == default:
        st.query_params.pop(key, None)
    elif st.query_params.get(key) != value:
        st.query_params[key] = value


def adopt(key: str, default: str, options: Sequence[str]) -> None:
    """Give a widget of the sidebar its value: that of an address just opened, else what it had, else the default.

    `publish` afterwards. Streamlit's own binding would put what is shown into the address, and not the value.
    """
    asked = st.query_params.get(key)
    if asked in options and asked != st.session_state.get(f"kept:{key}"):
        st.session_state[key] = asked
    # Streamlit forgets a widget's value where a page was switched; what was kept beside it stays.
    if st.session_state.setdefault(key, st.session_state.get(f"kept:{key}", default)) not in options:
        st.session_state[key] = default


def choose_one(title: str, options: Mapping[str, str], default: str, key: str, tip: str | None = None) -> str:
    """One of a few options (value -> what is shown), side by side, in the address."""
    restore(key, default, list(options))
    chosen = st.segmented_control(
        title, list(options), format_func=options.__getitem__, key=key, help=tip, required=True
    )
    publish(key, chosen, default)
    return chosen


def choose_several(
    title: str, options: Sequence[str], default: Sequence[str], key: str, most: int, tip: str | None = None
) -> list[str]:
    """At most `most` of the options, in the address with commas between them."""
    restore(key, ",".join(default))
    asked = [name for name in dict.fromkeys(st.session_state[key].split(",")) if name in options]
    widget = f"several:{key}"
    if widget not in st.session_state:  # on arrival; the widget forgets itself on other pages
        st.session_state[widget] = asked[:most] or list(default)
    chosen = st.multiselect(title, options, key=widget, max_selections=most, help=tip)
    st.session_state[key] = ",".join(chosen)
    publish(key, st.session_state[key], ",".join(default))
    return chosen


def choose_named(title: str, options: Mapping[str, str], default: str, key: str, tip: str | None = None) -> str:
    """One of many options (value -> what is shown), with its value in the address.

    Streamlit's own binding would write what is shown. What another encoder's default was stands for nothing here.
    """
    if _arrived(key):
        asked = st.query_params.get(key, default)
        if asked not in options:
            warn_unknown(key, asked, options[default])
        st.session_state[key] = asked
    if st.session_state.get(key) not in options:
        st.session_state[key] = default
    chosen = st.selectbox(title, list(options), format_func=options.__getitem__, key=key, help=tip)
    _put(key, [chosen], [default])
    return chosen


def choose_all_named(
    title: str, options: Mapping[str, str], default: Sequence[str], key: str, tip: str | None = None, empty: str = ""
) -> list[str]:
    """Any of many options (value -> what is shown), with their values in the address, one parameter for each."""
    if _arrived(key) or key not in st.session_state:
        st.session_state[key] = st.query_params.get_all(key) or list(default)
    st.session_state[key] = [name for name in st.session_state[key] if name in options]
    chosen = st.multiselect(
        title, list(options), format_func=options.__getitem__, key=key, help=tip, placeholder=empty or None
    )
    _put(key, chosen, default)
    return chosen


def _arrived(key: str) -> bool:
    """Whether the page was opened just now, so that a widget takes what its address says."""
    here = st.session_state["page"]
    before, st.session_state[f"page:{key}"] = st.session_state.get(f"page:{key}"), here
    return before != here or key not in st.session_state


def _put(key: str, chosen: Sequence[str], default: Sequence[str]) -> None:
    if list(chosen) == list(default):
        st.query_params.pop(key, None)
    elif st.query_params.get_all(key) != list(chosen):
        st.query_params[key] = list(chosen)


def warn_unknown(key: str, asked: str, shown: str) -> None:
    """Say that an address asked for what is not here."""
    sentence = f"The address asks for {key} {asked[:60]!r}, which is not here; {shown} is shown."
    st.toast(escaped(sentence), icon=":material/link_off:", duration="long")
