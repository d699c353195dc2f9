"""The store, the job queue and the choices that pages share. Session state holds names and ids, never data."""

import atexit
import os
import runpy
import secrets
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache

import pandas as pd
import streamlit as st

from jepa_core.config import ROOT
from jepa_core.datasets import registry
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.encoders.registry import Encoder, default_device, list_encoders, load_encoder
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import JepaError
from jepa_core.jobs import JobQueue
from jepa_core.keys import make_key
from jepa_core.redaction import for_visitors
from jepa_core.scoring import precision, stored
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import METHODS, PRECISIONS, ScoringMethod
from jepa_core.stats.conformal import percentile
from jepa_core.store.records import ResultConfig
from jepa_core.store.results import Store
from pages._shared.open_store import Opened
from pages._shared.text import plain

_PATIENCE = 10.0  # seconds that a server that is to end waits for the step of a job that is under way
_RELIST = 5.0  # seconds after which a listing is no longer taken for new
_STANDINGS = 512  # datasets, each with an encoder and a way
BOUND = {"encoder", "output", "method", "precision"}
"""The choices of the sidebar, which Streamlit keeps in the address."""


@dataclass(frozen=True)
class Choice:
    """What is being looked at: an encoder, one of its outputs, and the way to its scores that was asked for."""

    spec: EncoderSpec
    output: str
    way: ScoringMethod = field(default_factory=ScoringMethod)

    @property
    def encoder_output(self) -> EncoderOutput:
        """The encoder's output, not loaded."""
        return EncoderOutput(self.spec, self.output)

    @property
    def config(self) -> ResultConfig:
        """The config of its full float32 results."""
        return self.encoder_output.config()

    def way_to(self, dataset: DatasetSpec) -> ScoringMethod:
        """The way to the scores of a dataset, which may allow no other than the full one. Its precision may be open."""
        return self.way.for_dataset(dataset)


_run = threading.local()


@contextmanager
def inside_app() -> Iterator[None]:
    """What `app.py` runs a page in."""
    _run.inside = True
    try:
        yield
    finally:
        _run.inside = False


def require_app() -> None:
    """Run `app.py` around a page that Streamlit started by itself.

    Until a server process has called `st.navigation` for the first time, Streamlit takes every file in `pages/` for an
    application of its own. A deep link that is the first request of a server would miss all that `app.py` sets up.
    """
    if not getattr(_run, "inside", False):
        runpy.run_path(str(ROOT / "app.py"), run_name="__main__")
        st.stop()


@st.cache_resource(show_spinner=False)
def _opened() -> Opened:
    return Opened()


def store() -> Store:
    """The store of results."""
    return _opened().store()


def open_everything() -> None:
    """Open the store before a page needs it, and say what a person should know about it."""
    for notice in _opened().look():
        st.warning(plain(for_visitors(notice)), icon=":material/warning:")


@st.cache_resource(show_spinner=False)
def jobs() -> JobQueue:
    """The one queue of the server."""
    queue = JobQueue(visitor)
    atexit.register(_leave, queue)
    return queue


def _leave(queue: JobQueue) -> None:
    """Let the job that runs come to the end of its step before the server's process ends.

    Python ends threads where they next touch it, and one that is in the middle of torch takes the process down with
    SIGABRT. A step that is not over soon is given up with the process, as by a kill, which the store withstands.
    """
    if not queue.close(_PATIENCE):
        print("Stopped; the step under way was given up, what was finished is kept.", file=sys.stderr, flush=True)
        os._exit(1)


def visitor() -> str:
    """Who looks at the page: a name for this session that no other has."""
    return st.session_state.setdefault("visitor", secrets.token_hex(16))


@lru_cache(maxsize=4)
def encoder(name: str) -> Encoder:
    """A loaded encoder. Called by jobs only: loading takes seconds, and so does tracing it again.

    With fewer, visitors who look at three encoders beside a long job keep the worker at loading, not at scoring.
    """
    return load_encoder(name)


@dataclass
class _Listing:
    spec: DatasetSpec
    took: float  # seconds
    since: float = field(default_factory=time.monotonic)
    renewal: threading.Thread | None = None


