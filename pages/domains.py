"""Domains: whole sets of images side by side on one encoder's score, and what other encoders say of them."""

from dataclasses import replace

import pandas as pd
import streamlit as st

from jepa_core.analysis.separation import distances_in_words, in_words, most_telling
from jepa_core.scoring import stored
from pages._sections.domains import (
    domain_details,
    domain_scores,
    known_density,
    paper_claims,
    score_figure,
    separation_table,
)
from pages._shared import known_sets, layout, resources, score_tables, url_state
from pages._shared.choice import current_choice
from pages._shared.text import escaped

layout.header(
    "Domains",
    "How do whole sets of images lie beside each other, and does the score tell them apart?",
    """**What you see.** Each row is one set of images (a *domain*) on this encoder's score: its histogram, a smoothed
**density**, or the **cumulative** share of its images up to each score, with a tick at its median and a bar below its
middle half. On top, in blue, is the **reference**: held-out images of the kind that the encoder was trained on; the
blue band is the middle half of its scores. **Side by side** shows the same sets by every encoder here, each on a scale
of its own.

**AUROC** is the probability that a random image of the domain looks less likely than a random one of the reference: 1
is a perfect detector, 0.5 is chance, and below 0.5 the score is upside down. **FPR95** is the share of the reference
that would be called foreign by a threshold that catches 95 % of the domain; small is good. In brackets stands the 90 %
interval: how far the figure would move with another choice of as many images.

**AUPR** is the average precision of calling the least likely images foreign; its chance level is the domain's share of
all images, so compare it within a row only.

Beside the score stand the score **with the Gaussian term** (minus half the squared length of the embedding) and three
plain baselines: the **distance to the 10th nearest training image** in the embedding, the **Mahalanobis distance**,
which takes the training images as one cloud with a centre and a spread in each direction, and the **embedding norm**,
the length of the embedding, which is the Gaussian term alone.

Then the spectrum is taken apart: do the largest singular values separate two sets, or the smallest? Last, two claims
are put to the test: that different encoders agree on which images are likely, and that a larger training set makes
foreign images less likely. Only orders and percentiles are compared between encoders, since their scores are not on one
scale.""",
    picture="domains",
)
choice = current_choice()
known_sets.open_all()
listed = known_sets.specs()
scored = [name for name in listed if score_tables.scored(choice, listed[name])]
if not scored:
    st.info("Nothing is scored yet for this encoder. Open a dataset in the Gallery first.", icon=":material/info:")
    st.stop()
titles = known_sets.titles()
left, right = st.columns([1, 2])
with left:
    reference = url_state.choose_named(
        "Reference",
        {name: titles[name] for name in scored},
        choice.spec.reference if choice.spec.reference in scored else scored[0],
        "reference",
        "The set that counts as normal. It should hold images that the encoder was not trained on.",
    )
with right:
    others = [name for name in scored if name != reference]
    chosen = url_state.choose_all_named(
        "Domains",
        {name: titles[name] for name in others},
        [name for name in others if listed[name].held_out],
        "domains",
    )
names = [reference, *chosen]
title = listed[reference].title
score_figure.show(choice, names)
training = choice.spec.training if choice.spec.training in scored else ""
with st.spinner("Comparing the domains"):
    table = domain_scores.table(choice, names, training)
st.markdown("\n".join(f"- {escaped(sentence)}" for sentence in in_words(table, title)))
separation_table.show(table)
everything = pd.concat([score_tables.scores(choice, listed[name]) for name in names])
method = score_tables.resolved_method(choice, listed[reference])
made = stored.in_words(resources.store(), choice.encoder_output, reference, method, everything)
fitted_on = replace(domain_scores.domain(choice, training), name=listed[training].title) if training else None
distances = distances_in_words(choice.spec, domain_scores.domain(choice, reference), fitted_on)
st.caption(
    escaped(
        f"Encoder {choice.spec.name}, output {choice.output}. {made} Outliers are the positives of AUROC, and no image "
        f"of the reference is one; in brackets 90 % intervals. {distances}"
    )
)

if chosen:
    st.divider()
    domain_details.show(choice, reference, chosen, chosen[most_telling(table)])
    st.divider()
if reference == known_density.TRUTH:
    known_density.show(choice)
paper_claims.show_agreement(choice, reference)
paper_claims.show_training_sizes(choice, names)
with st.expander("Where these images come from", icon=":material/photo_library:"):
    for name in names:
        st.markdown(f"**{listed[name].title}** ({len(listed[name])} images). {listed[name].description}")
