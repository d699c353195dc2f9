"""Widgets that more than one page uses: choosing a dataset, and the progress of a job."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from jepa_core.config import ASSETS
from jepa_core.datasets import readers, registry
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.errors import JepaError
from jepa_core.files import read_asset
from jepa_core.jobs import Job, State
from jepa_core.keys import make_key
from jepa_core.redaction import told
from jepa_core.scoring import extremes
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.extremes import open_ends
from jepa_core.scoring.run import RunSummary, ScoringRun
from pages._shared import state
from pages._shared.errors import fragment, polling
from pages._shared.state import Choice
from pages._shared.text import counted, plain

_FOLDER = "folder on this computer"
# More than this is not started without being asked for.
_ASK_ABOVE = 1000
_ALL = "all classes"
_BETWEEN_RUNS = 2.0  # seconds at least, of a page that shows what has arrived so far
KEPT = ("dataset", "folder", "class")
"""Choices that go along from page to page (`arrive`, `publish`)."""


# Pages take no `svg` as HTML, and as an image it would not have the theme's colours.
_DRAWING = st.components.v2.component(
    "drawing",
    html='<div class="drawing"></div>\n',
    css=".drawing { color: var(--st-text-color); max-width: 34rem; }\n.drawing svg { width: 100%; display: block; }\n",
    js="""export default function ({ data, parentElement }) {
  parentElement.querySelector(".drawing").innerHTML = data;
}
""",
)


def header(title: str, text: str, explanation: str, picture: str = "") -> None:
    """The page's title, one sentence, and a longer explanation one click away.

    `picture` names a drawing of `assets/explain`, which stands above the explanation.
    """
    state.require_app()
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    left.title(title)
    left.markdown(text)
    with right.popover("What am I looking at?", icon=":material/help:", width="stretch"):
        if picture:
            _DRAWING(data=read_asset(ASSETS / "explain" / f"{picture}.svg"), key=f"explain:{picture}")
        st.markdown(explanation)


def arrive(key: str, default: str, options: Sequence[str] | None = None) -> None:
    """Give a widget its value: on arrival at a page from the address, else from the page before, else the default.

    Streamlit's own binding of widgets to the address forgets what came with a link and was never touched.
    """
    here = st.session_state["page"]
    kept = st.session_state.get(f"kept:{key}", default)
    if st.session_state.get(f"page:{key}") != here:
        st.session_state[f"page:{key}"] = here
        st.session_state[key] = st.query_params.get(key, kept)
        asked = st.query_params.get(key)
        if options is not None and asked is not None and asked not in options:
            state.not_there(key, asked, default)
    value = st.session_state.setdefault(key, kept)
    if options is not None and value not in options:
        st.session_state[key] = default


def publish(key: str, value: str, default: str) -> None:
    """Keep a widget's value for the next page, and put it into the address unless it is the default."""
    st.session_state[f"kept:{key}"] = value
    if value == default:
        st.query_params.pop(key, None)
    elif st.query_params.get(key) != value:
        st.query_params[key] = value


def choose_one(title: str, options: Mapping[str, str], default: str, key: str, tip: str | None = None) -> str:
    """One of a few options (value -> what is shown), side by side, in the address."""
    arrive(key, default, list(options))
    chosen = st.segmented_control(
        title, list(options), format_func=options.__getitem__, key=key, help=tip, required=True
    )
    publish(key, chosen, default)
    return chosen


def choose_several(
    title: str, options: Sequence[str], default: Sequence[str], key: str, most: int, tip: str | None = None
) -> list[str]:
    """At most `most` of the options, in the address with commas between them."""
    arrive(key, ",".join(default))
    asked = [name for name in dict.fromkeys(st.session_state[key].split(",")) if name in options]
    widget = f"several:{key}"
    if widget not in st.session_state:  # on arrival; the widget forgets itself on other pages
        st.session_state[widget] = asked[:most] or list(default)
    chosen = st.multiselect(title, options, key=widget, max_selections=most, help=tip)
    st.session_state[key] = ",".join(chosen)
    publish(key, st.session_state[key], ",".join(default))
    return chosen


def _forget_class(key: str) -> None:
    # The classes of one dataset mean nothing in another.
    st.session_state[key] = st.session_state[f"kept:{key}"] = _ALL


