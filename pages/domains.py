"""Domains: whole sets of images side by side on one encoder's score, and what other encoders say of them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from jepa_core import agreement, datasets, training_size, ways, world
from jepa_core.domains import distances_in_words, domain_table, in_words, with_interval
from jepa_core.encoders import list_encoders
from jepa_core.errors import NotEnoughData
from jepa_core.figures.agreement import agreement_figure
from jepa_core.figures.histogram import domain_histogram
from jepa_core.figures.style import CONFIG
from jepa_core.figures.training_size import training_size_figure
from jepa_core.figures.truth import truth_figure
from jepa_core.judges import COMPARED, METHODS, Domain, load_domain
from jepa_core.specs import EncoderSpec
from pages._shared import confounds, ends, state, widgets
from pages._shared.state import Choice
from pages._shared.text import plain

widgets.header(
    "Domains",
    "How do whole sets of images lie beside each other, and does the score tell them apart?",
    """**What you see.** Each row is the histogram of one set of images (a *domain*) on this encoder's score, with a
tick at its median. On top, in blue, is the **reference**: held-out images of the kind that the encoder was trained on;
the blue band is the middle half of its scores.

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
choice = state.choice()
listed = datasets.list_datasets()
number, text = st.column_config.NumberColumn, st.column_config.TextColumn


@st.cache_data(show_spinner=False, max_entries=64)
def _domain(version: str, name: str, _choice: Choice) -> Domain:  # noqa: ARG001
    return load_domain(state.store(), _choice.spec, _choice.output, name, _choice.way_to(listed[name]))


def domain(name: str) -> Domain:
    return _domain(state.version(choice, listed[name]), name, choice)


@st.cache_data(show_spinner="Comparing the domains", max_entries=32)
def _table(versions: Sequence[str], _names: Sequence[str], _training: str) -> pd.DataFrame:  # noqa: ARG001
    loaded = [domain(name) for name in _names]
    return domain_table(loaded, loaded[0], domain(_training) if _training else None)


@st.cache_data(show_spinner="Comparing the encoders", max_entries=32)
def _sizes(versions: Sequence[str], _smaller: Choice, _larger: Choice, _names: Sequence[str]) -> pd.DataFrame:  # noqa: ARG001
    small, large = (
        {name: state.scores(one, listed[name]) for name in _names if state.scored(one, listed[name])}
        for one in (_smaller, _larger)
    )
    return training_size.compare(small, large, _names[0])


def choice_of(spec: EncoderSpec) -> Choice:
    """Another encoder looked at in the same way: its output of the same name where it has one."""
    return Choice(spec, choice.output if choice.output in spec.outputs else spec.default_output, choice.way)


def show_table(table: pd.DataFrame) -> None:
    """The separation by each method; what else was measured is one click away."""
    found = [method for method in COMPARED if table[f"percentile_{method}"].notna().any()]
    short = METHODS | {"jepa": "score"}
    st.dataframe(
        pd.DataFrame(
            {"domain": table["domain"]}
            | {f"auroc_{method}": with_interval(table, f"auroc_{method}") for method in found}
            | {"images": table["images"]}
        ),
        hide_index=True,
        height="content",
        placeholder="-",
        column_config={"domain": text("Domain", pinned=True), "images": number("Images")}
        | {f"auroc_{method}": text(f"AUROC {short[method]}") for method in found},
    )
    with st.expander("Percentiles, FPR95, AUPR and quartiles", icon=":material/table_chart:"):
        rest = ["median", "q25", "q75", *(["estimated"] if table["estimated"].any() else [])]
        st.dataframe(
            pd.DataFrame(
                {"domain": table["domain"]}
                | {f"percentile_{method}": table[f"percentile_{method}"] for method in found}
                | {
                    f"{metric}_{method}": with_interval(table, f"{metric}_{method}")
                    for metric in ("fpr95", "aupr")
                    for method in found
                }
                | {column: table[column] for column in rest}
            ),
            hide_index=True,
            placeholder="-",
            column_config={
                "domain": text("Domain", pinned=True),
                "median": number("Median score", format="%.1f"),
                "q25": number("25 %", format="%.1f"),
                "q75": number("75 %", format="%.1f"),
                "estimated": number("Estimates", help="How many of the scores are estimates by a sketch"),
            }
            | {f"percentile_{method}": number(f"Percentile {short[method]}", format="%.0f") for method in found}
            | {
                f"{metric}_{method}": text(f"{metric.upper()} {short[method]}")
                for metric in ("fpr95", "aupr")
                for method in found
            },
        )
        st.caption(
            "Percentiles are those of the domain's median in the reference: a low one of a score is unlikely, a high "
            "one of a distance is far away."
        )