@st.cache_resource(show_spinner=False, max_entries=8)
def _listing(name: str) -> _Listing:
    start = time.monotonic()
    return _Listing(registry.get_dataset(name), time.monotonic() - start)


def dataset(name: str) -> DatasetSpec:
    """A dataset's listing. A folder's files may change, so it is listed again after a while.

    That takes seconds for ten thousand files, so it goes on beside the page, which shows what it finds the next time.
    """
    found = _listing(name)
    # A long listing holds up the pages beside it, so it is made the more seldom.
    old = time.monotonic() - found.since > _RELIST + 20 * found.took
    if old and not (found.renewal and found.renewal.is_alive()):
        found.renewal = threading.Thread(target=_renew, args=(name, found), name="jepa-listing", daemon=True)
        found.renewal.start()
    return found.spec


def _renew(name: str, found: _Listing) -> None:
    start = time.monotonic()
    try:
        found.spec = registry.get_dataset(name)
    except JepaError:
        _listing.clear(name)  # gone: the next look says so
    found.since = time.monotonic()
    found.took = found.since - start


def relist() -> None:
    """List every dataset anew when it is next asked for."""
    _listing.clear()


@dataclass(frozen=True)
class _Standing:
    """What the store had of a dataset's scores when it had seen so many `changes`."""

    changes: int
    scored: dict[str, tuple[str, bool]]
    version: str
    stamp: tuple  # `Store.stamp`, with what else decides; empty where estimates are among them


@st.cache_resource(show_spinner=False)
def _standings() -> OrderedDict[tuple, _Standing]:
    return OrderedDict()


def _standing(choice: Choice, dataset: DatasetSpec) -> _Standing:
    """Reading and hashing all rows takes longer the more there are, so it is done again only after a change of them."""
    way, config, known = choice.way_to(dataset), choice.config, _standings()
    key = (config.key, way, dataset.name)
    changes = store().changes()  # asked first: what is written from here on makes the next look a new one
    found = known.get(key)
    if found is None or found.changes != changes:
        stamp = _stamp(choice, dataset, way)
        if found is not None and stamp and found.stamp == stamp:  # something else in the store has changed
            known[key] = replace(found, changes=changes)
            return known[key]
        scored = stored.scored(store(), choice.encoder_output, dataset.name, way)
        rank = choice.encoder_output.rank.rank
        settled = precision.resolved(store(), choice.encoder_output, dataset.name, way)
        parts = (part for name, found in scored.items() for part in (name, *found))
        version = make_key(config.key, repr(settled), dataset.name, rank, *parts)
        found = _Standing(changes, scored, version, stamp)
    known[key] = found
    known.move_to_end(key)
    while len(known) > _STANDINGS:
        known.popitem(last=False)
    return found


def _stamp(choice: Choice, dataset: DatasetSpec, way: ScoringMethod) -> tuple:
    settled = precision.resolved(store(), choice.encoder_output, dataset.name, way)
    if settled.name != "exact":
        return ()
    config = choice.encoder_output.config(settled.decided)
    return settled, choice.encoder_output.rank.rank, *store().stamp(config, dataset.name)


def scored(choice: Choice, dataset: DatasetSpec) -> dict[str, tuple[str, bool]]:
    """The images of a dataset that have a score: name -> (digest, whether it is an estimate). Not to be changed."""
    return _standing(choice, dataset).scored


def missing(choice: Choice, dataset: DatasetSpec, label: str | None = None) -> int:
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


def settled_way(choice: Choice, dataset: DatasetSpec) -> ScoringMethod:
    """The way that a dataset's stored scores were made in."""
    return precision.resolved(store(), choice.encoder_output, dataset.name, choice.way_to(dataset))


def version(choice: Choice, dataset: DatasetSpec) -> str:
    """Changes when anything that a page shows of a dataset's scores may have changed: a part of every cache's key."""
    return _standing(choice, dataset).version


