"""Domains' closer look at one set beside the reference: its spectrum, and what else differs."""

from collections.abc import Sequence

import streamlit as st

from jepa_core import datasets
from pages._shared import confounds, ends
from pages._shared.fragments import fragment
from pages._shared.state import Choice
from pages._shared.text import plain


@fragment
def show(choice: Choice, reference: str, chosen: Sequence[str], first: str) -> None:
    """One of the chosen sets, by default the `first`."""
    listed = datasets.list_datasets()
    closer = st.selectbox(
        f"Look closer at one domain beside {plain(listed[reference].title)}",
        chosen,
        index=chosen.index(first),
        format_func=lambda name: listed[name].title,
        key="closer",
        bind="query-params",
        help="Unless you choose: the one that the score tells apart most, in either direction, but not perfectly.",
    )
    ends.show(choice, reference, closer)
    confounds.show(choice, listed[reference], listed[closer])
