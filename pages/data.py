"""Data: everything that can be explored: bundled sets, sets to download, and one's own."""

import streamlit as st

from pages._sections.data import bundled, own_sets, to_download
from pages._shared import layout

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
wanted = st.text_input(
    "Search",
    key="data-search",
    placeholder="digits, textures, flowers, ImageNet",
    icon=":material/search:",
).strip()
found = bundled.show(wanted) + to_download.show(wanted) + own_sets.show(wanted)
if wanted and not found:
    st.info("No set has these words. Your own sets are opened below.", icon=":material/search_off:")
own_sets.open_another()
