"""What all sessions of a server share: the store, the job queue, loaded encoders, and listings of datasets."""

import atexit
import gc
import os
import secrets
import sys
import threading
import time
from dataclasses import dataclass, field
from functools import lru_cache

import streamlit as st

from jepa_core.datasets import registry
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.encoders.encoder import Encoder
from jepa_core.encoders.registry import load_encoder
from jepa_core.errors import JepaError
from jepa_core.jobs import Job, JobQueue
from jepa_core.redaction import for_visitors
from jepa_core.store.results import Store
from pages._shared.open_store import SharedStore
from pages._shared.text import escaped

_PATIENCE = 10.0  # seconds that a server that is to end waits for the step of a job that is under way
_RELIST = 5.0  # seconds after which a listing is no longer taken for new


@st.cache_resource(show_spinner=False)
def _shared_store() -> SharedStore:
    return SharedStore()


def store() -> Store:
    """The store of results."""
    return _shared_store().store()


def show_store_notices() -> None:
    """Open the store before a page needs it, and say what a person should know about it."""
    for notice in _shared_store().notices():
        st.warning(escaped(for_visitors(notice)), icon=":material/warning:")


@st.cache_resource(show_spinner=False)
def jobs() -> JobQueue:
    """The one queue of the server for what computes."""
    queue = JobQueue(visitor)
    atexit.register(_close_queue, queue)
    return queue


@st.cache_resource(show_spinner=False)
def downloads() -> JobQueue:
    """The queue of downloads of datasets: an hour of one need not hold up the scores of another set."""
    queue = JobQueue(visitor)
    atexit.register(_close_queue, queue)
    return queue


def all_jobs() -> list[Job]:
    """The jobs of both queues."""
    return [*jobs().all(), *downloads().all()]


def retry(job: Job) -> None:
    """Queue a job that failed or was stopped once more, where it was."""
    (downloads() if downloads().get(job.key) is job else jobs()).retry(job)


def _close_queue(queue: JobQueue) -> None:
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


def load_for_good(name: str) -> None:
    """Load an encoder, and leave what its libraries brought out of the search for garbage.

    Streamlit looks through all objects after each run of a page. Half a million are those of torch, pandas and SciPy,
    which live as long as the process, and to look through them takes longer than most pages do.
    """
    encoder(name)
    gc.collect()
    gc.freeze()


@dataclass
class _Listing:
    spec: DatasetSpec
    took: float  # seconds
    since: float = field(default_factory=time.monotonic)
    renewal: threading.Thread | None = None


@st.cache_resource(show_spinner=False)
def _opened() -> dict[str, DatasetSpec]:
    return {}


def opened() -> dict[str, DatasetSpec]:
    """By their names, the datasets that were opened since the server started, of all sessions."""
    return dict(_opened())


@st.cache_resource(show_spinner=False, max_entries=32)
def _listing(name: str) -> _Listing:
    start = time.monotonic()
    spec = registry.get_dataset(name)
    _opened()[spec.name] = spec
    return _Listing(spec, time.monotonic() - start)


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
        _opened()[found.spec.name] = found.spec
    except JepaError:
        _listing.clear(name)  # gone: the next look says so
        _opened().pop(found.spec.name, None)
    found.since = time.monotonic()
    found.took = found.since - start


def forget_listings() -> None:
    """List every dataset anew when it is next asked for."""
    _listing.clear()
