"""The public sets that can be downloaded: what each is, its download, and how long its scores will take."""

from functools import partial

import streamlit as st

from jepa_core.config import hosted
from jepa_core.datasets import catalog, download
from jepa_core.datasets.catalog import CatalogEntry, Split
from jepa_core.encoders.encoder import choose_device
from jepa_core.jobs import Job
from jepa_core.keys import make_key
from jepa_core.scoring import forecast
from jepa_core.scoring.allocator import Prices
from pages._sections.data import cards
from pages._shared import dataset_downloads, jobs_ui, resources
from pages._shared.choice import Choice, current_choice


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
    if download.is_here(entry.named(split)):
        cards.score_button(entry.named(split))
    else:
        dataset_downloads.show(entry, split)
    if split.pictures:
        _show_forecast(current_choice(), split.pictures, entry.named(split))


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
