"""The public sets that can be downloaded: what each is, its download as a job, and how long its scores will take."""

from functools import partial

import streamlit as st

from jepa_core.config import hosted
from jepa_core.datasets import catalog, download
from jepa_core.datasets.catalog import CatalogEntry, Split
from jepa_core.encoders.encoder import choose_device
from jepa_core.jobs import Job, State
from jepa_core.keys import make_key
from jepa_core.scoring import forecast
from jepa_core.scoring.allocator import Prices
from pages._sections.data import cards
from pages._shared import jobs_ui, resources
from pages._shared.choice import Choice, current_choice
from pages._shared.text import escaped


def cards_of() -> list[cards.Card]:
    """A card for each set of the catalog."""
    return [_card(entry) for entry in catalog.ENTRIES]


def _card(entry: CatalogEntry) -> cards.Card:
    split = entry.splits[0]
    number = f"{split.pictures:,} pictures" if split.pictures else "Number of pictures unknown"
    others = ", ".join(entry.named(other) for other in entry.splits[1:])
    size = f"{catalog.megabytes(split.size)} to download" if split.size else "size unknown until its server is asked"
    facts = [
        f"{number}, {entry.classes:,} classes, {size}",
        f"Licence: {entry.licence or 'not stated by its source'}",
        *(["Log-in: accept its terms on its page, then run 'hf auth login'"] if entry.login else []),
        *([f"In the paper: {entry.paper}"] if entry.paper else []),
    ]
    note = f"Under Your own, {others} opens the rest of it." if others else ""
    name = entry.named(split)
    title = catalog.title_of(entry, split)
    return cards.Card(name, title, entry.description, facts, partial(_actions, entry, split), note, entry.address)


def _actions(entry: CatalogEntry, split: Split) -> None:
    if hosted():
        st.caption("This server downloads nothing for its visitors.")
        return
    _show_download(entry, split)
    if split.pictures:
        _show_forecast(current_choice(), split.pictures, entry.named(split))


def _show_download(entry: CatalogEntry, split: Split) -> None:
    """The download of a set: its progress, or what can be done about it."""
    name, title = entry.named(split), catalog.title_of(entry, split)
    job = resources.downloads().get(_key(name))
    if job is not None and job.active:
        jobs_ui.show_progress(job, narrow=True)
        return
    if download.is_here(name):
        cards.score_button(name)
        return
    if job is not None and job.state is State.FAILED:
        st.error(escaped(job.message), icon=":material/error:")
    size = split.size or _asked_size(name, title)
    if size is None:
        return
    stopped = job is not None and job.state is State.CANCELLED
    words = "Go on with the download" if stopped else "Download"
    words += f" ({catalog.megabytes(size)})" if size else ""
    if st.button(words, icon=":material/download:", key=f"download:{name}", help=f"{title}, into the cache folder"):
        resources.downloads().submit(_key(name), f"Downloading {title}", partial(_download, name), unit="MB")
        st.rerun()


def _asked_size(name: str, title: str) -> int | None:
    """What its server says of the size, once it was asked: 0 where it does not say, None before."""
    key = make_key("size", name)
    job = resources.jobs().get(key)
    if job is not None and job.active:
        jobs_ui.show_progress(job, narrow=True)
        return None
    if job is not None and job.state is State.DONE:
        return job.result or 0  # type: ignore[return-value]
    if job is not None and job.state is State.FAILED:
        st.error(escaped(job.message), icon=":material/error:")
    if st.button("Ask how large it is", icon=":material/help:", key=f"size:{name}"):
        job = resources.jobs().submit(key, f"Asking for {title}", lambda _job: download.ask_size(name), urgent=True)
        st.rerun()
    return None


def _key(name: str) -> str:
    return make_key("download", name)


def _download(name: str, job: Job) -> bool:
    def report(done: int, total: int) -> None:
        job.report(done // 10**6, max(1, total // 10**6))

    return download.download(name, report, job.cancelled)


def _show_forecast(choice: Choice, pictures: int, name: str) -> None:
    """How long scores of so many pictures will take here, once it is asked for: the machine is measured for it."""
    job = resources.jobs().get(_forecast_key(choice))
    if job is not None and isinstance(job.result, Prices):
        st.caption(f"{forecast.in_words(job.result, pictures)} Encoder {choice.spec.name}.")
    elif job is not None and job.active:
        if st.session_state.get("forecast-asked") == name:  # all cards wait for the same
            jobs_ui.show_progress(job, narrow=True)
    elif st.button("How long will scoring take?", icon=":material/timer:", key=f"forecast:{name}", type="tertiary"):
        st.session_state["forecast-asked"] = name
        resources.jobs().submit(
            _forecast_key(choice), "Measuring how long scores take here", partial(_measure, choice), urgent=True
        )
        st.rerun()


def _forecast_key(choice: Choice) -> str:
    """The key of the job that measures an encoder output, the same as in the Gallery."""
    return make_key("forecast", choice.spec.name, choice.output)


def _measure(choice: Choice, _job: Job) -> Prices:
    return forecast.prices_of(choice.spec, choice.output, choose_device(None))
