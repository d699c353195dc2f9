"""Studies: the paper's figures 1, 3 and 7 on any encoders and datasets at hand."""

import shlex
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from jepa_core.analysis import paper_figures
from jepa_core.datasets import registry
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.encoders.registry import default_device, list_encoders
from jepa_core.explain.directions import Directions, directions_of
from jepa_core.figures.domains import domain_figure
from jepa_core.figures.singular_vectors import signed_picture
from jepa_core.figures.style import CONFIG
from jepa_core.images import array_png
from jepa_core.jobs import Job, State
from jepa_core.keys import make_key
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.run import ScoringRun
from jepa_core.wording import lasting
from pages._shared import extremes, image_grid, state, widgets
from pages._shared.state import Choice
from pages._shared.text import counted, plain

MOST, LEAST = 4, 3  # directions of each end
FIGURES = {
    "1": "1: Extremes",
    "3": "3: Datasets",
    "7": "7: Directions",
}

widgets.header(
    "Studies",
    "What do the figures of the paper look like for other encoders and other images?",
    """**Figure 1** shows the least and the most likely images of a class, a row for each encoder, and random ones. Do
encoders agree? **Figure 3** shows the scores of whole datasets, one figure for each encoder, since their scores are not
on one scale. **Figure 7** shows the changes of an image that each encoder notices most and least.

Nothing long starts by itself: the page says what is missing and about how long it takes here. What is scored stays in
the store, so a study that was stopped goes on where it was.""",
    picture="studies",
)
here = list_encoders()
chosen = widgets.choose_several("Encoders", list(here), list(here)[:3], "studied", 6)
figure = widgets.choose_one("Figure", FIGURES, "1", "figure")
if not chosen:
    st.info("Choose one encoder or more.", icon=":material/checklist:")
    st.stop()
way = state.choice().way
output = state.choice().output
choices = [
    Choice(found.spec, found.name, way) for found in paper_figures.outputs([here[name] for name in chosen], output)
]


def scored(sets: Sequence[DatasetSpec], label: str | None = None) -> None:
    """Have what is missing scored, once asked for. The page stops here until it is there."""
    pairs = [(choice, data) for choice in choices for data in sets if not data.listed]
    left = [(choice, data, state.missing(choice, data, label)) for choice, data in pairs]
    wanted = [(choice.encoder_output, data) for choice, data, count in left if count]
    counts = [count for _choice, _data, count in left if count]
    if not wanted:
        return
    key = make_key("study", repr(way), label or "", *(f"{subject} {data.name}" for subject, data in wanted))
    job = state.jobs().get(key)
    if job is not None and job.state is State.DONE:  # what it left cannot be read
        st.caption(f"{counted(sum(counts), 'image')} could not be scored.")
        return
    if job is not None and job.state is State.FAILED:
        st.error(plain(job.message), icon=":material/error:")
    if job is None or not job.active:
        for (subject, dataset), count in zip(wanted, counts, strict=True):
            st.markdown(f"- {plain(str(subject))}: {counted(count, 'image')} of {plain(dataset.title)} have no score.")
        ask, go = st.columns(2)
        with ask:
            words = _forecast(wanted, counts)
        if words:
            st.markdown(f"That takes about **{words}** here. A sketch (in the sidebar) takes less for large sets.")
        if not go.button(f"Score {counted(sum(counts), 'image')}", icon=":material/play_arrow:", type="primary"):
            st.stop()

        def work(job: Job) -> None:
            for subject, dataset in wanted:
                encoder = state.encoder(subject.spec.name)
                ScoringRun.of_dataset(
                    state.store(),
                    EncoderOutput.of(encoder, subject.name),
                    dataset,
                    way,
                    label,
                    job.report,
                    job.cancelled,
                ).score()
                if job.cancelled():
                    return

        job = state.jobs().submit(key, "Scoring for the study", work)
    widgets.watch(job)
    st.stop()


def _forecast(wanted: Sequence[tuple[EncoderOutput, DatasetSpec]], counts: Sequence[int]) -> str:
    """About how long it takes, once asked for: the machine is measured for it."""
    key = make_key(
        "study-forecast", *(f"{subject} {count}" for (subject, _), count in zip(wanted, counts, strict=True))
    )
    job = state.jobs().get(key)
    if job is None and st.button("How long will it take here?", icon=":material/timer:"):
        job = state.jobs().submit(key, "Measuring this machine", lambda _job: _seconds(wanted, counts), urgent=True)
    if job is not None and job.active:
        widgets.watch(job)
    return lasting(job.result) if job is not None and isinstance(job.result, float) else ""


def _seconds(wanted: Sequence[tuple[EncoderOutput, DatasetSpec]], counts: Sequence[int]) -> float:
    from jepa_core.encoders import cost

    device = default_device()
    return sum(
        count * cost.seconds_an_image(subject.spec, subject.name, device)
        for (subject, _dataset), count in zip(wanted, counts, strict=True)
    )


