"""Domains' closer look at one set beside the reference: its spectrum, and what else differs."""

from collections.abc import Sequence

import streamlit as st

from pages._sections.domains import confounds, spectrum_bands
from pages._shared import known_sets
from pages._shared.choice import Choice
from pages._shared.errors import fragment
from pages._shared.text import escaped


@fragment
def show(choice: Choice, reference: str, chosen: Sequence[str], first: str) -> None:
    """One of the chosen sets, by default the `first`."""
    listed = known_sets.specs()
    closer = st.selectbox(
        f"Look closer at one domain beside {escaped(listed[reference].title)}",
        chosen,
        index=chosen.index(first),
        format_func=lambda name: listed[name].title,
        key="closer",
        bind="query-params",
        help="Unless you choose: the one that the score tells apart most, in either direction, but not perfectly.",
    )
    spectrum_bands.show(choice, reference, closer)
    confounds.show(choice, listed[reference], listed[closer])
