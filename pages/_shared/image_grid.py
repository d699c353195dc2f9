"""Pictures on a page: a grid of cards with captions, alternative texts and links, and the selection of images."""

import base64
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from urllib.parse import parse_qsl, urlencode

import pandas as pd
import streamlit as st

from jepa_core.config import ASSETS
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.errors import JepaError
from jepa_core.figures.style import LIKELY, UNLIKELY
from jepa_core.store.crops import thumbnails
from jepa_core.store.records import Member
from pages._shared import dataset_picker, resources, url_state
from pages._shared.choice import Choice
from pages._shared.text import counted, escaped, percentile_in_words

EDGES = {"": "", "likely": LIKELY, "unlikely": UNLIKELY}
_LONGEST_NAME = 20  # letters of a file's name below its picture
_THUMBNAILS_KEPT = 4000  # thumbnails of a few kilobytes
# The page of one image, which a click on a card opens.
IMAGE_PAGE = "image"

# Its styles are a part of assets/theme.css, so that they are on the page before the first grid is.
_component = st.components.v2.component(
    "jepa_grid",
    html='<div class="jepa-row"></div>',
    js=(ASSETS / "grid.js").read_text(encoding="utf-8"),
    isolate_styles=False,
)


@dataclass(frozen=True)
class Card:
    """One picture of a grid: a data address (or a sentence in its place), its caption, its link.

    An image of a dataset has its digest as `id` and the dataset's name as `set`, and can be picked.
    """

    source: str
    problem: str
    title: str
    aside: tuple[str, ...]  # smaller lines below the title
    alt: str
    link: str = ""
    badge: str = ""  # on the picture
    id: str = ""
    set: str = ""
    absent: str = ""  # the class of an image whose picture is not here: it is told in words, and not drawn


def data_address(picture: bytes) -> str:
    """A PNG or WebP as an address for an `img`."""
    kind = "png" if picture.startswith(b"\x89PNG") else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


@st.cache_resource(show_spinner=False)
def _addresses() -> OrderedDict[tuple[str, str], str]:
    """The thumbnails seen last, of all sessions: (transform, digest) -> data address."""
    return OrderedDict()


def _picture_addresses(choice: Choice, dataset: DatasetSpec, members: Sequence[Member]) -> dict[str, str | JepaError]:
    """The data address of each image's picture, or why it has none, by digest."""
    transform, known = choice.config.transform, _addresses()
    shown: dict[str, str | JepaError] = {
        member.digest: known[transform, member.digest] for member in members if (transform, member.digest) in known
    }
    missing = [member for member in members if member.digest not in shown]
    if missing:
        for digest, found in thumbnails(resources.store(), transform, dataset, missing).items():
            shown[digest] = found if isinstance(found, JepaError) else data_address(found)
    for digest, found in shown.items():
        if isinstance(found, str):
            known[transform, digest] = found
            known.move_to_end((transform, digest))
    while len(known) > _THUMBNAILS_KEPT:
        known.popitem(last=False)
    return shown


def _file(name: str) -> str:
    """The end of a file's name, by which a person knows it again."""
    last = name.rpartition("/")[2]
    return last if len(last) <= _LONGEST_NAME else f"…{last[-_LONGEST_NAME + 1 :]}"


