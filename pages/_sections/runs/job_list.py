"""What is being computed, and what was computed since the server was started."""

import pandas as pd
import streamlit as st

from jepa_core.jobs import Job, State
from jepa_core.scoring.run import RunSummary
from jepa_core.wording import lasting
from pages._shared import jobs_ui, resources
from pages._shared.errors import fragment
from pages._shared.text import escaped
from pages._shared.turns import poll_interval

ICONS = {
    State.RUNNING: ":material/progress_activity:",
    State.QUEUED: ":material/schedule:",
    State.DONE: ":material/check_circle:",
    State.FAILED: ":material/error:",
    State.CANCELLED: ":material/cancel:",
}


def show() -> None:
    """The jobs of this visitor, and that others wait or run; what is active is looked at each second."""
    everything = resources.all_jobs()
    active = {job.key for job in everything if job.active}
    mine = [job for job in everything if job.concerns(resources.visitor())]
    for job in everything:
        if job.key in active:
            _show_active(job, active, own=job in mine)
    ended = [job for job in reversed(mine) if job.key not in active]
    for job in ended:
        if job.state is not State.DONE:
            _show_ended(job)
    done = [job for job in ended if job.state is State.DONE]
    if not mine:
        st.info("Nothing has been computed since this server was started.", icon=":material/done_all:")
    elif not any(job.key in active for job in mine):
        st.caption("Nothing is running or waiting.")
    if done:
        with st.expander(f"Done ({len(done)})", icon=ICONS[State.DONE]):
            st.dataframe(
                pd.DataFrame({"what": [job.title for job in done], "took": [lasting(job.seconds) for job in done]}),
                hide_index=True,
                height="content",
                column_config={"what": "What", "took": "Took"},
            )
    # What a run found that a person should know, each sentence once.
    for sentence in dict.fromkeys(
        sentence for job in done if isinstance(job.result, RunSummary) for sentence in job.result.notes
    ):
        st.caption(escaped(sentence))


def _show_active(job: Job, active: set[str], own: bool) -> None:
    """One that runs or waits; the page runs again when others are active than when it was drawn."""

    @fragment(run_every=poll_interval(1.0))
    def draw() -> None:
        if active != {other.key for other in resources.all_jobs() if other.active}:
            st.rerun()  # what the store holds may be other now, too
        if own:
            share = min(job.done / job.total, 1.0) if job.total else 0.0
            st.progress(share, f"{ICONS[job.state]} {escaped(jobs_ui.progress_in_words(job))}")
        else:
            st.caption(f"{ICONS[job.state]} Another visitor's computation is {job.state}.")

    if not own:
        draw()
        return
    with st.container(border=True):
        left, right = st.columns([6, 1], vertical_alignment="center")
        with left:
            draw()
        stopping = job.cancelled()
        right.button(  # not in the fragment, as in `jobs_ui.show_progress`
            "Stopping" if stopping else "Cancel",
            key=f"stop:{job.key}",
            width="stretch",
            disabled=stopping,
            on_click=job.cancel,
        )


def _show_ended(job: Job) -> None:
    with st.container(border=True):
        left, right = st.columns([6, 1], vertical_alignment="center")
        why = job.message or f"Stopped after {lasting(job.seconds)}; what was finished is kept."
        left.markdown(f"{ICONS[job.state]} **{escaped(job.title)}**, {job.state}")
        left.caption(escaped(why))
        right.button(
            "Retry",
            key=f"retry:{job.key}",
            icon=":material/replay:",
            width="stretch",
            on_click=resources.retry,
            args=(job,),
        )
