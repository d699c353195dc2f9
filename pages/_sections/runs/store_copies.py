"""Copying the store into one file, and importing such a copy."""

from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

import streamlit as st

from jepa_core.files import expanded
from jepa_core.jobs import Job, State
from jepa_core.store import maintenance, merge
from jepa_core.store.merge import Merged
from jepa_core.wording import in_bytes
from pages._shared import resources
from pages._shared.text import escaped

EXPORT, IMPORT = "upkeep:export", "upkeep:import"


def offer_export() -> None:
    st.markdown("One file with everything that is kept, as it is at this moment.")
    path = st.text_input("Write it to", key="export-to", placeholder="/path/to/copy.sqlite").strip()
    target = expanded(path) if path else maintenance.export_path()
    if st.button("Write the copy" if path else "Prepare a download", icon=":material/save:"):
        resources.jobs().submit(EXPORT, "Copying the store", partial(_export, target), urgent=True)
        st.rerun()
    job = resources.jobs().get(EXPORT)
    if job is None or job.active or not isinstance(job.result, Path):
        return
    if job.result != maintenance.export_path():
        st.success(escaped(f"The copy is {job.result}."), icon=":material/check:")
    elif job.result.exists():
        st.download_button(
            f"Download {in_bytes(job.result.stat().st_size)}",
            job.result.read_bytes,
            file_name=f"jepa-score-store-{date.today():%Y-%m-%d}.sqlite",
            mime="application/vnd.sqlite3",
            icon=":material/download:",
        )


def _export(target: Path, job: Job) -> Path | None:
    return target if maintenance.export(resources.store(), target, job.cancelled) else None


def offer_import() -> None:
    st.markdown(
        "A store that was copied elsewhere. What is here already stays as it is. The file is checked row by row, but "
        "nobody can see whether its numbers were honestly computed: import only what you trust."
    )
    given = st.file_uploader("A copy of a store", type=["sqlite"], key="import-file")
    path = st.text_input("Or its path, if it is large", key="import-from", placeholder="/path/to/copy.sqlite").strip()
    if st.button("Import", icon=":material/upload:", disabled=not (given or path)):
        work = _importing(given.getvalue() if given else None, path)
        resources.jobs().submit(IMPORT, "Importing a store", work, unit="row")
        st.rerun()
    job = resources.jobs().get(IMPORT)
    if job is not None and not job.active and isinstance(job.result, Merged):
        st.success(escaped(job.result.in_words()), icon=":material/check:")
    elif job is not None and job.state is State.FAILED:
        st.error(escaped(job.message), icon=":material/error:")


def _importing(data: bytes | None, path: str) -> Callable[[Job], Merged]:
    def work(job: Job) -> Merged:
        if data is not None:
            return merge.merge_bytes(resources.store(), data, job.report, job.cancelled)
        return merge.merge(resources.store(), expanded(path), job.report, job.cancelled)

    return work
