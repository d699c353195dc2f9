"""Runs: what is being computed and was computed, and what the store of results holds."""

from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path

import pandas as pd
import streamlit as st

from jepa_core.analysis.paper_figures import lasting
from jepa_core.config import hosted
from jepa_core.encoders.registry import list_encoders
from jepa_core.files import expanded
from jepa_core.jobs import Job, State
from jepa_core.scoring.run import RunSummary
from jepa_core.store import maintenance, merge
from jepa_core.store.maintenance import Holding
from jepa_core.store.merge import Merged
from jepa_core.store.records import ResultConfig
from pages._shared import state, widgets
from pages._shared.errors import fragment, polling
from pages._shared.text import counted, plain

ICONS = {
    State.RUNNING: ":material/progress_activity:",
    State.QUEUED: ":material/schedule:",
    State.DONE: ":material/check_circle:",
    State.FAILED: ":material/error:",
    State.CANCELLED: ":material/cancel:",
}
EXPORT, IMPORT = "upkeep:export", "upkeep:import"

widgets.header(
    "Runs",
    "What is being computed, and what is kept?",
    """**What runs.** Pages never compute by themselves: they put a piece of work into one queue, and one worker takes
one piece after another, since two at once would only slow each other down. A piece that a person waits for goes between
the steps of a long one. Whatever a run has finished is kept when it is stopped.

**What is kept.** A score is never computed twice: its spectrum, its embedding and the picture that was shown are kept
in one SQLite file, the *store*. Deleting a part of it loses nothing for good, but it has to be computed again.

**A copy** of the store is one file. Imported on another computer, it adds what that one lacks.""",
    picture="runs",
)


def of(config: ResultConfig) -> str:
    """The name of the encoder that a config is of."""
    known = (
        spec.name
        for spec in list_encoders().values()
        if (spec.weights_digest, spec.transform) == (config.weights, config.transform)
    )
    return next(known, f"not here ({config.weights[:8]})")


def in_bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"


# --- jobs -------------------------------------------------------------------------------------------------------------


def show_jobs() -> None:
    """The jobs of this visitor, and that others wait or run; what is active is looked at each second."""
    everything = state.jobs().all()
    active = {job.key for job in everything if job.active}
    mine = [job for job in everything if job.concerns(state.visitor())]
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
        st.caption(plain(sentence))


