"""Theory: the papers' controlled experiments, whose truth is known, as shipped and live."""

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from jepa_core import theory
from jepa_core.figures import theory_features, theory_sampling, theory_spheres, theory_truth, theory_views
from jepa_core.figures.style import CONFIG
from jepa_core.images import array_png
from jepa_core.jobs import Job, State
from jepa_core.theory import ascent, features, sampling, spheres, truth, views
from jepa_core.theory import experiment as theory_experiment
from pages._shared import image_grid, jobs_ui, layout, resources, url_state
from pages._shared.errors import fragment, polling
from pages._shared.text import plain

TITLES = {
    "spheres": "Spheres",
    "truth": "Score against truth",
    "sampling": "Sampling",
    "features": "Features",
    "views": "More views",
}

layout.header(
    "Theory",
    "Do the papers' claims hold where the density is known?",
    """Pictures have no known probability, so on them a score can never be checked. Here the data are drawn from
distributions that are known exactly, and small encoders are trained on them in seconds.

Each experiment shows a **full result** that came with the explorer and the command that makes it again. Below it,
**Run it here** computes a short version with settings of yours, and the figure fills while it runs. What was computed
stays on this computer.""",
    picture="theory",
)
chosen = url_state.choose_one("Experiment", TITLES, "spheres", "experiment")


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
        st.error(plain(job.message), icon=":material/error:")
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
    jobs_ui.watch(job)

    @fragment(run_every=polling(1.0))
    def partial() -> None:
        if isinstance(job.partial, dict) and job.partial:
            draw(job.partial)

    partial()


def show_spheres() -> None:
    cells = full_result(theory.SPHERES)
    left, middle, right = st.columns(3)
    some = [(cell.settings.k, cell.result) for cell in cells if cell.settings.k in (2, 8, 32, 256, 4096)]
    with left:
        st.header("The length narrows")
        chart(theory_spheres.laws_figure(some, "length"), "spheres-length", "Densities of |z|/√K, narrower as K grows")
    with middle:
        st.header("A coordinate looks Gaussian")
        chart(
            theory_spheres.laws_figure(some, "coordinate"), "spheres-coordinate", "Densities that come close to N(0, 1)"
        )
    with right:
        st.header("What the score leaves out widens")
        rows = spheres.spreads(cells)
        alt = "; ".join(f"K = {row['k']}: |z|/√K {row['length_sd']:.2g}, |z|²/2 {row['term_sd']:.2g}" for row in rows)
        chart(theory_spheres.spread_figure(rows), "spheres-spread", alt)
    made_by(theory.SPHERES, cells)
    st.header("Run it here")
    k = st.select_slider("K", [cell.settings.k for cell in cells], value=16, key="sphere-k", bind="query-params")

    def draw(result: theory_experiment.Result) -> None:
        chart(theory_spheres.drawn_figure(result), "spheres-live", "Drawn lengths and coordinates beside their laws")
        drawn, exact = result["drawn"], result["exact"]
        st.caption(
            f"Standard deviation of |z|/√K: {drawn['length_sd']:.4f} drawn, {exact['length_sd']:.4f} exact. "
            f"Of |z|²/2: {drawn['term_sd']:.2f} drawn, {exact['term_sd']:.2f} exact."
        )

    run_here(theory.SPHERES, spheres.Settings(k=k), draw)


