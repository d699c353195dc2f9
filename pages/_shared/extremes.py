"""A row of the paper's figure 1: the least and the most likely images by one encoder, side by side."""

from collections.abc import Sequence

import streamlit as st

from pages._shared import image_grid


def show(least: Sequence[image_grid.Card], most: Sequence[image_grid.Card], images: int, *, key: str) -> None:
    """The cards of both ends of so many images, each end from the outside in; `key` is the row's own on its page."""
    ends = (("Least likely", least, "unlikely"), ("Most likely", most, "likely"))
    for column, (title, cards, end) in zip(st.columns(2), ends, strict=True):
        with column:
            st.caption(f"{title} of {images}")
            image_grid.grid(cards, end, key=f"{key}:{end}", label=title, five=True)
