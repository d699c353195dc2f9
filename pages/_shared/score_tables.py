"""Tables of the scores that the store holds, cached by a version that changes with them."""

from collections import OrderedDict
from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st

from jepa_core.analysis.percentiles import with_percentiles
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.keys import make_key
from jepa_core.scoring import looks, precision, stored
from jepa_core.scoring.method import LEAST_IMAGES, ScoringMethod
from pages._shared import resources
from pages._shared.choice import Choice

_REMEMBERED = 512  # datasets, each with an encoder and a method


@dataclass(frozen=True)
class _StoredScores:
    """What the store had of a dataset's scores when it had seen so many `changes`."""

    changes: int
    scored: dict[str, tuple[str, bool]]
    version: str
    stamp: tuple  # `Store.stamp`, with what else decides; empty where estimates are among them


@st.cache_resource(show_spinner=False)
def _all_stored_scores() -> OrderedDict[tuple, _StoredScores]:
    return OrderedDict()


def _stored_scores(choice: Choice, dataset: DatasetSpec) -> _StoredScores:
    """Reading and hashing all rows takes longer the more there are, so it is done again only after a change of them."""
    method, config, known = choice.method_for(dataset), choice.config, _all_stored_scores()
    key = (config.key, method, dataset.name)
    changes = resources.store().changes()  # asked first: what is written from here on makes the next look a new one
    found = known.get(key)
    if found is None or found.changes != changes:
        stamp = _stamp(choice, dataset, method)
        if found is not None and stamp and found.stamp == stamp:  # something else in the store has changed
            known[key] = replace(found, changes=changes)
            return known[key]
        scored = stored.scored(resources.store(), choice.encoder_output, dataset.name, method)
        rank = choice.encoder_output.rank.rank
        settled = precision.resolved(resources.store(), choice.encoder_output, dataset.name, method)
        parts = (part for name, found in scored.items() for part in (name, *found))
        version = make_key(config.key, repr(settled), dataset.name, rank, *parts)
        found = _StoredScores(changes, scored, version, stamp)
    known[key] = found
    known.move_to_end(key)
    while len(known) > _REMEMBERED:
        known.popitem(last=False)
    return found


def _stamp(choice: Choice, dataset: DatasetSpec, method: ScoringMethod) -> tuple:
    settled = precision.resolved(resources.store(), choice.encoder_output, dataset.name, method)
    if settled.name != "exact":
        return ()
    config = choice.encoder_output.config(settled.decided)
    return settled, choice.encoder_output.rank.rank, *resources.store().stamp(config, dataset.name)


def scored(choice: Choice, dataset: DatasetSpec) -> dict[str, tuple[str, bool]]:
    """The images of a dataset that have a score: name -> (digest, whether it is an estimate). Not to be changed."""
    return _stored_scores(choice, dataset).scored


def missing_count(choice: Choice, dataset: DatasetSpec, label: str | None = None) -> int:
    """How many images of a dataset, or of a class of it, have no score."""
    return _missing(version(choice, dataset), dataset.name, dataset.fingerprint, label, dataset, choice)


@st.cache_data(show_spinner=False, max_entries=64)
def _missing(
    version: str,  # noqa: ARG001
    name: str,  # noqa: ARG001
    fingerprint: str,  # noqa: ARG001
    label: str | None,
    _dataset: DatasetSpec,
    _choice: Choice,
) -> int:
    known = scored(_choice, _dataset)
    wanted = (place for place in range(len(_dataset)) if label is None or _dataset.label_of(place) == label)
    return sum(_dataset.name_of(place) not in known for place in wanted)


def goal_reached(choice: Choice, dataset: DatasetSpec) -> bool:
    """Whether the estimates of a dataset are as good as its method asks; true where all scores are full."""
    goal, table = resolved_method(choice, dataset).goal, scored(choice, dataset)
    if goal.fidelity is None or not any(estimated for _digest, estimated in table.values()):
        return True
    method = resolved_method(choice, dataset)
    come = looks.progressed(resources.store(), choice.encoder_output, method.decided, dataset.name)
    return come.fidelity >= goal.fidelity


def resolved_method(choice: Choice, dataset: DatasetSpec) -> ScoringMethod:
    """The method by which a dataset's stored scores were made."""
    return precision.resolved(resources.store(), choice.encoder_output, dataset.name, choice.method_for(dataset))


def version(choice: Choice, dataset: DatasetSpec) -> str:
    """Changes when anything that a page shows of a dataset's scores may have changed: a part of every cache's key."""
    return _stored_scores(choice, dataset).version


# Tables are kept as they are, not as a pickle that is read for every look: nobody may change them.
@st.cache_resource(show_spinner=False, max_entries=256)
def _scores(version: str, fingerprint: str, _dataset: DatasetSpec, _choice: Choice) -> pd.DataFrame:  # noqa: ARG001
    table = stored.stored_scores(resources.store(), _choice.encoder_output, _dataset.name, _choice.method_for(_dataset))
    if not fingerprint:
        return table
    return table[table["name"].isin({_dataset.name_of(position) for position in range(len(_dataset))})]


def scores(choice: Choice, dataset: DatasetSpec) -> pd.DataFrame:
    """The score table of what the store holds for a dataset, without images that a folder no longer has.

    Pages share it, so it must not be changed: `assign` makes another one.
    """
    return _scores(version(choice, dataset), dataset.fingerprint, dataset, choice)


@st.cache_resource(show_spinner=False, max_entries=128)
def _ranked(version: str, fingerprint: str, label: str | None, _dataset: DatasetSpec, _choice: Choice) -> pd.DataFrame:  # noqa: ARG001
    table = scores(_choice, _dataset)
    table = table if label is None else table[table["label"] == label]
    return with_percentiles(table).sort_values("jepa_score", kind="stable")


def ranked(choice: Choice, dataset: DatasetSpec, label: str | None) -> pd.DataFrame:
    """`scores` of a class (None for all), least likely first, with the percentile of each within the class."""
    return _ranked(version(choice, dataset), dataset.fingerprint, label, dataset, choice)


def provenance_in_words(choice: Choice, dataset: DatasetSpec, table: pd.DataFrame) -> str:
    """How the scores of a table were made, in words."""
    method = resolved_method(choice, dataset)
    words = stored.in_words(resources.store(), choice.encoder_output, dataset.name, method, table)
    if dataset.listed:
        words += " Its pictures are not bundled, so these are the scores that came with the explorer."
    elif method.name != choice.method.name:
        words += f" {dataset.title} is too small for estimates, which need {2 * LEAST_IMAGES} images."
    chosen = precision.recorded(resources.store(), choice.config.space, dataset.name)
    if choice.method.precision == "auto" and chosen:
        words += f" Precision: {chosen.reason}."
    return words
