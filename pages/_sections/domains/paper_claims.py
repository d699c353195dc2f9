"""Two claims of the paper, tested on what is at hand: on agreement of encoders, and on larger training sets."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from jepa_core.analysis import agreement, training_size
from jepa_core.encoders.registry import list_encoders
from jepa_core.errors import NotEnoughData
from jepa_core.figures.agreement import agreement_figure
from jepa_core.figures.style import CONFIG
from jepa_core.figures.training_size import training_size_figure
from jepa_core.wording import per_cent
from pages._sections.domains.domain_scores import choice_of
from pages._shared import figure_cache, known_sets, score_tables
from pages._shared.choice import Choice
from pages._shared.text import escaped


@st.cache_data(show_spinner="Comparing the encoders", max_entries=32)
def _sizes(versions: Sequence[str], _smaller: Choice, _larger: Choice, _names: Sequence[str]) -> pd.DataFrame:  # noqa: ARG001
    small, large = (
        {
            name: score_tables.scores(one, known_sets.specs()[name])
            for name in _names
            if score_tables.scored(one, known_sets.specs()[name])
        }
        for one in (_smaller, _larger)
    )
    return training_size.compare(small, large, _names[0])


@st.cache_data(show_spinner=False, max_entries=64)
def _agreement(versions: Sequence[str], _mine: pd.DataFrame, _other: pd.DataFrame) -> agreement.Agreement:  # noqa: ARG001
    return agreement.agreement(_mine, _other)


def show_agreement(choice: Choice, reference: str) -> None:
    """Other encoders' orders of the reference beside this one's."""
    st.header("Do encoders agree?")
    listed = known_sets.specs()
    title = listed[reference].title
    mine = score_tables.scores(choice, listed[reference])
    found, sentences, known = {}, [], [choice.spec.name, choice.output, reference]
    for spec in list_encoders().values():
        other = choice_of(choice, spec)
        if spec.name == choice.spec.name or not score_tables.scored(other, listed[reference]):
            continue
        try:
            versions = [score_tables.version(choice, listed[reference]), score_tables.version(other, listed[reference])]
            one = _agreement(versions, mine, score_tables.scores(other, listed[reference]))
        except NotEnoughData:
            continue
        name = spec.name if other.output == choice.output else f"{spec.name} ({other.output})"
        found[name] = one
        known += [name, *versions]
        words = agreement.in_words(one, choice.spec.name, name)
        sentences.append(f"- {escaped(words)} *({agreement.relation(choice.spec, spec)})*")
    twin = agreement.twin_of(choice.spec.name, choice.output, reference)
    if twin and twin.name not in found:
        found[twin.name] = twin.agreement
        words = agreement.in_words(twin.agreement, choice.spec.name, twin.name)
        sentences.append(f"- {escaped(words)} *(same recipe, another seed; not bundled, {escaped(twin.made)})*")
    if not found:
        st.markdown(escaped(f"No other encoder has scores of {title}, so there is nothing to compare."))
        return
    words = (
        f"The paper says that different encoders find the same images least and most likely. Compared are the "
        f"{per_cent(agreement.SHARE)} at each end of {title}. {agreement.all_in_words(list(found.values()))}"
    )
    st.markdown(escaped(words))
    st.plotly_chart(
        figure_cache.cached_figure(lambda: agreement_figure(found), "agreement", *known),
        config=CONFIG,
        alt=f"Shares of the least and most likely of {title} in common",
    )
    st.markdown("\n".join(sentences))


def show_training_sizes(choice: Choice, names: Sequence[str]) -> None:
    """Pairs of encoders that differ in the size of their training sets, this one among them."""
    pairs = training_size.pairs(list_encoders().values())
    own = [pair for pair in pairs if choice.spec in (pair.smaller, pair.larger)]
    for pair in pairs if not own else ():
        words = f"{pair.smaller.name} and {pair.larger.name} differ in the size of their training sets alone"
        st.caption(escaped(f"{words}: choose one of them to see whether that makes foreign images less likely."))
    reference = known_sets.specs()[names[0]]
    for pair in own:
        both = choice_of(choice, pair.smaller), choice_of(choice, pair.larger)
        if all(score_tables.scored(one, reference) for one in both):
            st.header("Does a larger training set make foreign images less likely?")
            _show_pair(pair, both, names)


def _show_pair(pair: training_size.Pair, both: tuple[Choice, Choice], names: Sequence[str]) -> None:
    """One pair on the domains of the page, the first of which is the reference."""
    listed = known_sets.specs()
    reference = listed[names[0]]
    try:
        table = _sizes([score_tables.version(one, listed[name]) for one in both for name in names], *both, names)
    except NotEnoughData:
        st.markdown(escaped(f"The two encoders have scored different images of {reference.title}."))
        return
    if len(table):
        table["domain"] = [listed[name].title for name in table["domain"]]
    st.markdown("The paper says that images foreign to the training set are the less likely the larger it was.")
    st.markdown(escaped(training_size.in_words(table, pair, reference.title)))
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
