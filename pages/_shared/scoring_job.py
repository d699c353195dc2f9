"""Scoring what a page shows: the job that does it is started, watched and told of."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from jepa_core.config import hosted
from jepa_core.datasets import catalog, listings
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.encoders.encoder import choose_device
from jepa_core.jobs import Job, State
from jepa_core.keys import make_key
from jepa_core.scoring import extremes, forecast
from jepa_core.scoring.allocator import Prices
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.extremes import open_extremes
from jepa_core.scoring.run import RunSummary, ScoringRun
from pages._shared import dataset_picker, jobs_ui, resources, score_tables
from pages._shared.choice import Choice
from pages._shared.text import counted, escaped

# More than this is not started without being asked for.
_ASK_ABOVE = 1000
_AT_ONCE = "score-at-once"


@dataclass(frozen=True, eq=False)
class ScoredDataset:
    """What a page looks at: a dataset, a class of it (None for all), and the score tables of both, never empty."""

    dataset: DatasetSpec
    label: str | None
    scores: pd.DataFrame  # of the dataset
    ranked: pd.DataFrame  # of the class, least likely first, with percentiles within the class
    running: bool  # whether more scores are on their way


def choose_scored_dataset(choice: Choice) -> ScoredDataset:
    """Choose a dataset and a class, and have them scored. The page stops here while there is nothing to show."""
    left, right = st.columns(2)
    with left:
        dataset = dataset_picker.choose_dataset(choice.spec.reference)
    if dataset is None:
        st.stop()
    with right:
        label = dataset_picker.choose_class(dataset)
    running = ensure_scored(choice, dataset)
    ranked = score_tables.ranked(choice, dataset, label)
    if ranked.empty:
        st.info("No scores yet. They appear here as they arrive.", icon=":material/hourglass_empty:")
        st.stop()
    return ScoredDataset(dataset, label, score_tables.scores(choice, dataset), ranked, running)


def ensure_scored(choice: Choice, dataset: DatasetSpec) -> bool:
    """See to it that a dataset's missing scores are computed: start the job, show its progress, let it be cancelled.

    Returns whether it is running.
    """
    # A folder that has changed is another job, so that what was done or failed before does not stand for it.
    if dataset.listed:
        _show_not_bundled(choice, dataset)
        return False
    key = make_key("score", choice.config.key, repr(choice.method_for(dataset)), dataset.name, dataset.fingerprint)
    job = resources.jobs().get(key)
    if job is None or not job.active:
        if job:
            _show_failures(job, dataset)
        job = _start_scoring(key, job, choice, dataset)
    if job:
        jobs_ui.show_progress(job, lambda: len(score_tables.scored(choice, dataset)))
    return job is not None


def _show_not_bundled(choice: Choice, dataset: DatasetSpec) -> None:
    """Nobody can score pictures that are not here."""
    words = f"The pictures of {dataset.title} are not a part of the explorer: a set of numbers to compare with"
    if score_tables.scored(choice, dataset):
        words += ", whose scores came with it."
    else:
        words += f"; encoder {choice.spec.name}, output {choice.output}, has no scores of them: choose another set."
    st.info(escaped(words), icon=":material/visibility_off:")
    listing = listings.LISTINGS.get(dataset.name)
    if listing and listing.public and not hosted():
        entry, split = catalog.find(listing.public[0])
        same = "Download its pictures" if listing.by_pixels else "Download the whole photos"
        size = f" ({catalog.megabytes(split.size)})" if split.size else ""
        st.page_link(
            "pages/data.py",
            label=f"{same}{size}",
            icon=":material/download:",
            query_params={"find": entry.title},
        )


def _show_failures(job: Job, dataset: DatasetSpec) -> None:
    if isinstance(job.result, RunSummary) and job.result.failed:
        failed = job.result.failed
        label = f"{len(failed)} of {counted(len(dataset), 'image')} could not be scored"
        with st.expander(label, icon=":material/warning:"):
            for _name, sentence in failed[:50]:
                st.write(escaped(sentence))
            if len(failed) > 50:
                st.write(f"And {len(failed) - 50} more.")
    if job.state is State.FAILED:
        st.error(escaped(job.message), icon=":material/error:")


def _start_scoring(key: str, before: Job | None, choice: Choice, dataset: DatasetSpec) -> Job | None:
    """Start the scoring job if there is something to score and nobody has stopped it or needs to be asked."""
    missing = score_tables.missing_count(choice, dataset)
    unseen = before is None and bool(dataset.fingerprint)  # a folder's files may have been written anew
    reached = score_tables.goal_reached(choice, dataset)
    if (before and before.state is State.DONE) or (reached and not (missing or unseen)):
        return None
    words = f"Score {counted(missing, 'missing image')}" if missing or reached else "Sharpen the estimates"
    asked_for = st.session_state.pop(_AT_ONCE, None) == dataset.name and missing
    if not asked_for and (before or missing > _ASK_ABOVE or not (missing or reached)):
        start, ask = st.columns([1, 2])
        if not start.button(words, icon=":material/play_arrow:", key=f"start:{key}"):
            with ask:
                _show_forecast(choice, len(dataset))
            return None

    def work(job: Job) -> RunSummary:
        output = EncoderOutput.of(resources.encoder(choice.spec.name), choice.output)
        run = ScoringRun.of_dataset(
            resources.store(), output, dataset, choice.method, progress=job.report, cancelled=job.cancelled
        )
        return run.score()

    return resources.jobs().submit(key, f"Scoring {dataset.title} with {choice.spec.name}", work)


def _show_forecast(choice: Choice, images: int) -> None:
    """What each method would take for so many images, once it is asked for: the machine is measured for it."""

    def measure(_job: Job) -> Prices:
        return forecast.prices_of(choice.spec, choice.output, choose_device(None))

    key = make_key("forecast", choice.spec.name, choice.output)
    job = jobs_ui.finished_job(
        key, "Measuring how long scores take here", measure, ask="How long does each method take?"
    )
    if job and isinstance(job.result, Prices):
        st.caption(f"{forecast.in_words(job.result, images)} Choose in the sidebar, under *How scores are made*.")


def score_at_once(name: str) -> None:
    """Have the page that shows a dataset next score it without asking, since a person has asked for it already."""
    st.session_state[_AT_ONCE] = name


def verify_extremes(choice: Choice, shown: ScoredDataset, count: int) -> None:
    """Have every estimate scored fully that may belong to the `count` least or most likely images."""
    names = open_extremes(shown.ranked, count)
    if not names:
        return
    st.caption(f"The order at the ends is preliminary: {counted(len(names), 'estimate')} may still belong there.")
    if shown.running:
        return
    dataset, method = shown.dataset, score_tables.resolved_method(choice, shown.dataset)
    key = make_key("ends", choice.config.key, repr(method), dataset.name, dataset.fingerprint, shown.label or "", count)

    def work(job: Job) -> set[str]:
        output = EncoderOutput.of(resources.encoder(choice.spec.name), choice.output)
        run = ScoringRun.of_dataset(
            resources.store(), output, dataset, method, progress=job.report, cancelled=job.cancelled
        )
        return extremes.verify_extremes(run, count, shown.label)

    job = resources.jobs().get(key)
    # What a finished job left open could not be scored; anything else is new.
    due = job is None or (job.state is State.DONE and job.result != set(names))
    stopped = job is not None and job.state is State.CANCELLED
    if due or (stopped and st.button("Score them fully", icon=":material/play_arrow:")):
        job = resources.jobs().submit(key, "Scoring fully what may belong to the ends", work)
    if job and job.active:
        jobs_ui.show_progress(job)
    elif job and job.state is State.FAILED:
        st.error(escaped(job.message), icon=":material/error:")
