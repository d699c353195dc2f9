"""One's own sets: those that were opened before, and a look at another before anything of it is scored."""

from functools import partial

import pandas as pd
import streamlit as st

from jepa_core.config import hosted
from jepa_core.datasets import catalog, registry
from jepa_core.datasets.look import Look, look_at
from jepa_core.jobs import Job, State
from jepa_core.keys import make_key
from pages._sections.data import cards
from pages._shared import dataset_downloads, jobs_ui, known_sets, resources
from pages._shared.text import escaped

EXAMPLES = {
    "a folder, whose sub-folders are classes": "/home/me/pictures",
    "a ZIP or tar of such a folder": "/home/me/pictures.zip",
    "WebDataset shards": "/home/me/shard-{000..003}.tar",
    "any set of pictures on the Hugging Face hub": "hub:ylecun/mnist/test",
    "a set that torchvision knows": "torchvision:mnist/test",
    "500 pictures of any of them, at random": "/home/me/pictures#500",
}
_WIDTH = 150  # px of a picture
_CLASSES = 200  # rows of the table of classes


def cards_of() -> list[cards.Card]:
    """A card for each of one's own sets that was opened before, the last one first."""
    return [_card(name, title) for name, title in known_sets.own().items()]


def _card(name: str, title: str) -> cards.Card:
    return cards.Card(name, title, name.removeprefix(registry.FOLDER_PREFIX), (), partial(_actions, name))


def _actions(name: str) -> None:
    with st.container(horizontal=True):
        cards.open_button(name)
        st.button(
            "Forget",
            icon=":material/visibility_off:",
            key=f"forget:{name}",
            help="Takes it from this list. Its files and its scores stay.",
            on_click=known_sets.forget,
            args=(name,),
        )


def open_another() -> None:
    """A field for a path or a name, and a look at what it names."""
    with st.form("own-set", border=False):
        name = st.text_input(
            "Folder, archive or name",
            key="own-set-name",
            placeholder="/home/me/pictures",
            help="#500 behind any of them is a sample of 500 pictures.",
        ).strip()
        pressed = st.form_submit_button("Look", icon=":material/visibility:", type="primary")
    with st.expander("What is accepted, with examples", icon=":material/list:"):
        st.markdown("\n".join(f"- {what}: `{example}`" for what, example in EXAMPLES.items()))
        st.caption("What you open is offered here again, and in the lists of all pages, until you forget it.")
    if pressed:
        st.session_state["looked-at"] = name
    name = st.session_state.get("looked-at", "")
    if name:
        _look(name, anew=pressed)
    if known_sets.own():
        st.header("Opened before")


def _look(name: str, anew: bool) -> None:
    if offered := dataset_downloads.missing(name):
        st.info(f"{escaped(catalog.title_of(*offered))} is not on this computer yet.", icon=":material/cloud_download:")
        dataset_downloads.show(*offered)
        return
    key = make_key("look", name, resources.visitor() if hosted() else "")
    job = resources.jobs().get(key)
    if job is None or (anew and not job.active):
        job = resources.jobs().submit(key, f"Looking at {name}", partial(_looked, name), urgent=True, unit="picture")
        job.wait(1.0)  # most are quick, and then nothing flickers
    if job.active:
        jobs_ui.show_progress(job)
    elif job.state is State.FAILED:
        st.error(escaped(job.message), icon=":material/error:")
    elif isinstance(job.result, Look):
        if known_sets.remember(job.result.dataset):
            st.rerun()  # its card stands below
        _show(job.result)


def _looked(name: str, _job: Job) -> Look:
    return look_at(resources.dataset(name))


def _show(look: Look) -> None:
    classes = len(look.counts)
    count = f"{len(look.dataset):,} pictures, {'1 class' if classes == 1 else f'{classes} classes'}"
    st.markdown(f"**{escaped(look.dataset.title)}**: {count}. Nothing is scored by looking.")
    if remarks := look.dataset.tell_left_out():
        st.caption(escaped(remarks))
    with st.container(horizontal=True):
        for one in look.glimpses:
            if one.png:
                st.image(one.png, caption=escaped(one.label), width=_WIDTH, alt=f"{one.name}, class {one.label}")
    for one in look.glimpses:
        if one.problem:
            st.caption(escaped(one.problem))
    st.dataframe(
        pd.DataFrame(look.counts[:_CLASSES], columns=["class", "pictures"]),
        hide_index=True,
        height="content" if classes <= 8 else 320,
        column_config={
            "class": st.column_config.TextColumn("Class"),
            "pictures": st.column_config.NumberColumn("Pictures", format="localized"),
        },
    )
    if classes > _CLASSES:
        st.caption(f"The {_CLASSES} largest classes of {classes}.")
    cards.score_button(look.dataset.name)
