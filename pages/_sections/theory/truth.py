"""Theory's experiment on densities that are known: does the score follow them?"""

import streamlit as st

from jepa_core import theory
from jepa_core.figures import theory_truth
from jepa_core.theory import experiment as theory_experiment
from jepa_core.theory import truth
from pages._sections.theory import experiment_parts
from pages._shared import url_state
from pages._shared.text import escaped


def show() -> None:
    cells = experiment_parts.full_result(theory.TRUTH)
    counts = [count for count in truth.SAMPLES if truth.curves(cells, count)]
    shown = {str(count): f"{count:,} training samples" for count in counts}
    samples = int(
        url_state.choose_one("Full result", shown, str(counts[-1] if 10_000 not in counts else 10_000), "samples")
    )
    rows = truth.curves(cells, samples)
    experiment_parts.chart(
        theory_truth.correlation_figure(rows), "truth-table", theory_truth.correlation_in_words(rows)
    )
    st.caption(
        "Means over the seeds; bars from the least to the most. Each seed has a mixture of its own: three components, "
        "4 apart on average, standard deviations between 1/2 and 1, fixed before any training."
    )
    experiment_parts.made_by(theory.TRUTH, cells)
    st.header("Run it here")
    experiment_parts.run_here(theory.TRUTH, _choose_settings(), _draw_scores)


def _choose_settings() -> truth.Settings:
    left, middle, right = st.columns(3)
    dim = left.select_slider("Dimension D", truth.DIMS[:5], value=2, key="dim", bind="query-params")
    samples = middle.select_slider("Training samples", truth.SAMPLES, value=10_000, key="seen", bind="query-params")
    spread = right.slider("Distance of the components", 1.0, 8.0, 4.0, 0.5, key="spread", bind="query-params")
    left, middle, right = st.columns(3)
    noise = left.select_slider("Noise of a view", (0.01, 0.03, 0.1, 0.3), value=0.03, key="noise", bind="query-params")
    with middle:
        kind = url_state.choose_one("Output", truth.KINDS, "equal", "kind")
    seed = int(right.number_input("Seed of the mixture", 0, 99, 0, key="mixture", bind="query-params"))
    return truth.Settings(dim=dim, samples=samples, kind=kind, seeds=(seed,), spread=spread, noise=noise, steps=1000)


def _draw_scores(result: theory_experiment.Result) -> None:
    mean = result["mean"]
    words = ", ".join(f"{title} {mean[name]:.2f}" for name, title in truth.SCORES.items())
    st.caption(
        "Each point is a fresh sample: its true log-density to the right, its score upwards, so a good score makes a "
        "rising line."
    )
    scatter = theory_truth.scatter_figure(result["points"], mean)
    if "sheet" in result:
        left, right = st.columns([3, 2])
        with left:
            experiment_parts.chart(scatter, "truth-scatter", words)
        with right:
            sheet = theory_truth.density_figure(result["sheet"])
            experiment_parts.chart(sheet, "truth-sheet", "The true and the learned density")
    else:
        experiment_parts.chart(scatter, "truth-scatter", words)
    folded = result["seeds"][0].get("folded")
    tail = "" if folded is None else f" Points where the encoder is folded over: {100 * folded:.1f} %."
    st.caption(escaped(f"Pearson with the true log-density: {words}.{tail}"))
