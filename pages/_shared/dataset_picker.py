"""Choosing a dataset and a class of it."""

from functools import partial

import streamlit as st

from jepa_core.datasets import catalog, registry
from jepa_core.datasets.readers.names import EXAMPLES
from jepa_core.datasets.readers.open import is_long
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.errors import JepaError
from jepa_core.jobs import Job
from jepa_core.redaction import told
from pages._shared import dataset_downloads, jobs_ui, known_sets, resources, url_state
from pages._shared.text import escaped

FOLDER = "folder on this computer"
"""The choice that asks for a path or a name."""
_ALL = "all classes"


def _forget_class(key: str) -> None:
    # The classes of one dataset mean nothing in another.
    st.session_state[key] = st.session_state[f"kept:{key}"] = _ALL


def choose_dataset(
    default: str, title: str = "Dataset", key: str = "dataset", class_key: str = "class"
) -> DatasetSpec | None:
    """A bundled dataset or a folder; None while no folder is given, or (with a sentence) when it cannot be used.

    `class_key` is that of the `choose_class` beside it, if there is one.
    """
    known = known_sets.titles()
    options = [*known, *_asked_for(key, known), FOLDER]
    default = default if default in options else options[0]
    url_state.restore(key, default, options)
    name = st.selectbox(
        title,
        options,
        key=key,
        format_func=lambda one: known.get(one, one),
        on_change=_forget_class,
        args=(class_key,),
    )
    url_state.publish(key, name, default)
    if name == FOLDER:
        url_state.restore("folder", "")
        name = st.text_input(
            "Folder, archive or name",
            key="folder",
            placeholder="/path/to/images, torchvision:mnist/test, hub:ylecun/mnist/test",
            help="A folder of images, whose sub-folders are classes; a ZIP or tar of images; WebDataset shards, as in "
            "shard-{000..003}.tar or shards/\\*.tar; Galaxy10's HDF5 file; a dataset of "
            f"torchvision ({', '.join(EXAMPLES)}); or hub:OWNER/NAME/SPLIT for one of the Hugging "
            "Face hub, with ?class=COLUMN behind it for another column of classes. #500 behind any of them is a "
            "sample of 500. The page Data shows its first pictures before anything is scored.",
            on_change=_forget_class,
            args=(class_key,),
        ).strip()
        url_state.publish("folder", name, "")
        if not name:
            st.info(
                "Give the path of a folder or archive of images, or the name of a dataset to download.",
                icon=":material/folder:",
            )
            return None
    if offered := dataset_downloads.missing(name):  # nothing large is fetched without being asked for
        st.info(f"{escaped(catalog.title_of(*offered))} is not on this computer yet.", icon=":material/cloud_download:")
        dataset_downloads.show(*offered)
        return None
    if is_long(name):
        jobs_ui.job_result(f"open:{name}", f"Opening {known.get(name, name)}", partial(_open, name))
    try:
        chosen = resources.dataset(name)
    except JepaError as error:
        st.error(escaped(told(error)), icon=":material/error:")
        return None
    known_sets.remember(chosen)
    if left_out := chosen.tell_left_out():
        st.caption(escaped(left_out))
    return chosen


def _open(name: str, _job: Job) -> None:
    resources.dataset(name)


def _asked_for(key: str, known: dict[str, str]) -> list[str]:
    """A dataset that is none of those at hand, and that an address or the page before asks for by its name."""
    asked = (st.query_params.get(key), st.session_state.get(key), st.session_state.get(f"kept:{key}"))
    return [name for name in dict.fromkeys(asked) if name and name not in known and known_sets.is_elsewhere(name)]


def address_of(dataset: DatasetSpec) -> dict[str, str]:
    """The part of an address that makes `choose_dataset` open this dataset."""
    if dataset.name in registry.list_datasets() or dataset.name in known_sets.downloaded():
        return {"dataset": dataset.name}
    return {"dataset": FOLDER, "folder": dataset.name.removeprefix(registry.FOLDER_PREFIX)}


def choose_class(dataset: DatasetSpec, key: str = "class") -> str | None:
    """A class of the dataset, or None for all."""
    labels = dataset.labels()
    if len(labels) == 1:
        return None
    options = [_ALL, *labels]
    url_state.restore(key, _ALL, options)
    chosen = st.selectbox("Class", options, key=key)
    url_state.publish(key, chosen, _ALL)
    return None if chosen == _ALL else chosen