# Tables are kept as they are, not as a pickle that is read for every look: nobody may change them.
@st.cache_resource(show_spinner=False, max_entries=256)
def _scores(version: str, fingerprint: str, _dataset: DatasetSpec, _choice: Choice) -> pd.DataFrame:  # noqa: ARG001
    table = stored.stored_scores(store(), _choice.encoder_output, _dataset.name, _choice.way_to(_dataset))
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
    values = table["jepa_score"].to_numpy()
    places = percentile(values, values) if len(table) else values
    return table.assign(percentile=places).sort_values("jepa_score", kind="stable")


def ranked(choice: Choice, dataset: DatasetSpec, label: str | None) -> pd.DataFrame:
    """`scores` of a class (None for all), least likely first, with the percentile of each within the class."""
    return _ranked(version(choice, dataset), dataset.fingerprint, label, dataset, choice)


def how(choice: Choice, dataset: DatasetSpec, table: pd.DataFrame) -> str:
    """How the scores of a table were made, in words."""
    way = settled_way(choice, dataset)
    words = stored.in_words(choice.encoder_output.k, way, table)
    if dataset.listed:
        words += " Its pictures are not bundled, so these are the scores that came with the explorer."
    elif way.name != choice.way.name:
        words += f" {dataset.title} is too small for a sketch, which needs {way.sketch.least} images."
    chosen = precision.recorded(store(), choice.config.space, dataset.name)
    if choice.way.precision == "auto" and chosen:
        words += f" Precision: {chosen.reason}."
    return words


def choose_encoder() -> None:
    """The encoder and its output, in the sidebar of every page and in the address."""
    specs = list_encoders()
    asked = st.query_params.get("encoder")
    with st.sidebar:
        name = st.selectbox(
            "Encoder",
            list(specs),
            key="encoder",
            bind="query-params",
            help="The network whose embedding is looked at. Scores of different encoders are not on one scale.",
        )
        spec = specs[name]
        output = st.selectbox(
            "Output",
            list(spec.outputs),
            key="output",
            bind="query-params",
            help="Which tensor is scored. The theory holds where training made the embedding Gaussian: the projector.",
        )
        st.caption(f"{spec.description} Its {output} has {spec.outputs[output]} numbers.")
        way = _choose_way()
        if spec.known_failures:
            with st.expander("Known failures", icon=":material/warning:"):
                st.markdown("\n".join(f"- {sentence}" for sentence in spec.known_failures))
    st.session_state["choice"] = Choice(spec, output, way)
    if asked is not None and asked not in specs:
        not_there("encoder", asked, name)


def not_there(key: str, asked: str, shown: str) -> None:
    """Say that an address asked for what is not here."""
    sentence = f"The address asks for {key} {asked[:60]!r}, which is not here; {shown} is shown."
    st.toast(plain(sentence), icon=":material/link_off:", duration="long")


def _choose_way() -> ScoringMethod:
    with st.expander("How scores are made", icon=":material/tune:"):
        method = st.selectbox(
            "Method",
            METHODS,
            key="method",
            bind="query-params",
            help="exact: a full score takes a product of the Jacobian for each number of the embedding. sketch: an "
            "estimate takes a twelfth of them, is calibrated on some images that are scored fully, and says how far "
            "off it may be.",
        )
        chosen = st.selectbox(
            "Precision",
            PRECISIONS,
            key="precision",
            bind="query-params",
            help="Of the products. fp32: float32. bf16: bfloat16, faster and rounder. tf32: TensorFloat-32, on CUDA. "
            "auto: bf16 for a dataset where it ranks some images like fp32 does, else fp32.",
        )
        # To ask for the device imports torch, for which the first page shall not wait.
        if chosen == "bf16" and (slow := precision.slow_in_words(chosen, default_device())):
            st.caption(f"Precision: {slow}.")
    return ScoringMethod(method, chosen)


def warm_up() -> None:
    """Load the chosen encoder in the background once the page is shown, so that the first computation need not wait."""
    name = choice().spec.name
    key = f"warm-up:{name}"
    if jobs().get(key) is None:
        jobs().submit(key, f"Loading encoder {name}", lambda _job: encoder(name) and None, urgent=True)


def choice() -> Choice:
    """The encoder and output chosen in the sidebar."""
    return st.session_state["choice"]