def show_agreement(reference: str) -> None:
    """Other encoders' orders of the reference beside this one's."""
    st.subheader("Do encoders agree?")
    title = listed[reference].title
    mine = state.scores(choice, listed[reference])
    found, sentences = {}, []
    for spec in list_encoders().values():
        other = choice_of(spec)
        if spec.name == choice.spec.name or not state.scored(other, listed[reference]):
            continue
        try:
            one = agreement.agreement(mine, state.scores(other, listed[reference]))
        except NotEnoughData:
            continue
        name = spec.name if other.output == choice.output else f"{spec.name} ({other.output})"
        found[name] = one
        words = agreement.in_words(one, choice.spec.name, name)
        sentences.append(f"- {plain(words)} *({agreement.relation(choice.spec, spec)})*")
    if not found:
        st.markdown(plain(f"No other encoder has scores of {title}, so there is nothing to compare."))
        return
    words = (
        f"The paper says that different encoders find the same images least and most likely. Compared are the "
        f"{100 * agreement.SHARE:.0f} % at each end of {title}. {agreement.all_in_words(list(found.values()))}"
    )
    st.markdown(plain(words))
    st.plotly_chart(
        agreement_figure(found), config=CONFIG, alt=f"Shares of the least and most likely of {title} in common"
    )
    st.markdown("\n".join(sentences))


def show_training_sizes(names: Sequence[str]) -> None:
    """Pairs of encoders that differ in the size of their training sets, this one among them."""
    pairs = training_size.pairs(list_encoders().values())
    own = [pair for pair in pairs if choice.spec in (pair.smaller, pair.larger)]
    for pair in pairs if not own else ():
        words = f"{pair.smaller.name} and {pair.larger.name} differ in the size of their training sets alone"
        st.caption(plain(f"{words}: choose one of them to see whether that makes foreign images less likely."))
    reference = listed[names[0]]
    for pair in own:
        both = choice_of(pair.smaller), choice_of(pair.larger)
        if all(state.scored(one, reference) for one in both):
            st.subheader("Does a larger training set make foreign images less likely?")
            show_training_size(pair, both, names)


def show_training_size(pair: training_size.Pair, both: tuple[Choice, Choice], names: Sequence[str]) -> None:
    """One pair on the domains of the page, the first of which is the reference."""
    reference = listed[names[0]]
    try:
        table = _sizes([state.version(one, listed[name]) for one in both for name in names], *both, names)
    except NotEnoughData:
        st.markdown(plain(f"The two encoders have scored different images of {reference.title}."))
        return
    if len(table):
        table["domain"] = [listed[name].title for name in table["domain"]]
    st.markdown("The paper says that images foreign to the training set are the less likely the larger it was.")
    st.markdown(plain(training_size.in_words(table, pair, reference.title)))
    if len(table):
        st.plotly_chart(
            training_size_figure(table, pair.smaller.name, pair.larger.name),
            config=CONFIG,
            alt="AUROC of each domain with the smaller and with the larger training set",
        )
    st.caption(
        "A change is called sure where its 90 % interval leaves 0 out. That covers the choice of the images, not the "
        "luck of a training run: another seed would move these figures too. Sets of the reference's own kind are not "
        "foreign, and are best left out of the domains above."
    )


