"""Widgets that more than one page uses: choosing a dataset, and the progress of a job."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from jepa_core import datasets
from jepa_core.datasets import DatasetSpec
from jepa_core.errors import JepaError
from jepa_core.jobs import Job, State
from jepa_core.reference import percentile
from jepa_core.scoring import RunSummary, score_items
from pages._shared import state
from pages._shared.state import Choice

_FOLDER = "folder on this computer"
# More than this is not started without being asked for.
_ASK_ABOVE = 1000
_ALL = "all classes"


def header(title: str, text: str, explanation: str) -> None:
    """The page's title, one sentence, and a longer explanation one click away."""
    state.require_app()
    left, right = st.columns([5, 1], vertical_alignment="bottom")
    left.title(title)
    left.markdown(text)
    with right.popover("What is this?", icon=":material/help:", width="stretch"):
        st.markdown(explanation)


def choose_dataset(default: str, title: str = "Dataset", key: str = "dataset") -> DatasetSpec | None:
    """A bundled dataset or a folder; None while no folder is given, or (with a sentence) when it cannot be used."""
    # Options are the names that the terminal takes too: a bound widget writes what it shows into the address.
    options = [*datasets.list_datasets(), _FOLDER]
    name = st.selectbox(
        title, options, index=options.index(default) if default in options else 0, key=key, bind="query-params"
    )
    if name == _FOLDER:
        name = st.text_input(
            "Folder of images",
            key="folder",
            bind="query-params",
            placeholder="/path/to/images",
            help="Sub-folders are classes.",
        ).strip()
        if not name:
            st.info("Give the path of a folder of images; its sub-folders are the classes.", icon=":material/folder:")
            return None
    try:
        return state.dataset(name)
    except JepaError as error:
        st.error(str(error), icon=":material/error:")
        return None


def address_of(dataset: DatasetSpec) -> dict[str, str]:
    """The part of an address that makes `choose_dataset` open this dataset."""
    if dataset.name.startswith(datasets.FOLDER_PREFIX):
        return {"dataset": _FOLDER, "folder": dataset.name.removeprefix(datasets.FOLDER_PREFIX)}
    return {"dataset": dataset.name}


def choose_class(dataset: DatasetSpec) -> str | None:
    """A class of the dataset, or None for all."""
    labels = dataset.labels()
    if len(labels) == 1:
        return None
    chosen = st.selectbox("Class", [_ALL, *labels], key="class", bind="query-params")
    return None if chosen == _ALL else chosen


@dataclass(frozen=True)
class Shown:
    """What a page looks at: a dataset, a class of it (None for all), and the score tables of both, never empty."""

    dataset: DatasetSpec
    label: str | None
    everything: pd.DataFrame
    table: pd.DataFrame  # of the class, least likely first, with percentiles within the class


def choose_scored(choice: Choice) -> Shown:
    """Choose a dataset and a class, and have them scored. The page stops here while there is nothing to show."""
    left, right = st.columns(2)
    with left:
        dataset = choose_dataset(choice.spec.reference)
    if dataset is None:
        st.stop()
    with right:
        label = choose_class(dataset)
    keep_scored(choice, dataset)
    everything = state.scores(choice, dataset.name)
    table = everything if label is None else everything[everything["label"] == label]
    if table.empty:
        st.info("No scores yet. They appear here as they arrive.", icon=":material/hourglass_empty:")
        st.stop()
    scores = table["jepa_score"].to_numpy()
    table = table.assign(percentile=percentile(scores, scores)).sort_values("jepa_score", kind="stable")
    return Shown(dataset, label, everything, table)


def keep_scored(choice: Choice, dataset: DatasetSpec) -> None:
    """See to it that a dataset's missing scores are computed: start the job, show its progress, let it be cancelled."""
    key = f"score:{choice.config.key}:{dataset.name}"
    scored = state.store().scored_names(choice.config, dataset.name)
    missing = sum(item.name not in scored for item in dataset.items())
    job = state.jobs().get(key)
    if job and job.active:
        watch(job, lambda: state.store().count(choice.config, dataset.name))
        return
    if job and isinstance(job.result, RunSummary) and job.result.failed:
        with st.expander(
            f"{len(job.result.failed)} of {len(dataset)} images could not be scored", icon=":material/warning:"
        ):
            for _name, sentence in job.result.failed[:50]:
                st.write(sentence)
    if job and job.state is State.FAILED:
        st.error(job.message, icon=":material/error:")
    if not missing or (job and job.state is State.DONE):
        return

    def work(job: Job) -> RunSummary:
        return score_items(
            state.store(),
            state.encoder(choice.spec.name),
            dataset.name,
            list(dataset.items()),
            choice.output,
            progress=job.report,
            cancelled=job.cancelled,
        )

    stopped = job is not None
    if (stopped or missing > _ASK_ABOVE) and not st.button(
        f"Score the {missing} missing images", icon=":material/play_arrow:"
    ):
        return
    watch(
        state.jobs().submit(key, f"Scoring {dataset.title}", work),
        lambda: state.store().count(choice.config, dataset.name),
    )


def watch(job: Job, arrived: Callable[[], int] = lambda: 0) -> None:
    """Progress of a job with a cancel button; the page reruns when something new has arrived, and at the end."""
    before = arrived()

    @st.fragment(run_every=0.7)
    def poll() -> None:
        if not job.active:
            st.rerun()
        left = job.seconds_left
        remaining = "" if left is None else f", about {left:.0f} s left"
        bar, button = st.columns([6, 1], vertical_alignment="center")
        bar.progress(
            job.done / job.total if job.total else 0.0,
            f"{job.title}: {job.done} of {job.total} images{remaining}" if job.total else f"{job.title} …",
        )
        if button.button("Cancel", key=f"cancel:{job.key}", width="stretch"):
            job.cancel()
        if arrived() > before:
            st.rerun()

    poll()