def choose_dataset(
    default: str, title: str = "Dataset", key: str = "dataset", class_key: str = "class"
) -> DatasetSpec | None:
    """A bundled dataset or a folder; None while no folder is given, or (with a sentence) when it cannot be used.

    `class_key` is that of the `choose_class` beside it, if there is one.
    """
    options = [*registry.list_datasets(), _FOLDER]
    default = default if default in options else options[0]
    arrive(key, default, options)
    name = st.selectbox(title, options, key=key, on_change=_forget_class, args=(class_key,))
    publish(key, name, default)
    if name == _FOLDER:
        arrive("folder", "")
        name = st.text_input(
            "Folder, archive or name",
            key="folder",
            placeholder="/path/to/images, torchvision:mnist/test, hub:ylecun/mnist/test",
            help="A folder of images, whose sub-folders are classes; a ZIP or tar of images; WebDataset shards, as in "
            "shard-{000..003}.tar or shards/\\*.tar; Galaxy10's HDF5 file; a dataset of "
            f"torchvision ({', '.join(readers.EXAMPLES)}); or hub:OWNER/NAME/SPLIT for one of the Hugging "
            "Face hub, with ?class=COLUMN behind it for another column of classes. #500 behind any of them is a "
            "sample of 500.",
            on_change=_forget_class,
            args=(class_key,),
        ).strip()
        publish("folder", name, "")
        if not name:
            st.info(
                "Give the path of a folder or archive of images, or the name of a dataset to download.",
                icon=":material/folder:",
            )
            return None
        if readers.is_long(name):
            computed(f"open:{name}", f"Opening {name}", lambda _job: state.dataset(name) and None)
    try:
        chosen = state.dataset(name)
    except JepaError as error:
        st.error(plain(told(error)), icon=":material/error:")
        return None
    if left_out := chosen.tell_left_out():
        st.caption(plain(left_out))
    return chosen


def address_of(dataset: DatasetSpec) -> dict[str, str]:
    """The part of an address that makes `choose_dataset` open this dataset."""
    if dataset.name in registry.list_datasets():
        return {"dataset": dataset.name}
    return {"dataset": _FOLDER, "folder": dataset.name.removeprefix(registry.FOLDER_PREFIX)}


def choose_class(dataset: DatasetSpec, key: str = "class") -> str | None:
    """A class of the dataset, or None for all."""
    labels = dataset.labels()
    if len(labels) == 1:
        return None
    options = [_ALL, *labels]
    arrive(key, _ALL, options)
    chosen = st.selectbox("Class", options, key=key)
    publish(key, chosen, _ALL)
    return None if chosen == _ALL else chosen


@dataclass(frozen=True, eq=False)
class Shown:
    """What a page looks at: a dataset, a class of it (None for all), and the score tables of both, never empty."""

    dataset: DatasetSpec
    label: str | None
    everything: pd.DataFrame
    table: pd.DataFrame  # of the class, least likely first, with percentiles within the class
    running: bool  # whether more scores are on their way


def choose_scored(choice: Choice) -> Shown:
    """Choose a dataset and a class, and have them scored. The page stops here while there is nothing to show."""
    left, right = st.columns(2)
    with left:
        dataset = choose_dataset(choice.spec.reference)
    if dataset is None:
        st.stop()
    with right:
        label = choose_class(dataset)
    running = keep_scored(choice, dataset)
    everything, table = state.scores(choice, dataset), state.ranked(choice, dataset, label)
    if table.empty:
        st.info("No scores yet. They appear here as they arrive.", icon=":material/hourglass_empty:")
        st.stop()
    return Shown(dataset, label, everything, table, running)


def keep_scored(choice: Choice, dataset: DatasetSpec) -> bool:
    """See to it that a dataset's missing scores are computed: start the job, show its progress, let it be cancelled.

    Returns whether it is running.
    """
    # A folder that has changed is another job, so that what was done or failed before does not stand for it.
    if dataset.listed:
        _tell_listed(choice, dataset)
        return False
    key = make_key("score", choice.config.key, repr(choice.way_to(dataset)), dataset.name, dataset.fingerprint)
    job = state.jobs().get(key)
    if job is None or not job.active:
        if job:
            _tell_ended(job, dataset)
        job = _start(key, job, choice, dataset)
    if job:
        watch(job, lambda: len(state.scored(choice, dataset)))
    return job is not None


def _tell_listed(choice: Choice, dataset: DatasetSpec) -> None:
    """Nobody can score pictures that are not here."""
    words = f"The pictures of {dataset.title} are not bundled. Each is known by its class and its digest"
    if state.scored(choice, dataset):
        words += ", and its score came with the explorer. To see them, choose the folder that holds them."
    else:
        words += f", and encoder {choice.spec.name}, output {choice.output}, has no scores of them: choose another set."
    st.info(plain(words), icon=":material/visibility_off:")


def _tell_ended(job: Job, dataset: DatasetSpec) -> None:
    if isinstance(job.result, RunSummary) and job.result.failed:
        failed = job.result.failed
        label = f"{len(failed)} of {counted(len(dataset), 'image')} could not be scored"
        with st.expander(label, icon=":material/warning:"):
            for _name, sentence in failed[:50]:
                st.write(plain(sentence))
            if len(failed) > 50:
                st.write(f"And {len(failed) - 50} more.")
    if job.state is State.FAILED:
        st.error(plain(job.message), icon=":material/error:")