def show_truth() -> None:
    cells = full_result(theory.TRUTH)
    counts = [count for count in truth.SAMPLES if truth.curves(cells, count)]
    shown = {str(count): f"{count:,} training samples" for count in counts}
    samples = int(
        url_state.choose_one("Full result", shown, str(counts[-1] if 10_000 not in counts else 10_000), "samples")
    )
    rows = truth.curves(cells, samples)
    alt = "; ".join(
        f"D = {row['dim']}, {truth.SCORES.get(row['name'], 'sphere')}: {sum(row['values']) / len(row['values']):.2f}"
        for row in rows
    )
    chart(theory_truth.table_figure(rows), "truth-table", alt)
    st.caption(
        "Means over the seeds; bars from the least to the most. Each seed has a mixture of its own: three components, "
        "4 apart on average, standard deviations between 1/2 and 1, fixed before any training."
    )
    made_by(theory.TRUTH, cells)
    st.header("Run it here")
    one, two, three = st.columns(3)
    dim = one.select_slider("Dimension D", truth.DIMS[:5], value=2, key="dim", bind="query-params")
    seen = two.select_slider("Training samples", truth.SAMPLES, value=10_000, key="seen", bind="query-params")
    spread = three.slider("Distance of the components", 1.0, 8.0, 4.0, 0.5, key="spread", bind="query-params")
    one, two, three = st.columns(3)
    noise = one.select_slider("Noise of a view", (0.01, 0.03, 0.1, 0.3), value=0.03, key="noise", bind="query-params")
    with two:
        kind = url_state.choose_one("Output", truth.KINDS, "equal", "kind")
    seed = three.number_input("Seed of the mixture", 0, 99, 0, key="mixture", bind="query-params")
    settings = truth.Settings(
        dim=dim, samples=seen, kind=kind, seeds=(int(seed),), spread=spread, noise=noise, steps=1000
    )

    def draw(result: theory_experiment.Result) -> None:
        mean = result["mean"]
        words = ", ".join(f"{title} {mean[name]:.2f}" for name, title in truth.SCORES.items())
        st.caption(
            "Each point is a fresh sample: its true log-density to the right, its score upwards, so a good score makes "
            "a rising line."
        )
        if "sheet" in result:
            left, right = st.columns([3, 2])
            with left:
                chart(theory_truth.scatter_figure(result["points"], mean), "truth-scatter", words)
            with right:
                chart(theory_truth.density_figure(result["sheet"]), "truth-sheet", "The true and the learned density")
        else:
            chart(theory_truth.scatter_figure(result["points"], mean), "truth-scatter", words)
        folded = result["seeds"][0].get("folded")
        tail = "" if folded is None else f" Points where the encoder is folded over: {100 * folded:.1f} %."
        st.caption(plain(f"Pearson with the true log-density: {words}.{tail}"))

    run_here(theory.TRUTH, settings, draw)


def show_sampling() -> None:
    cells = full_result(theory.SAMPLING)
    first = [cell for cell in cells if cell.settings.seed == 0]
    for cell in first:
        name = sampling.DENSITIES[cell.settings.density]
        st.header(name[0].upper() + name[1:])
        _draw_samples(cell.result, f"samples-{cell.settings.density}")
    made_by(theory.SAMPLING, cells)
    st.header("Run it here")
    one, two, three = st.columns(3)
    with one:
        density = url_state.choose_one("Density", sampling.DENSITIES, "moons", "density")
    size = two.select_slider(
        "Step size η", (0.001, 0.002, 0.005, 0.01, 0.02, 0.05), value=0.002, key="eta", bind="query-params"
    )
    heat = three.select_slider(
        "Temperature T", (0.0, 0.1, 0.3, 0.5, 1.0, 1.5, 2.0), value=1.0, key="temperature", bind="query-params"
    )
    settings = sampling.Settings(density=density, step_size=size, temperature=heat, steps=1500, walk=600)
    run_here(theory.SAMPLING, settings, lambda result: _draw_samples(result, "samples-live"))
    _show_ascent()


def _draw_samples(result: theory_experiment.Result, key: str) -> None:
    left, right = st.columns([3, 2])
    with left:
        chart(theory_sampling.samples_figure(result), key, "True points, and the points of the walk")
    with right:
        now = result.get("energy", result["energy_start"])
        words = (
            f"Energy distance to the truth: samples {now:.3f}, fresh true sample {result['energy_fresh']:.3f}, "
            f"starting points {result['energy_start']:.3f}"
        )
        chart(theory_sampling.energy_figure(result), f"{key}-energy", words)
        if "density" in result:
            words += (
                f". Mean true log-density: samples {result['density']:.2f}, fresh true sample "
                f"{result['density_fresh']:.2f}"
            )
        st.caption(f"{words}.")


def _show_ascent() -> None:
    experiment = theory.ASCENT
    st.header("Climbing an encoder's score")
    cells = full_result(experiment)
    one, two = st.columns(2)
    with one:
        encoder = url_state.choose_one("Trained encoder", {name: name for name in ascent.ENCODERS}, "digits", "climber")
    with two:
        climb = url_state.choose_one("Climb", ascent.TERMS, "score", "climb")
    for cell in cells:
        if (cell.settings.encoder, cell.settings.climb) == (encoder, climb):
            start = "Noise" if cell.settings.image < 0 else f"Image {cell.settings.image}"
            st.caption(f"{start} (left), and where {cell.settings.steps} steps uphill lead")
            image_grid.grid(_frames(cell.result, start), key=f"climb-{cell.settings.image}")
    made_by(experiment, cells)
    st.header("Climb here")
    one, two, three = st.columns(3)
    image = one.number_input("Image (-1 for noise)", -1, 300, 3, key="climb-image", bind="query-params")
    steps = two.slider("Steps", 10, 80, 40, 10, key="climb-steps", bind="query-params")
    size = three.select_slider(
        "Length of a step", (0.01, 0.02, 0.05, 0.1, 0.2), value=0.05, key="climb-size", bind="query-params"
    )

    def draw(result: theory_experiment.Result) -> None:
        image_grid.grid(_frames(result, "Start"), key="climb-live")
        path = result["path"]
        words = f"The score went from {path[0]['score']:.1f} to {path[-1]['score']:.1f}"
        chart(theory_sampling.climb_figure(path), "climb-path", words)

    settings = ascent.Settings(encoder=encoder, image=int(image), climb=climb, steps=steps, step_size=size)
    run_here(experiment, settings, draw)