def cards(
    choice: Choice, dataset: DatasetSpec, rows: pd.DataFrame, label: str | None = None, *, places: bool = True
) -> list[Card]:
    """A card for each row of a score table that has a `percentile` column; each links to the page of its image.

    `label` is the class within which the percentiles are, and which the link opens; `places` shows the percentiles.
    """
    made = []
    many = len(dataset.labels()) > 1
    shared = {"encoder": choice.spec.name, "output": choice.output}
    method = choice.method  # in the address, else the page would score all anew
    shared |= {"method": method.title_key, "precision": method.precision}
    shared |= dataset_picker.address_of(dataset) | ({"class": label} if label else {})
    members = [Member(row.name, row.position, row.label, row.digest) for row in rows.itertuples()]
    shown = {} if dataset.listed else _picture_addresses(choice, dataset, members)
    for row in rows.itertuples():
        source, problem, of = shown.get(row.digest, ""), "", dataset.class_title(row.label)
        if not isinstance(source, str):
            source, problem = "", str(source)
        place = percentile_in_words(row.percentile)
        score = f"≈ {row.jepa_score:.1f}" if row.estimated else f"{row.jepa_score:.1f}"
        interval = (f"{row.low:.1f} to {row.high:.1f}",) if row.estimated else ()
        query = urlencode(shared | {"image": row.digest})
        made.append(
            Card(
                source=source,
                problem=problem,
                title=score,
                aside=(*interval, *([of] if many else []), *([_file(row.name)] if dataset.source == "folder" else [])),
                alt=f"{row.name}, {of}: score {score}, {place}",
                link=f"{IMAGE_PAGE}?{query}",
                badge=place.replace("percentile ", "P") if places else "",
                id=row.digest,
                set=dataset.name,
                absent=of if dataset.listed else "",
            )
        )
    return made


def grid(
    shown: Sequence[Card],
    end: str = "",
    *,
    key: str,
    label: str = "Pictures",
    large: bool = False,
    five: bool = False,
    layout: str = "",
    new_tab: bool = False,
) -> None:
    """Draw cards side by side: as many in a row as fit, five, or as the `layout` "pairs" or "reasons" says.

    `end` ("likely", "unlikely") colours their edge, `key` names the grid, and no other of its page, and `label` says to
    a screen reader what is in it. A click opens a card's link inside the app (or in a new tab); arrow keys move between
    cards, x and space pick one.
    """
    chosen = picked()
    if absent := Counter(card.absent for card in shown if card.absent):
        classes = ", ".join(f"{count} of {of}" for of, count in absent.most_common())
        st.markdown(escaped(f"{counted(absent.total(), 'image')} whose pictures are not here: {classes}."))
        shown = [card for card in shown if not card.absent]
    if absent and not shown:
        return
    _component(
        key=f"grid:{key}",
        data={
            "cards": [asdict(card) | {"picked": card.id in chosen} for card in shown],
            "layout": "large" if large else "five" if five else layout,
            "edge": EDGES[end],
            "label": label,
            "new_tab": new_tab,
        },
        on_opened_change=partial(_open, f"grid:{key}"),
        on_picked_change=partial(_pick, f"grid:{key}"),
    )


def picked() -> dict[str, str]:
    """The selection, in the order of picking: digest -> name of the dataset that the image was picked from."""
    return st.session_state.setdefault("picked", {})


def _pick(key: str) -> None:
    for said in st.session_state[key].get("picked") or []:
        if said["on"]:
            picked()[str(said["id"])] = str(said["set"])
        else:
            picked().pop(str(said["id"]), None)


def _open(key: str) -> None:
    link = st.session_state[key].get("opened")
    if link:
        open_link(str(link))


def open_link(link: str) -> None:
    """Have `follow_clicked_link` open a card's link.

    To be called by a widget's callback, before the widgets of the next run are there.
    """
    name, _, query = link.partition("?")
    values = dict(parse_qsl(query))
    for bound in url_state.SIDEBAR_KEYS & set(values):  # Streamlit puts these into the address by itself
        st.session_state[bound] = st.session_state[f"kept:{bound}"] = values.pop(bound)
    # What the page before had chosen stands for nothing now, also if it is the same page.
    for kept in url_state.KEPT_KEYS:
        st.session_state.pop(f"kept:{kept}", None)
        st.session_state.pop(f"page:{kept}", None)
    st.session_state["opened"] = (name, values)


def follow_clicked_link() -> None:
    """Go to the page of the card that was clicked, as its link would, but without loading the app anew.

    To be called before the page that has the card runs again, which would take the time that the other one needs, and
    after the widgets of all pages, whose values Streamlit forgets when a run ends without them.
    """
    if "opened" in st.session_state:
        name, values = st.session_state.pop("opened")
        st.switch_page(f"pages/{name}.py", query_params=values)


def follow_from_fragment() -> None:
    """The same for a card in a fragment, to be called first in it: a click there runs nothing but the fragment."""
    if "opened" in st.session_state:
        st.rerun()
