"""Data: everything that can be explored: bundled sets, sets to download, and one's own."""

import streamlit as st

from pages._sections.data import bundled, cards, own_sets, to_download
from pages._shared import layout, url_state

TITLES = {"download": "To download", "bundled": "Bundled", "own": "Your own"}

layout.header(
    "Data",
    "Which pictures can be explored here, and how do others get here?",
    """**Bundled** sets are here already, with the scores of the bundled encoders.

**To download** are public sets. Each card says how large it is before anything is fetched, what its licence is, and
whether its owner asks for a log-in. A download can be stopped; it goes on where it was. What arrives is compared with
the published checksum, and is fetched once.

**Your own**: a folder, an archive, shards, or any set of pictures on the Hugging Face hub. You see its first pictures
and its classes before anything is scored, and nothing leaves this computer.

**Scoring.** A set that has no scores yet is looked at quickly first: one forward pass an image. The estimates grow
sharper when you choose *balanced* or *exact* in the sidebar.""",
)
left, right = st.columns([2, 3], vertical_alignment="bottom")
url_state.restore("find", "")
wanted = left.text_input(
    "Search",
    key="find",
    placeholder="digits, textures, flowers, ImageNet",
    icon=":material/search:",
).strip()
url_state.publish("find", wanted, "")
groups = {"download": to_download.cards_of(), "bundled": bundled.cards_of(), "own": own_sets.cards_of()}
with right:
    shown = url_state.choose_one(
        "Show", {name: f"{TITLES[name]} ({len(group)})" for name, group in groups.items()}, "download", "group"
    )
if wanted:  # in all groups
    found = {name: [card for card in group if card.has(wanted)] for name, group in groups.items()}
    for name, group in found.items():
        if group:
            st.header(TITLES[name])
            cards.show(group)
    if not any(found.values()):
        st.info("No set has these words. A set of your own is opened under *Your own*.", icon=":material/search_off:")
else:
    st.header(TITLES[shown])
    if shown == "own":
        own_sets.open_another()
    cards.show(groups[shown])
