"""Tags of images: kept in the store at home; on a server for visitors in the session of each, seen by nobody else."""

from collections.abc import Iterable

import pandas as pd
import streamlit as st

from jepa_core.config import hosted
from jepa_core.store import tags
from pages._shared import resources


def of(dataset: str) -> dict[str, tuple[str, ...]]:
    """The tags of a dataset's images by digest."""
    return _session().get(dataset, {}) if hosted() else tags.of(resources.store(), dataset)


def add(dataset: str, digests: Iterable[str], tag: str) -> None:
    """Tag images. Raises `JepaError` for what is no tag."""
    if not hosted():
        tags.add(resources.store(), dataset, digests, tag)
        return
    tag, mine = tags.check(tag), _session().setdefault(dataset, {})
    for digest in digests:
        mine[digest] = tuple(sorted({*mine.get(digest, ()), tag}))


def remove(dataset: str, digests: Iterable[str], tag: str) -> None:
    """Take a tag from images."""
    if not hosted():
        tags.remove(resources.store(), dataset, digests, tag)
        return
    mine = _session().get(dataset, {})
    for digest in digests:
        left = tuple(one for one in mine.get(digest, ()) if one != tag)
        if left:
            mine[digest] = left
        else:
            mine.pop(digest, None)


def _session() -> dict[str, dict[str, tuple[str, ...]]]:
    return st.session_state.setdefault("tags", {})


def with_tags(table: pd.DataFrame) -> pd.DataFrame:
    """A table of images (dataset, digest) with their tags as a column, several with commas between them."""
    known = {name: of(name) for name in table["dataset"].unique()}
    words = [
        ", ".join(known[name].get(digest, ())) for name, digest in zip(table["dataset"], table["digest"], strict=True)
    ]
    return table.assign(tags=words)
