"""The picture as it was given: to show, to enlarge, and what its file says."""

from dataclasses import dataclass

import streamlit as st

from jepa_core import images
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.store.crops import read_member
from jepa_core.store.records import Member
from pages._shared.image_grid import data_address
from pages._shared.text import escaped

SHOWN, ENLARGED = 320, 1600  # pixels


@dataclass(frozen=True)
class Original:
    """A small version of a picture as an address, and what is known of its file."""

    source: str
    width: int
    height: int
    format: str
    size: int  # bytes
    notes: tuple[str, ...]


@st.cache_data(show_spinner=False, max_entries=256)
def _read(digest: str, _dataset: DatasetSpec, _member: Member) -> Original:  # noqa: ARG001
    data = read_member(_dataset, _member)
    found = images.decode(data, name=_member.name)
    png = images.display_png(found.image, SHOWN)
    return Original(data_address(png), found.width, found.height, found.format, len(data), found.notes)


def read(dataset: DatasetSpec, member: Member) -> Original:
    """A dataset's picture as it was given; `JepaError` where it cannot be read, or is not the one that was scored."""
    return _read(member.digest, dataset, member)


@st.dialog("The original", width="large")
def enlarge(dataset: DatasetSpec, member: Member) -> None:
    """The picture as large as the window allows, small ones with square pixels."""
    found = images.decode(read_member(dataset, member), name=member.name)
    png = images.display_png(found.image, ENLARGED)
    st.image(png, caption=escaped(f"{member.name}, {found.width} x {found.height} px"), width="stretch")