def _frames(result: theory_experiment.Result, start: str) -> list[image_grid.Card]:
    scores = {row["step"]: row["score"] for row in result["path"]}
    return [
        image_grid.Card(
            source=image_grid.data_address(array_png(ascent.picture(frame), 160)),
            problem="",
            title=f"step {frame['step']}",
            aside=(f"score {scores[frame['step']]:.1f}",),
            alt=f"{start} after {frame['step']} steps uphill",
        )
        for frame in result["frames"]
    ]


def show_features() -> None:
    experiment = theory.FEATURES
    cells = full_result(experiment)
    rows = features.ratios(cells)
    alt = "; ".join(f"{row['objective']}, depth {row['depth']}: {row['ratio']:.2f}" for row in rows)
    left, right = st.columns(2)
    with left:
        st.header("Later or earlier, by depth")
        chart(theory_features.depth_figure(rows), "features-depth", alt)
    three = next(cell for cell in cells if cell.settings == features.Settings(depth=3))
    with right:
        st.header("JEPA, depth 3")
        chart(
            theory_features.learning_figure(three.result["JEPA"], three.result["until"]["JEPA"]),
            "features-three",
            "The predictable feature is learned before the noisy one",
        )
    made_by(experiment, cells)
    st.header("Run it here")
    one, two, three_columns = st.columns(3)
    depth = one.slider("Depth L", 1, 4, 2, key="depth", bind="query-params")
    size = two.select_slider("Initial size ε", (0.01, 0.02, 0.05), value=0.02, key="size", bind="query-params")
    rho = three_columns.slider("\u03c1 of the noisy feature", 0.4, 1.0, 0.5, 0.05, key="rho", bind="query-params")
    one, two, _rest = st.columns(3)
    share = one.slider("λ of the predictable feature", 0.5, 1.0, 0.9, 0.05, key="lambda", bind="query-params")
    with two:
        process = url_state.choose_one(
            "Data",
            {"exact": "exact covariances"} | {name: name for name in features.PROCESSES},
            "exact",
            "process",
            "static: one hidden thing is seen twice, with noise. dynamic: the next moment of something that changes is "
            "predicted from this one. Both are drawn 10,000 times.",
        )
    drawn = process in features.PROCESSES
    settings = features.Settings(
        depth=depth,
        size=size,
        covariance=(1.0, share),
        regression=(rho, 1.0),
        process=process if drawn else "static",
        samples=10_000 if drawn else 0,
    )

    def draw(result: theory_experiment.Result) -> None:
        for column, objective in zip(st.columns(2), features.OBJECTIVES, strict=True):
            if objective in result:
                with column:
                    st.markdown(f"**{objective}**")
                    chart(
                        theory_features.learning_figure(result[objective], result["until"][objective]),
                        f"features-{objective}",
                        f"How much of each feature {objective} has learned over time",
                    )

    run_here(experiment, settings, draw)


def show_views() -> None:
    experiment = theory.VIEWS
    cells = full_result(experiment)
    for first in range(0, len(cells), 2):
        for column, cell in zip(st.columns(2), cells[first : first + 2], strict=False):
            with column:
                st.header(f"D = {cell.settings.dim}, noise {cell.settings.noise:g}")
                _draw_views(cell.result, f"views-{cell.settings.dim}-{cell.settings.noise}")
    made_by(experiment, cells)
    st.header("Run it here")
    one, two = st.columns(2)
    dim = one.select_slider("Dimension D", truth.DIMS[:5], value=2, key="views-dim", bind="query-params")
    noise = two.select_slider(
        "Noise of a view", (0.03, 0.1, 0.2, 0.3, 0.5), value=0.2, key="views-noise", bind="query-params"
    )

    def draw(result: theory_experiment.Result) -> None:
        if "counts" in result:
            _draw_views(result, "views-live")

    run_here(experiment, views.Settings(dim=dim, noise=noise, seeds=(0,), steps=800), draw)


def _draw_views(result: theory_experiment.Result, key: str) -> None:
    words = "; ".join(
        f"{line['views']} views: {sum(line['term']) / len(line['term']):.2f}" for line in result["counts"]
    )
    chart(theory_views.views_figure(result), key, f"Pearson with the Gaussian term, {words}")


{
    "spheres": show_spheres,
    "truth": show_truth,
    "sampling": show_sampling,
    "features": show_features,
    "views": show_views,
}[chosen]()
