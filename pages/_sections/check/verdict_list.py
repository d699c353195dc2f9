"""Verdicts on a page: one strong line for a picture, and a list of many to choose from.

A verdict is told by its words and by the shape of its sign; colour only repeats it.
"""

import html
from collections.abc import Mapping
from urllib.parse import quote

import streamlit as st

from jepa_core.check.evidence import Checked
from jepa_core.check.verdict import VerdictKind
from jepa_core.config import ASSETS
from jepa_core.datasets.uploads import Uploads
from jepa_core.figures.style import LIKELY, NEUTRAL, UNLIKELY
from pages._shared.text import percentile_in_words

_COLOURS = {
    VerdictKind.OUT_OF_DISTRIBUTION: UNLIKELY,
    VerdictKind.DISTURBED: "#b5852b",
    VerdictKind.REVIEW: "#8a78d6",
    VerdictKind.IN_DISTRIBUTION: LIKELY,
    VerdictKind.UNKNOWN: NEUTRAL,
}
_SHAPES = {
    VerdictKind.OUT_OF_DISTRIBUTION: '<path d="M12 2 23 21H1z"/><path class="in" d="M12 9v5m0 3v.5"/>',
    VerdictKind.DISTURBED: '<path d="M12 1 22 7v10l-10 6L2 17V7z"/><path class="in" d="M6 12q3-5 6 0t6 0"/>',
    VerdictKind.REVIEW: '<path d="M12 1 23 12 12 23 1 12z"/>'
    '<path class="in" d="M9.5 9.5a2.5 2.5 0 1 1 2.5 3v1.5m0 3v.5"/>',
    VerdictKind.IN_DISTRIBUTION: '<circle cx="12" cy="12" r="11"/><path class="in" d="m7 12.5 3.5 3.5L17 9"/>',
    VerdictKind.UNKNOWN: '<rect x="1" y="1" width="22" height="22" rx="3"/><path class="in" d="M7 12h10"/>',
}
_MEANINGS = {
    VerdictKind.OUT_OF_DISTRIBUTION: "it is unlike the references, and unlike them disturbed.",
    VerdictKind.DISTURBED: "it looks like one of them made dark, blurred, put in a border, and so on.",
    VerdictKind.REVIEW: "only its score is unusual, which simple pictures have as well.",
    VerdictKind.IN_DISTRIBUTION: "all methods find it like the references, which is no proof.",
    VerdictKind.UNKNOWN: "too little is known of the references.",
}
_LIST = st.components.v2.component(
    "verdicts",
    html='<ul class="all" aria-label="The checked pictures, the most unusual first"></ul>\n',
    css=(ASSETS / "verdicts.css").read_text(encoding="utf-8"),
    js=(ASSETS / "verdicts.js").read_text(encoding="utf-8"),
)


def _sign(kind: VerdictKind) -> str:
    """The address of a drawing, since pages take no `svg`; its words stand beside it."""
    shape = _SHAPES[kind].replace(
        'class="in"', 'fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round" stroke-linejoin="round"'
    )
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="{_COLOURS[kind]}">{shape}</svg>'
    return f"data:image/svg+xml,{quote(drawing)}"


def banner(item: Checked, source: str) -> None:
    """The picture as it was scored, and the verdict on it in one line; `source` is an address for an `img`."""
    kind = item.verdict.kind
    st.html(
        f'<div class="jepa-verdict" style="--mark: {_COLOURS[kind]}">'
        f'<img src="{source}" alt="The part of {html.escape(item.name)} that was scored">'
        f'<div><p class="kind"><img class="sign" src="{_sign(kind)}" alt="">{html.escape(str(kind))}</p>'
        f"<p>{html.escape(item.verdict.headline)}</p>"
        f'<p class="name">{html.escape(item.name)}</p></div></div>'
    )


def legend() -> None:
    """What the verdicts mean, for who has no picture here yet."""
    lines = "".join(
        f'<li><img class="sign" src="{_sign(kind)}" alt=""><span><b>{html.escape(str(kind))}</b>: {meaning}</span></li>'
        for kind, meaning in _MEANINGS.items()
    )
    st.html(f'<ul class="jepa-legend" aria-label="What a verdict can be">{lines}</ul>')


def choose(items: Mapping[int, tuple[Checked, str]], held: Uploads, key: str) -> None:
    """Draw a list of verdicts, each with the address of a thumbnail; the one that is clicked becomes `held.chosen`."""

    def take() -> None:
        if (clicked := st.session_state[key].chosen) is not None:
            held.chosen = clicked

    _LIST(
        key=key,
        data={
            "chosen": held.chosen,
            "items": [
                {
                    "id": place,
                    "source": source,
                    "kind": str(item.verdict.kind),
                    "colour": _COLOURS[item.verdict.kind],
                    "icon": _sign(item.verdict.kind),
                    "name": item.name,
                    "place": percentile_in_words(item.places["jepa"].percentile) if "jepa" in item.places else "",
                }
                for place, (item, source) in items.items()
            ],
        },
        on_chosen_change=take,
    )
