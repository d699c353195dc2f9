"""Jobs on a page: their progress with a button to cancel them, and their results."""

import time
from collections.abc import Callable

import streamlit as st

from jepa_core.jobs import Job, State
from pages._shared import resources
from pages._shared.errors import fragment
from pages._shared.text import counted, escaped
from pages._shared.turns import poll_interval

_BETWEEN_RUNS = 2.0  # seconds at least, of a page that shows what has arrived so far


def job_result(key: str, title: str, work: Callable[[Job], object], unit: str = "image") -> object:
    """The result of an urgent job, started if need be. The page stops here until it is there."""
    job = finished_job(key, title, work, unit)
    if job is None:
        st.stop()
    return job.result


def finished_job(key: str, title: str, work: Callable[[Job], object], unit: str = "image", ask: str = "") -> Job | None:
    """An urgent job that is done, started if need be; None, with its progress, while the page goes on without it.

    With `ask`, words on a button, it is started only once a person has asked for it.
    """
    job = resources.jobs().get(key)
    stopped = job is not None and job.state is State.CANCELLED and job.result is None
    offer = "Compute it after all" if stopped else ask if job is None else ""
    if offer and not st.button(offer, icon=":material/play_arrow:", key=f"start:{key}"):
        return None
    if job is None or stopped:
        job = resources.jobs().submit(key, title, work, urgent=True, unit=unit)
    if job.active:
        show_progress(job)
        return None
    if job.state is State.FAILED:
        st.error(escaped(job.message), icon=":material/error:")
        return None
    return job


def show_progress(job: Job, arrived: Callable[[], int] = lambda: 0, *, narrow: bool = False) -> None:
    """Progress of a job with a cancel button; the page reruns when something new has arrived, and at the end.

    In a narrow place the button stands below the bar.
    """
    before = arrived()
    next_run = time.monotonic() + poll_interval(_BETWEEN_RUNS)
    if narrow:
        bar, button = st.container(), st.container()
    else:
        bar, button = st.columns([6, 1], vertical_alignment="center")
    # Not in the fragment: a click on a fragment's button just after one on the link to another page has Streamlit run
    # what is no longer there, and its front end then drops the page that it has only just drawn.
    if job.concerns(resources.visitor()):
        stopping = job.cancelled()
        button.button(
            "Stopping" if stopping else "Cancel",
            key=f"cancel:{job.key}",
            width="stretch",
            disabled=stopping,
            on_click=job.cancel,
        )

    @fragment(run_every=poll_interval(0.7))
    def poll() -> None:
        if not job.active or (time.monotonic() > next_run and arrived() > before):
            st.rerun()
        st.progress(min(job.done / job.total, 1.0) if job.total else 0.0, escaped(progress_in_words(job)))

    with bar:
        poll()


def progress_in_words(job: Job) -> str:
    """How far a job is."""
    if job.state is State.QUEUED:
        return f"{job.title}: waiting for another computation"
    if not job.total:
        return f"{job.title} …"
    left = job.seconds_left
    remaining = "" if left is None else f", about {left:.0f} s left"
    return f"{job.title}: {job.done} of {counted(job.total, job.unit)}{remaining}"
