"""Domains: whole sets of images side by side on one encoder's score."""

import pandas as pd
import streamlit as st

from jepa_core import datasets, ways
from jepa_core.domains import Domain, domain_table, in_words, load_domain
from jepa_core.figures.histogram import domain_histogram
from jepa_core.figures.style import CONFIG
from pages._shared import state, widgets
from pages._shared.state import Choice
from pages._shared.text import plain

widgets.header(
    "Domains",
    "How do whole sets of images lie beside each other, and does the score tell them apart?",
    """**What you see.** Each line is the histogram of one set of images (a *domain*) on this encoder's score. The
filled one is the **reference**: held-out images of the kind that the encoder was trained on.

**AUROC** is the probability that a random image of the domain looks less likely than a random one of the reference: 1
is a perfect detector, 0.5 is chance, and below 0.5 the score is upside down. **FPR95** is the share of the reference
that would be called foreign by a threshold that catches 95 % of the domain; small is good.

Beside the score stand two others: the score **with the Gaussian term** (minus half the squared length of the
embedding), and a plain baseline, the **distance to the 10th nearest training image** in the embedding.""",
)
choice = state.choice()


@st.cache_data(show_spinner=False, max_entries=64)
def _domain(version: str, name: str, _choice: Choice) -> Domain:  # noqa: ARG001
    return load_domain(state.store(), _choice.spec, _choice.output, name, _choice.way_to(bundled[name]))


def domain(name: str) -> Domain:
    return _domain(state.version(choice, bundled[name]), name, choice)


bundled = datasets.list_datasets()
scored = [name for name in bundled if state.scored(choice, bundled[name])]
if not scored:
    st.info("Nothing is scored yet for this encoder. Open a dataset in the Gallery first.", icon=":material/info:")
    st.stop()
left, right = st.columns([1, 2])
with left:
    default = scored.index(choice.spec.reference) if choice.spec.reference in scored else 0
    reference = st.selectbox(
        "Reference",
        scored,
        index=default,
        key="reference",
        bind="query-params",
        help="The set that counts as normal. It should hold images that the encoder was not trained on.",
    )
with right:
    others = [name for name in scored if name != reference]
    chosen = st.multiselect(
        "Domains",
        others,
        default=[name for name in others if bundled[name].held_out],
        key="domains",
        bind="query-params",
    )
names = [reference, *chosen]
loaded = {bundled[name].title: domain(name) for name in names}
title = bundled[reference].title
st.plotly_chart(
    domain_histogram({name: one.table["jepa_score"].to_numpy() for name, one in loaded.items()}, title),
    config=CONFIG,
    alt=f"Histograms of the scores of {', '.join(loaded)}",
)
training = domain(choice.spec.training) if choice.spec.training in scored else None
table = domain_table([domain(name) for name in names], domain(reference), training)
table["domain"] = [bundled[name].title for name in table["domain"]]
st.markdown(plain(in_words(table, title)))

plain = st.column_config.NumberColumn
st.dataframe(
    table,
    hide_index=True,
    column_order=[
        "domain",
        "auroc_jepa",
        "auroc_gaussian",
        "auroc_knn",
        "fpr95_jepa",
        "median",
        "q25",
        "q75",
        "median_percentile",
        "images",
        *(["estimated"] if table["estimated"].any() else []),
    ],
    placeholder="-",
    column_config={
        "domain": st.column_config.TextColumn("Domain", pinned=True),
        "images": plain("Images"),
        "estimated": plain("Estimates", help="How many of the scores are estimates by a sketch"),
        "median": plain("Median", format="%.1f"),
        "q25": plain("25 %", format="%.1f"),
        "q75": plain("75 %", format="%.1f"),
        "median_percentile": plain(
            "Median's percentile", format="%.0f", help="Where the median falls in the reference"
        ),
        "auroc_jepa": plain("AUROC score", format="%.2f"),
        "fpr95_jepa": plain("FPR95 score", format="%.2f"),
        "auroc_gaussian": plain("AUROC with Gaussian term", format="%.2f"),
        "auroc_knn": plain("AUROC 10-NN distance", format="%.2f"),
    },
)
everything = pd.concat([one.table for one in loaded.values()])
made = ways.in_words(choice.spec, choice.output, state.settled_way(choice, bundled[reference]), everything)
st.caption(f"Encoder {choice.spec.name}, output {choice.output}. {made} Outliers are the positives of AUROC.")
with st.expander("Where these images come from", icon=":material/photo_library:"):
    for name in names:
        st.markdown(f"**{bundled[name].title}** ({len(bundled[name])} images). {bundled[name].description}")
