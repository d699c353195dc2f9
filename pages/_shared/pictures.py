"""Pictures on a page: a grid with captions, alternative texts and links."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from jepa_core import images
from jepa_core.errors import JepaError
from jepa_core.figures.style import LIKELY, UNLIKELY
from jepa_core.items import DatasetSpec
from jepa_core.pictures import scored_crop
from jepa_core.records import Member
from pages._shared import state, widgets
from pages._shared.state import Choice
from pages._shared.text import percent_place

EDGES = {"likely": LIKELY, "unlikely": UNLIKELY}


@dataclass(frozen=True)
class Card:
    """One picture of a grid: a data address (or a sentence in its place), its caption, its link."""

    source: str
    problem: str
    title: str
    aside: tuple[str, ...]  # smaller lines below the title
    alt: str
    link: str = ""


def data_address(png: bytes) -> str:
    """A PNG as an address for an `img`."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


@st.cache_data(show_spinner=False, max_entries=4000)
def _shown_crop(transform: str, digest: str, _dataset: DatasetSpec, _member: Member) -> str:  # noqa: ARG001
    crop = scored_crop(state.store(), transform, _dataset, _member)
    return data_address(images.display_png(images.decode(crop).image, 160))


def cards(
    choice: Choice, dataset: DatasetSpec, rows: pd.DataFrame, label: str | None = None, *, places: bool = True
) -> list[Card]:
    """A card for each row of a score table that has a `percentile` column; each links to its directions.

    `label` is the class within which the percentiles are, and which the link opens; `places` shows the percentiles.
    """
    made = []
    many = len(dataset.labels()) > 1
    for row in rows.itertuples():
        member = Member(row.name, row.position, row.label, row.digest)
        source = problem = ""
        try:
            source = _shown_crop(choice.config.transform, row.digest, dataset, member)
        except JepaError as error:
            problem = f"not bundled: {row.digest[:8]}" if dataset.listed else str(error)
        place = percent_place(row.percentile)
        score = f"≈ {row.jepa_score:.1f}" if row.estimated else f"{row.jepa_score:.1f}"
        interval = (f"{row.low:.1f} to {row.high:.1f}",) if row.estimated else ()
        query = urlencode(
            {"encoder": choice.spec.name, "output": choice.output, "image": row.digest}
            | {"method": choice.way.method, "precision": choice.way.precision}  # else the page would score all anew
            | widgets.address_of(dataset)
            | ({"class": label} if label else {})
        )
        made.append(
            Card(
                source=source,
                problem=problem,
                title=score,
                aside=(*interval, *([place] if places else []), *([f"class {row.label}"] if many else [])),
                alt=f"{row.name}, class {row.label}: score {score}, {place}",
                link="" if dataset.listed else f"directions?{query}",
            )
        )
    return made


def grid(
    shown: Sequence[Card], end: str = "", *, large: bool = False, five: bool = False, new_tab: bool = False
) -> None:
    """Draw cards side by side, as many in a row as fit, or five; `end` ("likely", "unlikely") colours their edge."""
    figures = []
    target = "_blank" if new_tab else "_self"
    for card in shown:
        if card.source:
            picture = f'<img src="{card.source}" alt="{html.escape(card.alt)}" loading="lazy">'
        else:
            picture = f'<div class="jepa-gone" role="note">{html.escape(card.problem)}</div>'
        if card.link:
            picture = (
                f'<a href="{html.escape(card.link)}" target="{target}" title="Look at its directions">{picture}</a>'
            )
        lines = "".join(f'<span class="aside">{html.escape(line)}</span>' for line in card.aside)
        figures.append(
            f'<figure>{picture}<figcaption><span class="title">{html.escape(card.title)}</span>'
            f"{lines}</figcaption></figure>"
        )
    style = f' style="--edge: {EDGES[end]}"' if end else ""
    st.html(
        f'<div class="jepa-row"><div class="jepa-grid{" large" if large else " five" if five else ""}"{style}>'
        f"{''.join(figures)}</div></div>"
    )
