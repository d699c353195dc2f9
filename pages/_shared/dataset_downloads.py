"""Downloads of datasets: what a person is told before one starts, and the job that does it."""

from functools import partial

import streamlit as st

from jepa_core.config import hosted
from jepa_core.datasets import catalog, download
from jepa_core.datasets.catalog import CatalogEntry, Split
from jepa_core.jobs import Job, State
from jepa_core.keys import make_key
from pages._shared import jobs_ui, resources
from pages._shared.text import escaped


def missing(name: str) -> tuple[CatalogEntry, Split] | None:
    """The set of the catalog that a name, or a sample of it, asks for and that is not on this computer yet."""
    whole = name.partition("#")[0].partition("?")[0]
    if hosted() or not catalog.is_offered(whole) or download.is_here(whole):
        return None
    return catalog.find(whole)


def show(entry: CatalogEntry, split: Split) -> None:
    """The download of a set that is not here: its progress, or a button that says how large it is."""
    name, title = entry.named(split), catalog.title_of(entry, split)
    job = resources.downloads().get(_key(name))
    if job is not None and job.active:
        jobs_ui.show_progress(job, narrow=True)
        return
    if job is not None and job.state is State.FAILED:
        st.error(escaped(job.message), icon=":material/error:")
    size = split.size or _asked_size(name, title)
    if size is None:
        return
    stopped = job is not None and job.state is State.CANCELLED
    words = "Go on with the download" if stopped else "Download"
    words += f" ({catalog.megabytes(size)})" if size else ""
    if st.button(words, icon=":material/download:", key=f"download:{name}", help=f"{title}, into the cache folder"):
        resources.downloads().submit(_key(name), f"Downloading {title}", partial(_download, name), unit="MB")
        st.rerun()


def _asked_size(name: str, title: str) -> int | None:
    """What its server says of the size, once it was asked: 0 where it does not say, None before."""
    key = make_key("size", name)
    job = resources.jobs().get(key)
    if job is not None and job.active:
        jobs_ui.show_progress(job, narrow=True)
        return None
    if job is not None and job.state is State.DONE:
        return job.result or 0
    if job is not None and job.state is State.FAILED:
        st.error(escaped(job.message), icon=":material/error:")
    if st.button("Ask how large it is", icon=":material/help:", key=f"size:{name}"):
        job = resources.jobs().submit(key, f"Asking for {title}", lambda _job: download.ask_size(name), urgent=True)
        st.rerun()
    return None


def _key(name: str) -> str:
    return make_key("download", name)


def _download(name: str, job: Job) -> bool:
    def report(done: int, total: int) -> None:
        job.report(done // 10**6, max(1, total // 10**6))

    return download.download(name, report, job.cancelled)