TRUTH = "world-test"  # the bundled set whose pictures have a known density


@st.cache_data(show_spinner="Computing the known densities", max_entries=8)
def _truth(positions: Sequence[int], scale: Sequence[float]) -> pd.Series:
    return pd.Series(world.known_log_density("test", positions, np.resize(scale, 3))[1])


def show_truth() -> None:
    """The scores of the drawn world beside its known density."""
    table = state.scores(choice, listed[TRUTH]).reset_index(drop=True)
    truth = _truth(table["position"].tolist(), choice.spec.data_config["std"])
    gaussian_term = -table["squared_norm"] / 2
    columns = {
        "JEPA-SCORE": table["jepa_score"],
        "with the Gaussian term": table["gaussian_score"],
        "Gaussian term alone": gaussian_term,
    }
    st.subheader("Does the score read the density?")
    found = ", ".join(
        f"{name} {truth.corr(values, method='pearson'):.2f} and {truth.corr(values, method='spearman'):.2f}"
        for name, values in columns.items()
    )
    st.markdown(
        plain(
            f"The pictures of {listed[TRUTH].title} are drawn from a known density, so the score can be held against "
            f"the truth. Pearson's and Spearman's correlation with the known log-density, {len(table)} pictures: "
            f"{found}. 1 would be a perfect reading, 0 none."
        )
    )
    drawn = st.segmented_control("Shown", list(columns)[:2], default="JEPA-SCORE", key="truth") or "JEPA-SCORE"
    st.plotly_chart(
        truth_figure(truth.to_numpy(), columns[drawn].to_numpy(), table["label"].tolist(), drawn),
        config=CONFIG,
        alt=f"Known log-density and {drawn} of {len(table)} drawn pictures",
    )


scored = [name for name in listed if state.scored(choice, listed[name])]
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
        default=[name for name in others if listed[name].held_out],
        key="domains",
        bind="query-params",
    )
names = [reference, *chosen]
loaded = {listed[name].title: domain(name) for name in names}
title = listed[reference].title
st.plotly_chart(
    domain_histogram({name: one.table["jepa_score"].to_numpy() for name, one in loaded.items()}, title),
    config=CONFIG,
    alt=f"Histograms of the scores of {', '.join(loaded)}",
)
training = choice.spec.training if choice.spec.training in scored else ""
versions = [state.version(choice, listed[name]) for name in (*names, *([training] if training else []))]
table = _table(versions, names, training)
table["domain"] = [listed[name].title for name in table["domain"]]
st.markdown(plain(in_words(table, title)))
show_table(table)
everything = pd.concat([one.table for one in loaded.values()])
made = ways.in_words(choice.spec, choice.output, state.settled_way(choice, listed[reference]), everything)
fitted_on = replace(domain(training), name=listed[training].title) if training else None
distances = distances_in_words(choice.spec, domain(reference), fitted_on)
st.caption(
    plain(
        f"Encoder {choice.spec.name}, output {choice.output}. {made} Outliers are the positives of AUROC, and no image "
        f"of the reference is one; in brackets 90 % intervals. {distances}"
    )
)
if chosen:
    st.divider()
    separated = (table["auroc_jepa"] - 0.5).abs().to_numpy()[1:]  # the reference is the first line
    closer = st.selectbox(
        f"Look closer at one domain beside {plain(title)}",
        chosen,
        index=int(np.nanargmax(separated)),
        format_func=lambda name: listed[name].title,
        key="closer",
        bind="query-params",
        help="The one that the score tells apart most, in either direction, unless you choose.",
    )
    ends.show(choice, reference, closer)
    confounds.show(choice, listed[reference], listed[closer])
    st.divider()
if reference == TRUTH:
    show_truth()
show_agreement(reference)
show_training_sizes(names)
with st.expander("Where these images come from", icon=":material/photo_library:"):
    for name in names:
        st.markdown(f"**{listed[name].title}** ({len(listed[name])} images). {listed[name].description}")