def show_figure1() -> None:
    """The ends of a class for each encoder."""
    left, right = st.columns(2)
    with left:
        dataset = widgets.choose_dataset(choices[0].spec.reference)
    if dataset is None:
        st.stop()
    with right:
        label = widgets.choose_class(dataset)
    scored([dataset], label)
    tables = [(choice, state.ranked(choice, dataset, label)) for choice in choices]
    for choice, table in tables:
        st.header(plain(f"{choice.spec.name}, {choice.output}"))
        if table.empty:
            _tell_unscored()
            continue
        least, most = paper_figures.ends(table)
        cards = [image_grid.cards(choice, dataset, rows, label, places=False) for rows in (least, most.iloc[::-1])]
        extremes.show(*cards, len(table), key=f"{choice.spec.name}:{choice.output}")
    some = [(choice, table) for choice, table in tables if len(table)]
    if some:
        st.header("Random")
        choice, table = some[-1]
        rows = paper_figures.drawn_at_random(table, 2 * paper_figures.ENDS)
        cards = [
            replace(card, title="", aside=()) for card in image_grid.cards(choice, dataset, rows, label, places=False)
        ]
        halves = {"left": cards[: paper_figures.ENDS], "right": cards[paper_figures.ENDS :]}
        for column, (side, half) in zip(st.columns(2), halves.items(), strict=True):
            with column:
                image_grid.grid(half, key=f"random:{side}", five=True)
    _say_command([dataset], label)


def _tell_unscored() -> None:
    st.info("This encoder has no scores of these images.", icon=":material/visibility_off:")


# Kept as it is: to draw it anew, or to read a pickle of it, takes a quarter of what a click takes.
@st.cache_resource(show_spinner=False, max_entries=24)
def _figure3(versions: Sequence[str], _scores: dict[str, np.ndarray]) -> go.Figure:  # noqa: ARG001
    return domain_figure(_scores, next(iter(_scores)))


def show_figure3() -> None:
    """Histograms of whole datasets for each encoder."""
    listed = registry.list_datasets()
    names = st.multiselect("Datasets", list(listed), default=_first_sets(listed), key="studies-datasets")
    if not names:
        st.info("Choose one dataset or more.", icon=":material/checklist:")
        st.stop()
    sets = [listed[name] for name in names]
    scored(sets)
    st.caption(
        "A row for each set: its histogram, with a mark at its median. The band is the middle half of the first set. "
        "Scores of different encoders are not on one scale."
    )
    for choice in choices:
        found = {dataset.title: state.scores(choice, dataset) for dataset in sets}
        scores = {title: table["jepa_score"].to_numpy() for title, table in found.items() if len(table)}
        st.header(plain(f"{choice.spec.name}, {choice.output}"))
        if not scores:
            _tell_unscored()
            continue
        st.plotly_chart(
            _figure3([state.version(choice, dataset) for dataset in sets], scores),
            config=CONFIG,
            alt="; ".join(f"{title}: median {np.median(values):.1f}" for title, values in scores.items()),
            key=f"figure3:{choice.spec.name}",
        )
    _say_command(sets)


def _first_sets(listed: dict[str, DatasetSpec]) -> list[str]:
    """The encoders' own references first, then the sets of the paper's figure that are here."""
    names = [choice.spec.reference for choice in choices] + ["mnist", "galaxy-zoo"]
    return [name for name in dict.fromkeys(names) if name in listed]


def show_figure7() -> None:
    """The directions of the least and the most likely image for each encoder."""
    dataset = widgets.choose_dataset(choices[0].spec.reference)
    if dataset is None:
        st.stop()
    if dataset.listed:
        st.info("Directions need the pictures themselves: choose a set whose pictures are here.")
        st.stop()
    scored([dataset])
    for choice in choices:
        table = state.ranked(choice, dataset, None)
        rank = choice.encoder_output.rank.rank
        st.header(plain(f"{choice.spec.name}, {choice.output}"))
        if table.empty:
            _tell_unscored()
            continue
        for title, rows in (("least", table.iloc[:1]), ("most", table.iloc[-1:])):

            def compute(_job: Job, rows=rows, choice=choice, rank=rank) -> Directions:
                picture = paper_figures.picture(dataset, rows)
                return directions_of(state.encoder(choice.spec.name), choice.output, picture, rank)

            key = f"directions:{choice.config.key}:{rank}:{rows['digest'].iloc[0]}"
            found = widgets.computed(key, "Computing directions", compute)
            assert isinstance(found, Directions)
            st.caption(f"The {title} likely image, and the changes of it that are noticed most (k = 1) and least")
            image_grid.grid(
                [*image_grid.cards(choice, dataset, rows), *_strip(found)],
                key=f"{choice.spec.name}:{choice.output}:{title}",
            )
    _say_command([dataset])


def _strip(found: Directions) -> list[image_grid.Card]:
    count = len(found.sigma)
    places = dict.fromkeys([*range(min(MOST, count)), *range(max(0, count - LEAST), count)])
    return [
        image_grid.Card(
            source=image_grid.data_address(array_png(signed_picture(found.right(k)), 160)),
            problem="",
            title=f"k = {k + 1}",
            aside=(f"moves by {found.sigma[k]:.3g}",),
            alt=f"Direction {k + 1}",
        )
        for k in places
    ]


def _say_command(sets: Sequence[DatasetSpec], label: str | None = None) -> None:
    """How a terminal makes the figure that is shown."""
    words = ["python", "-m", "jepa_core", f"figure{figure}"]
    for choice in choices:
        words += ["--encoder", choice.spec.name]
    if any(choice.output != choice.spec.default_output for choice in choices):
        words += ["--output", output]
    words += ["--data", *(data.name.removeprefix(registry.FOLDER_PREFIX) for data in sets)]
    words += ["--class", label] if label else []
    words += ["--method", way.name] if way.name != "exact" else []
    words += ["--precision", way.precision] if way.precision != "fp32" else []
    words += ["--out", f"figure{figure}.{'html' if figure == '3' else 'png'}"]
    st.caption("The same from a terminal:")
    widgets.code(shlex.join(words))


{"1": show_figure1, "3": show_figure3, "7": show_figure7}[figure]()