def _start(key: str, before: Job | None, choice: Choice, dataset: DatasetSpec) -> Job | None:
    """Start the scoring job if there is something to score and nobody has stopped it or needs to be asked."""
    missing = state.missing(choice, dataset)
    unseen = before is None and bool(dataset.fingerprint)  # a folder's files may have been written anew
    if (before and before.state is State.DONE) or not (missing or unseen):
        return None
    if (before or missing > _ASK_ABOVE) and not st.button(
        f"Score {counted(missing, 'missing image')}", icon=":material/play_arrow:", key=f"start:{key}"
    ):
        return None

    def work(job: Job) -> RunSummary:
        output = EncoderOutput.of(state.encoder(choice.spec.name), choice.output)
        run = ScoringRun.of_dataset(
            state.store(), output, dataset, choice.way, progress=job.report, cancelled=job.cancelled
        )
        return run.score()

    return state.jobs().submit(key, f"Scoring {dataset.title} with {choice.spec.name}", work)


def verify_ends(choice: Choice, shown: Shown, count: int) -> None:
    """Have every estimate scored fully that may belong to the `count` least or most likely images."""
    names = open_ends(shown.table, count)
    if not names:
        return
    st.caption(f"The order at the ends is preliminary: {counted(len(names), 'estimate')} may still belong there.")
    if shown.running:
        return
    dataset, way = shown.dataset, state.settled_way(choice, shown.dataset)
    key = make_key("ends", choice.config.key, repr(way), dataset.name, dataset.fingerprint, shown.label or "", count)

    def work(job: Job) -> set[str]:
        output = EncoderOutput.of(state.encoder(choice.spec.name), choice.output)
        run = ScoringRun.of_dataset(state.store(), output, dataset, way, progress=job.report, cancelled=job.cancelled)
        return extremes.verify_ends(run, count, shown.label)

    job = state.jobs().get(key)
    # What a finished job left open could not be scored; anything else is new.
    due = job is None or (job.state is State.DONE and job.result != names)
    stopped = job is not None and job.state is State.CANCELLED
    if due or (stopped and st.button("Score them fully", icon=":material/play_arrow:")):
        job = state.jobs().submit(key, "Scoring fully what may belong to the ends", work)
    if job and job.active:
        watch(job)
    elif job and job.state is State.FAILED:
        st.error(plain(job.message), icon=":material/error:")


def computed(key: str, title: str, work: Callable[[Job], object], unit: str = "image") -> object:
    """The result of an urgent job, started if need be. The page stops here until it is there."""
    job = arriving(key, title, work, unit)
    if job is None:
        st.stop()
    return job.result


def arriving(key: str, title: str, work: Callable[[Job], object], unit: str = "image", ask: str = "") -> Job | None:
    """An urgent job that is done, started if need be; None, with its progress, while the page goes on without it.

    With `ask`, words on a button, it is started only once a person has asked for it.
    """
    job = state.jobs().get(key)
    stopped = job is not None and job.state is State.CANCELLED and job.result is None
    offer = "Compute it after all" if stopped else ask if job is None else ""
    if offer and not st.button(offer, icon=":material/play_arrow:", key=f"start:{key}"):
        return None
    if job is None or stopped:
        job = state.jobs().submit(key, title, work, urgent=True, unit=unit)
    if job.active:
        watch(job)
        return None
    if job.state is State.FAILED:
        st.error(plain(job.message), icon=":material/error:")
        return None
    return job


def watch(job: Job, arrived: Callable[[], int] = lambda: 0) -> None:
    """Progress of a job with a cancel button; the page reruns when something new has arrived, and at the end."""
    before = arrived()
    next_run = time.monotonic() + polling(_BETWEEN_RUNS)
    bar, button = st.columns([6, 1], vertical_alignment="center")
    # Not in the fragment: a click on a fragment's button just after one on the link to another page has Streamlit run
    # what is no longer there, and its front end then drops the page that it has only just drawn.
    if job.concerns(state.visitor()):
        stopping = job.cancelled()
        button.button(
            "Stopping" if stopping else "Cancel",
            key=f"cancel:{job.key}",
            width="stretch",
            disabled=stopping,
            on_click=job.cancel,
        )

    @fragment(run_every=polling(0.7))
    def poll() -> None:
        if not job.active or (time.monotonic() > next_run and arrived() > before):
            st.rerun()
        st.progress(min(job.done / job.total, 1.0) if job.total else 0.0, plain(progress_words(job)))

    with bar:
        poll()


def code(text: str) -> None:
    """A command or lines of Python to copy, in one colour: some of Streamlit's for code have a contrast below 3."""
    st.code(text, language=None, wrap_lines=True)


def progress_words(job: Job) -> str:
    """How far a job is."""
    if job.state is State.QUEUED:
        return f"{job.title}: waiting for another computation"
    if not job.total:
        return f"{job.title} …"
    left = job.seconds_left
    remaining = "" if left is None else f", about {left:.0f} s left"
    return f"{job.title}: {job.done} of {counted(job.total, job.unit)}{remaining}"
