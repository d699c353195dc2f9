"""Scores of whole sets of images, cached by what they were made from: the sections of Domains take them from here."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from jepa_core.analysis import side_by_side
from jepa_core.analysis.methods import Domain, domain_of
from jepa_core.analysis.separation import Inliers, domain_line
from jepa_core.encoders.spec import EncoderSpec
from pages._shared import known_sets, resources, score_tables
from pages._shared.choice import Choice


def choice_of(choice: Choice, spec: EncoderSpec) -> Choice:
    """Another encoder looked at in the same way: its output of the same name where it has one."""
    return Choice(spec, choice.output if choice.output in spec.outputs else spec.default_output, choice.method)


@st.cache_resource(show_spinner=False, max_entries=128)  # shared, so not to be changed
def _domain(version: str, name: str, _choice: Choice) -> Domain:  # noqa: ARG001
    spec = known_sets.specs()[name]
    precision = score_tables.resolved_method(_choice, spec).decided
    return domain_of(resources.store(), _choice.encoder_output, name, score_tables.scores(_choice, spec), precision)


def domain(choice: Choice, name: str) -> Domain:
    """The stored scores and embeddings of a bundled set."""
    return _domain(score_tables.version(choice, known_sets.specs()[name]), name, choice)


@st.cache_resource(show_spinner=False, max_entries=16)
def _inliers(versions: Sequence[str], _choice: Choice, _reference: str, _training: str) -> Inliers:  # noqa: ARG001
    return Inliers(domain(_choice, _reference), domain(_choice, _training) if _training else None)


@st.cache_data(show_spinner=False, max_entries=2048)
def _line(version: str, known: Sequence[str], _choice: Choice, _names: Sequence[str]) -> dict[str, object]:  # noqa: ARG001
    name, reference, training = _names
    return domain_line(domain(_choice, name), _inliers(known, _choice, reference, training))


def table(choice: Choice, names: Sequence[str], training: str) -> pd.DataFrame:
    """`domain_table` of sets, the first of which is the reference. A set that was compared before is not again."""
    listed = known_sets.specs()
    version = {name: score_tables.version(choice, listed[name]) for name in (*names, *([training] if training else []))}
    known = [version[names[0]], version.get(training, "")]
    found = pd.DataFrame([_line(version[name], known, choice, (name, names[0], training)) for name in names])
    return found.assign(domain=[title_of(choice, name) for name in names])


def title_of(choice: Choice, name: str) -> str:
    """A set's title; where only some of its images have full scores, as after a quick look, that is said with it."""
    spec = known_sets.specs()[name]
    scored = len(score_tables.scored(choice, spec))
    return spec.title if scored >= len(spec) else f"{spec.title}, {scored} of {len(spec)} scored fully"


@st.cache_data(show_spinner=False, max_entries=1024)
def _across(
    versions: Sequence[str],  # noqa: ARG001
    _choice: Choice,
    title: str,
    _table: pd.DataFrame,
    _reference: pd.DataFrame,
) -> dict[str, object]:
    return side_by_side.line(_choice.spec.name, title, _table, _reference)


def across_table(choices: Sequence[Choice], names: Sequence[str]) -> pd.DataFrame:
    """A table of `side_by_side.line`s: each encoder on each set with scores of its own; the first is the reference."""
    listed = known_sets.specs()
    lines = []
    for choice in choices:
        normal = score_tables.scores(choice, listed[names[0]])
        known = score_tables.version(choice, listed[names[0]])
        for name in names:
            if len(scores := score_tables.scores(choice, listed[name])):
                versions = [score_tables.version(choice, listed[name]), known]
                lines.append(_across(versions, choice, listed[name].title, scores, normal))
    return pd.DataFrame(lines)
