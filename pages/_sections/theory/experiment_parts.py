"""What every experiment of Theory has: its full result, the command that makes it, and a short run."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from jepa_core import theory
from jepa_core.figures.style import CONFIG
from jepa_core.jobs import Job, State
from jepa_core.theory import experiment as theory_experiment
from pages._shared import jobs_ui, layout, resources
from pages._shared.errors import fragment
from pages._shared.text import escaped
from pages._shared.turns import poll_interval


@st.cache_data(show_spinner=False, max_entries=8)
def shipped(name: str, version: int) -> list[theory_experiment.Cell]:  # noqa: ARG001
    return theory_experiment.shipped(theory.get_experiment(name))


def chart(figure: Any, key: str, alt: str) -> None:
    st.plotly_chart(figure, config=CONFIG, key=key, alt=alt)


def full_result(experiment: theory_experiment.Experiment) -> list[theory_experiment.Cell]:
    """What to look for, and the shipped cells."""
    st.markdown(experiment.look_for)
    return shipped(experiment.name, experiment.version)


def made_by(experiment: theory_experiment.Experiment, cells: Sequence[theory_experiment.Cell]) -> None:
    """The whole table, one click away, and the command."""
    with st.expander("The full table", icon=":material/table:"):
        st.dataframe(experiment.table(cells), hide_index=True)
    st.caption("Made by (it goes on where it was stopped):")
    layout.code(theory_experiment.command(experiment))


def run_here(
    experiment: theory_experiment.Experiment, settings: Any, draw: Callable[[theory_experiment.Result], None]
) -> None:
    """The result of these settings: from the cache, or computed once asked for, with a figure that fills."""
    found = theory_experiment.kept(experiment, settings)
    if found is not None:
        draw(found)
        if "seconds" in found:
            st.caption(f"Computed on this computer in {found['seconds']:.0f} s of processor time.")
        return
    key = f"theory:{experiment.name}:{experiment.version}:{settings}"
    job = resources.jobs().get(key)
    if job is not None and job.state is State.FAILED:
        st.error(escaped(job.message), icon=":material/error:")
    if job is None or not job.active:
        offer = st.empty()
        with offer.container():
            asked = st.button("Run it here", icon=":material/play_arrow:", type="primary", key=f"run:{experiment.name}")
            st.caption("Under a minute on two cores.")
        if not asked:
            return
        offer.empty()

        def work(job: Job) -> object:
            def show(step: theory_experiment.Step) -> None:
                job.partial = step.result
                job.report(step.done, step.total)

            return theory_experiment.compute(experiment, settings, show, job.cancelled)

        job = resources.jobs().submit(key, experiment.title, work, urgent=True, unit="step")
    jobs_ui.show_progress(job)

    @fragment(run_every=poll_interval(1.0))
    def partial() -> None:
        if isinstance(job.partial, dict) and job.partial:
            draw(job.partial)

    partial()