def _show_active(job: Job, active: set[str], own: bool) -> None:
    """One that runs or waits; the page runs again when others are active than when it was drawn."""

    @fragment(run_every=polling(1.0))
    def draw() -> None:
        if active != {other.key for other in state.jobs().all() if other.active}:
            st.rerun()  # what the store holds may be other now, too
        if own:
            share = min(job.done / job.total, 1.0) if job.total else 0.0
            st.progress(share, f"{ICONS[job.state]} {plain(widgets.progress_words(job))}")
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
        right.button(  # not in the fragment, as in `widgets.watch`
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
        left.markdown(f"{ICONS[job.state]} **{plain(job.title)}**, {job.state}")
        left.caption(plain(why))
        right.button(
            "Retry",
            key=f"retry:{job.key}",
            icon=":material/replay:",
            width="stretch",
            on_click=state.jobs().retry,
            args=(job,),
        )


# --- the store --------------------------------------------------------------------------------------------------------


@st.cache_data(show_spinner=False, max_entries=4)
def _held(version: str) -> tuple[list[Holding], maintenance.Crops]:  # noqa: ARG001
    return maintenance.holdings(state.store()), maintenance.crops(state.store())


def show_store() -> None:
    """What is kept, by encoder, output, method and precision."""
    st.header("The store")
    held, crops = _held(maintenance.version(state.store()))
    size = in_bytes(maintenance.size_on_disk(state.store()))
    where = "" if hosted() else f" ({state.store().path})"
    st.markdown(
        plain(
            f"The store has {size} on disk{where}: {counted(sum(one.results for one in held), 'full score')}, "
            f"{counted(sum(one.estimates for one in held), 'estimate')}, and {counted(crops.count, 'picture')} "
            f"({in_bytes(crops.bytes)}) that pages have shown."
        )
    )
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    chosen = st.dataframe(
        pd.DataFrame(
            [
                {
                    "encoder": of(one.config),
                    "output": one.config.output,
                    "method": one.config.method.partition(":")[0],
                    "precision": one.config.precision,
                    "results": one.results,
                    "estimates": one.estimates,
                    "embeddings": one.embeddings,
                    "size": one.bytes / 1e6,
                }
                for one in held
            ]
        ),
        hide_index=True,
        height="content",
        key="held",
        **({} if hosted() else {"on_select": "rerun", "selection_mode": "multi-row"}),
        column_config={
            "encoder": text("Encoder", pinned=True),
            "output": text("Output"),
            "method": text("Method"),
            "precision": text("Precision"),
            "results": number("Full scores"),
            "estimates": number("Estimates"),
            "embeddings": number("Embeddings", help="Of this encoder and output, however they were scored"),
            "size": number("About MB", format="%.1f", help="What deleting this row would free"),
        },
    )
    if hosted():
        st.info("Deleting, copying and importing are for the owner of this server alone.", icon=":material/lock:")
        return
    rows = [held[row] for row in chosen["selection"]["rows"] if row < len(held)]
    _offer_delete(held, rows, crops)
    left, right = st.columns(2)
    with left, st.expander("Copy the store", icon=":material/download:"):
        _offer_export()
    with right, st.expander("Import a store", icon=":material/upload:"):
        _offer_import()


def _offer_delete(held: Sequence[Holding], rows: Sequence[Holding], crops: maintenance.Crops) -> None:
    with st.container(horizontal=True):
        asked = st.button(
            f"Delete {counted(len(rows), 'row')} …" if rows else "Delete …",
            icon=":material/delete:",
            disabled=not rows,
            help=None if rows else "Choose rows of the table first.",
        )
        asked_crops = st.button("Delete the pictures …", icon=":material/hide_image:", disabled=not crops.count)
    if asked:
        st.session_state["deleting"] = [one.config.key for one in rows]
    elif asked_crops:
        st.session_state["deleting"] = []
    deleting = st.session_state.get("deleting")
    if deleting is None:
        return
    going = [one for one in held if one.config.key in deleting]
    with st.container(border=True):
        confirmed = _confirm(going, crops)
    if confirmed is None:
        return
    del st.session_state["deleting"]
    if confirmed:
        work = partial(_delete, [one.config for one in going])
        state.jobs().submit("upkeep:delete", "Deleting from the store", work, urgent=True)
    st.rerun()


def _confirm(going: Sequence[Holding], crops: maintenance.Crops) -> bool | None:
    """What would be lost, said before it is (the pictures, if no holding is); None before a button was pressed."""
    if not going:
        st.markdown(
            f"**Delete {counted(crops.count, 'picture')}?** Each is made again from its image when a page next shows "
            "it, if the image is still where it was."
        )
    for one in going:
        both = ((one.results, "full score"), (one.estimates, "estimate"))
        count = " and ".join(counted(number, noun) for number, noun in both if number)
        words = (
            f"{count} of encoder {of(one.config)}, output {one.config.output} ({one.config.precision}): computing "
            f"them took {lasting(one.seconds)}."
        )
        if maintenance.shipped_file(one.config):
            words += " Those that came with the explorer come back by themselves at its next start."
        st.markdown(f"**Delete?** {plain(words)} What is missing is computed again when a page needs it.")
    with st.container(horizontal=True):
        if st.button("Delete", icon=":material/delete:", type="primary", key="delete-really"):
            return True
        return False if st.button("Keep", key="delete-keep") else None


def _delete(configs: Sequence[ResultConfig], _job: Job) -> int:
    if not configs:
        return maintenance.delete_crops(state.store())
    return sum(maintenance.delete(state.store(), config) for config in configs)


def _offer_export() -> None:
    st.markdown("One file with everything that is kept, as it is at this moment.")
    path = st.text_input("Write it to", key="export-to", placeholder="/path/to/copy.sqlite").strip()
    target = expanded(path) if path else maintenance.export_path()
    if st.button("Write the copy" if path else "Prepare a download", icon=":material/save:"):
        state.jobs().submit(EXPORT, "Copying the store", partial(_export, target), urgent=True)
        st.rerun()
    job = state.jobs().get(EXPORT)
    if job is None or job.active or not isinstance(job.result, Path):
        return
    if job.result != maintenance.export_path():
        st.success(plain(f"The copy is {job.result}."), icon=":material/check:")
    elif job.result.exists():
        st.download_button(
            f"Download {in_bytes(job.result.stat().st_size)}",
            job.result.read_bytes,
            file_name=f"jepa-score-store-{date.today():%Y-%m-%d}.sqlite",
            mime="application/vnd.sqlite3",
            icon=":material/download:",
        )


def _export(target: Path, job: Job) -> Path | None:
    return target if maintenance.export(state.store(), target, job.cancelled) else None


def _offer_import() -> None:
    st.markdown(
        "A store that was copied elsewhere. What is here already stays as it is. The file is checked row by row, but "
        "nobody can see whether its numbers were honestly computed: import only what you trust."
    )
    given = st.file_uploader("A copy of a store", type=["sqlite"], key="import-file")
    path = st.text_input("Or its path, if it is large", key="import-from", placeholder="/path/to/copy.sqlite").strip()
    if st.button("Import", icon=":material/upload:", disabled=not (given or path)):
        work = _importing(given.getvalue() if given else None, path)
        state.jobs().submit(IMPORT, "Importing a store", work, unit="row")
        st.rerun()
    job = state.jobs().get(IMPORT)
    if job is not None and not job.active and isinstance(job.result, Merged):
        st.success(plain(job.result.in_words()), icon=":material/check:")
    elif job is not None and job.state is State.FAILED:
        st.error(plain(job.message), icon=":material/error:")


def _importing(data: bytes | None, path: str) -> Callable[[Job], Merged]:
    def work(job: Job) -> Merged:
        if data is not None:
            return merge.merge_bytes(state.store(), data, job.report, job.cancelled)
        return merge.merge(state.store(), expanded(path), job.report, job.cancelled)

    return work


show_jobs()
show_store()
