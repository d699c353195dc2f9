"""The datasets at hand, by title: bundled ones, those that were downloaded, and one's own that were opened before."""

from collections import Counter

import streamlit as st

from jepa_core.config import hosted
from jepa_core.datasets import catalog, download, registry, remembered
from jepa_core.datasets.readers.names import PREFIXES
from jepa_core.datasets.spec import DatasetSpec

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
