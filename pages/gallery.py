"""Gallery: the least and most likely images of a class, and random ones between them."""

from dataclasses import replace

import numpy as np
import streamlit as st

from jepa_core.figures.histogram import class_histogram
from jepa_core.figures.style import CONFIG
from pages._shared import pictures, state, widgets
from pages._shared.text import counted, plain

PER_ROW = 8

widgets.header(
    "Gallery",
    "Which images does the encoder find likely, and which unlikely?",
    """**What you see.** A self-supervised encoder turns an image into a list of numbers. Where it has seen many similar
images it reacts strongly to small changes of the picture, elsewhere weakly. The **JEPA-SCORE** measures that reaction:
the sum of the logarithms of the singular values of the encoder's Jacobian. The paper that proposed it says that a high
score means a *likely* image.

**Percentile** 2 means that 98 % of the images of the same set and class have a higher score.

**Estimates.** With the method *sketch* (sidebar) most scores are estimates, marked with ≈ and their 90 % interval. An
image whose interval reaches into the ends shown here is scored fully before it is shown there.

**Read it with care.** The score has no unit, differs between encoders, and smooth or simple images can look likely. The
Domains page shows where it fails.

Source: [arXiv 2510.05949](https://arxiv.org/abs/2510.05949).""",
)
choice = state.choice()
chosen = widgets.choose_scored(choice)
dataset, table = chosen.dataset, chosen.table
scores = table["jepa_score"].to_numpy()
title = chosen.label or dataset.title
if len(table) == 1:
    st.info("There is one image here, so nothing to rank it against.", icon=":material/info:")
    pictures.grid(
        [replace(card, aside=(), badge="") for card in pictures.cards(choice, dataset, table, chosen.label)], key="only"
    )
    st.stop()
st.caption(plain(f"Percentiles are among the {len(table)} images of {title}."))
shown = min(PER_ROW, len(table) // 2)
widgets.verify_ends(choice, chosen, shown)
least, most = table.iloc[:shown], table.iloc[::-1].iloc[:shown]
st.subheader("Least likely")
pictures.grid(pictures.cards(choice, dataset, least, chosen.label), "unlikely", key="least", label="Least likely")
st.subheader("Most likely")
pictures.grid(pictures.cards(choice, dataset, most, chosen.label), "likely", key="most", label="Most likely")

left, right = st.columns([5, 1], vertical_alignment="bottom")
left.subheader("Random")
seed = st.session_state.setdefault("shuffle", 0)
if right.button("Shuffle", icon=":material/shuffle:", width="stretch"):
    seed = st.session_state["shuffle"] = seed + 1
order = np.random.default_rng(seed).permutation(len(table))[:shown]
pictures.grid(pictures.cards(choice, dataset, table.iloc[order], chosen.label), key="random", label="Random")

st.subheader(plain(f"Scores of {title}"))
st.plotly_chart(
    class_histogram(
        scores, chosen.everything["jepa_score"].to_numpy(), title, least["jepa_score"].max(), most["jepa_score"].min()
    ),
    config=CONFIG,
    alt=f"Histogram of {len(table)} scores of {title}, median {np.median(scores):.1f}",
)
flagged = int(table["rank_disagrees"].sum())
note = f" {flagged} of them have a spectrum that does not fit the encoder's rank; compare them with care."
st.caption(
    f"{counted(len(table), 'image')}, median {np.median(scores):.1f}. The coloured ends are the images shown above. "
    f"Encoder {choice.spec.name}, output {choice.output}. {plain(state.how(choice, dataset, table))}"
    f"{note if flagged else ''}"
)
