"""Scores that a study lacks: how many, how long they take here, and the job that computes them once asked for."""

from collections.abc import Sequence

import streamlit as st

from jepa_core.analysis import paper_figures
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.encoders.encoder import default_device
from jepa_core.jobs import Job, State
from jepa_core.keys import make_key
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.run import ScoringRun
from jepa_core.wording import lasting
from pages._sections.studies.study import Study
from pages._shared import jobs_ui, resources, score_tables
from pages._shared.text import counted, escaped


def compute(study: Study, datasets: Sequence[DatasetSpec], label: str | None = None) -> None:
    """Have what is missing scored, once asked for. The page stops here until it is there."""
    pairs = [(encoder, dataset) for encoder in study.encoders for dataset in datasets if not dataset.listed]
    left = [(encoder, dataset, score_tables.missing_count(encoder, dataset, label)) for encoder, dataset in pairs]
    wanted = [(encoder.encoder_output, dataset) for encoder, dataset, count in left if count]
    counts = [count for _encoder, _dataset, count in left if count]
    if not wanted:
        return
    method = study.chosen.method
    key = make_key("study", repr(method), label or "", *(f"{subject} {dataset.name}" for subject, dataset in wanted))
    job = resources.jobs().get(key)
    if job is not None and job.state is State.DONE:  # what it left cannot be read
        st.caption(f"{counted(sum(counts), 'image')} could not be scored.")
        return
    if job is not None and job.state is State.FAILED:
        st.error(escaped(job.message), icon=":material/error:")
    if job is None or not job.active:
        if not _asked_for(wanted, counts):
            st.stop()

        def work(job: Job) -> None:
            for subject, dataset in wanted:
                output = EncoderOutput.of(resources.encoder(subject.spec.name), subject.name)
                ScoringRun.of_dataset(
                    resources.store(), output, dataset, method, label, job.report, job.cancelled
                ).score()
                if job.cancelled():
                    return

        job = resources.jobs().submit(key, "Scoring for the study", work)
    jobs_ui.show_progress(job)
    st.stop()


def _asked_for(wanted: Sequence[tuple[EncoderOutput, DatasetSpec]], counts: Sequence[int]) -> bool:
    """Say what is missing; whether the button that has it scored was pressed."""
    for (subject, dataset), count in zip(wanted, counts, strict=True):
        st.markdown(f"- {escaped(str(subject))}: {counted(count, 'image')} of {escaped(dataset.title)} have no score.")
    ask, go = st.columns(2)
    with ask:
        words = _forecast([subject for subject, _dataset in wanted], counts)
    if words:
        st.markdown(f"That takes about **{words}** here. *Balanced* (in the sidebar) takes far less for large sets.")
    return go.button(f"Score {counted(sum(counts), 'image')}", icon=":material/play_arrow:", type="primary")


def _forecast(outputs: Sequence[EncoderOutput], counts: Sequence[int]) -> str:
    """About how long it takes, once asked for: the machine is measured for it."""
    key = make_key("study-forecast", *(f"{subject} {count}" for subject, count in zip(outputs, counts, strict=True)))
    job = resources.jobs().get(key)
    if job is None and st.button("How long will it take here?", icon=":material/timer:"):

        def work(_job: Job) -> float:
            return paper_figures.seconds_to_score(outputs, counts, default_device())

        job = resources.jobs().submit(key, "Measuring this machine", work, urgent=True)
    if job is not None and job.active:
        jobs_ui.show_progress(job)
    return lasting(job.result) if job is not None and isinstance(job.result, float) else ""
