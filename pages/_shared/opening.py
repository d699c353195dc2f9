"""What a visit opens on: photographs, and a class of them whose two ends differ at sight.

An address says what its page shows, and so opens as ever; only the bare address of the explorer is filled in.
"""

import streamlit as st

CHOICES = {"encoder": "photo", "dataset": "scenes-test", "class": "astronaut"}
"""docs/decisions.md says why these."""


def fill_in(is_home: bool) -> None:
    """Put the choices into the address of a session that begins at the first page with none of its own.

    To be called before any widget of the page.
    """
    if st.session_state.setdefault("arrived_bare", is_home and not st.query_params):
        st.session_state["arrived_bare"] = False
        for key, value in CHOICES.items():
            st.query_params[key] = value
