"""The datasets at hand, by title: bundled ones, those that were downloaded, and one's own that were opened before."""

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from functools import partial

import streamlit as st

from jepa_core.config import hosted
from jepa_core.datasets import catalog, download, registry, remembered
from jepa_core.datasets.readers.names import PREFIXES
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.errors import JepaError
from jepa_core.jobs import Job
from jepa_core.keys import make_key
from pages._shared import jobs_ui, resources

DOWNLOADED, OWN = "Downloaded", "Yours"


def titles() -> dict[str, str]:
    """Name -> title of every dataset at hand, in groups: bundled, downloaded, one's own. No two titles are the same."""
    found = {name: spec.title for name, spec in registry.list_datasets().items()}
    found |= {name: f"{DOWNLOADED}: {title}" for name, title in downloaded().items()}
    # Not in the order of their use, or the list would change under the hand.
    mine = sorted(own().items(), key=lambda entry: entry[1].lower())
    found |= {name: f"{OWN}: {title}" for name, title in mine if name not in found}
    shared = Counter(found.values())
    return {name: f"{title} ({name})" if shared[title] > 1 else title for name, title in found.items()}


def specs() -> dict[str, DatasetSpec]:
    """By their names, the bundled datasets and those of one's own and to download that were opened (`open_all`)."""
    found = registry.list_datasets()
    taken = {spec.title for spec in found.values()}
    opened, mine = resources.opened(), own()
    for name in _others(mine):
        if name in opened and name not in found:
            spec = opened[name]
            # Figures have a row for each title.
            found[name] = spec if spec.title not in taken else replace(spec, title=f"{spec.title} ({name})")
            taken.add(found[name].title)
    return found


def open_all() -> None:
    """Have a page that shows whole sets list all that are at hand: what was not opened yet is, beside the page."""
    missing = [name for name in _others(own()) if name not in resources.opened()]
    if not missing or hosted():  # a visitor's own were opened in this visit
        return
    key = make_key("open", *missing)
    job = resources.jobs().get(key) or resources.jobs().submit(
        key, "Opening your own sets", partial(_open, missing), urgent=True, unit="set"
    )
    if job.active:
        jobs_ui.show_progress(job)


def _open(names: list[str], job: Job) -> None:
    for done, name in enumerate(names):
        job.report(done, len(names))
        with suppress(JepaError):  # a folder that is gone is told of where it is opened
            resources.dataset(name)
        if job.cancelled():
            return


def _others(mine: dict[str, str]) -> list[str]:
    return [*downloaded(), *(name for name in mine if not catalog.is_offered(name))]


def downloaded() -> dict[str, str]:
    """Name -> title of the sets of the catalog that are here; none for visitors, who cannot open them."""
    if hosted():
        return {}
    return {
        entry.named(split): catalog.title_of(entry, split)
        for entry, split in catalog.parts()
        if download.is_here(entry.named(split))
    }


def own() -> dict[str, str]:
    """Name -> title of one's own that were opened before; of a visitor, in this visit."""
    return st.session_state.setdefault("own-datasets", {}) if hosted() else remembered.names()


def remember(dataset: DatasetSpec) -> bool:
    """Offer a dataset again, and say whether it is new; bundled ones and the catalog's need not be remembered."""
    name = dataset.name
    if name in registry.list_datasets() or catalog.is_offered(name):
        return False
    new = name not in own()
    if hosted():
        own()[name] = dataset.title
    else:
        remembered.remember(name, dataset.title)
    return new


def forget(name: str) -> None:
    """Offer it no more."""
    if hosted():
        own().pop(name, None)
    else:
        remembered.forget(name)


def is_elsewhere(name: str) -> bool:
    """Whether a name is that of a dataset to open from a folder, an archive or a server, and no bundled one."""
    return name.startswith((registry.FOLDER_PREFIX, *PREFIXES)) or "/" in name or "\\" in name
