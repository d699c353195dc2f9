"""Two encoders' orders beside each other: rank against rank, the selected images, those that are disputed most."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
import streamlit as st

from jepa_core.analysis import paper_figures
from jepa_core.analysis.agreement import SHARE, Agreement, in_words
from jepa_core.analysis.ranking import Comparison, agreements, disputed, most_apart_first, pair_table
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.errors import NotEnoughData
from jepa_core.figures.agreement import agreement_figure
from jepa_core.figures.rank_scatter import SELECTABLE, rank_scatter_figure, selected_rows
from jepa_core.figures.style import CONFIG
from jepa_core.keys import make_key
from jepa_core.wording import per_cent, percentile, with_interval
from pages._shared import extremes, figure_cache, image_grid, score_tables, url_state
from pages._shared.choice import Choice
from pages._shared.errors import fragment
from pages._shared.text import counted, escaped

_SHOWN = 24  # selected pictures
_HEIGHT = 460  # px, of the figure and of the pictures beside it
_SHARES = (1, 2, 5, 10, 20)  # per cent
_DEFAULT = f"{100 * SHARE:.0f}"


@st.cache_data(show_spinner=False, max_entries=64)
def _agreements(version: str, share: float, _found: Comparison) -> dict[tuple[str, str], Agreement]:  # noqa: ARG001
    return agreements(_found, share)


def share_option() -> list[str]:
    """The chosen share of an end as the terminal's option; nothing where it is the default."""
    chosen = st.session_state.get("share", _DEFAULT)
    return [] if chosen == _DEFAULT else ["--share", chosen]


@fragment
def show(
    choices: Mapping[str, Choice], dataset: DatasetSpec, label: str | None, found: Comparison, version: str
) -> None:
    """Everything about one pair of the encoders (by name), and how much all of them agree.

    `version` changes with what is compared.
    """
    image_grid.follow_from_fragment()
    left, right = st.columns(2, vertical_alignment="bottom")
    pair = found.pairs[0]
    if len(found.pairs) > 1:
        options = {",".join(one): escaped(" and ".join(one)) for one in found.pairs}
        with left:
            first, second = url_state.choose_one("Pair", options, ",".join(pair), "pair").split(",")
            pair = first, second
    shares = {str(share): f"{share} %" for share in _SHARES if share * len(found.images) >= 100}
    share = SHARE
    if _DEFAULT in shares:
        with right if len(found.pairs) > 1 else left:
            tip = "How many of the images count as the least likely, and as the most likely."
            share = int(url_state.choose_one("Images at each end", shares, _DEFAULT, "share", tip)) / 100
    shared = {}
    try:
        shared = _agreements(version, share, found)
        st.markdown(escaped(in_words(shared[pair], *pair)))
    except NotEnoughData as error:
        st.info(escaped(str(error)), icon=":material/info:")
    _ranks(choices, dataset, label, found, pair, version)
    _most_disputed(choices, dataset, label, found, pair, version)
    if shared:
        _all_pairs(shared)


@fragment
def _ranks(
    choices: Mapping[str, Choice],
    dataset: DatasetSpec,
    label: str | None,
    found: Comparison,
    pair: tuple[str, str],
    version: str,
) -> None:
    """Rank against rank, and the pictures of the points that are selected."""
    image_grid.follow_from_fragment()
    apart = _apart(version, pair, found)
    labels = found.images["label"]
    names = [f"{name}, {dataset.class_title(of)}" for name, of in zip(found.images["name"], labels, strict=True)]
    first, second = (found.percentiles[name].to_numpy() for name in pair)
    marked = {name: apart.index[apart["likelier"] == name].tolist() for name in pair}
    figure, beside = st.columns(2)
    with figure:
        event = st.plotly_chart(
            figure_cache.cached_figure(
                lambda: rank_scatter_figure(first, second, pair, names, marked, drag=not _is_phone()),
                *("ranks", version, *pair, _is_phone()),
            ),
            key=make_key("ranks", version, *pair),  # another figure is another selection
            config=SELECTABLE,
            on_select="rerun",
            selection_mode=("box", "lasso"),
            alt=f"{len(names)} images at their percentiles by {pair[0]} and by {pair[1]}",
        )
    rows = selected_rows(event["selection"]["points"], len(names))
    with beside, st.container(height=_HEIGHT if rows else "content", border=False):
        if not rows:
            st.markdown(
                "**Draw a line around points** to see their pictures here. Bottom left are images that both find "
                "unlikely, top right those that both find likely. Far from the dotted line the two disagree."
            )
            return
        rows = most_apart_first(found, *pair, rows)
        more = f"; the {_SHOWN} that are disputed most are shown" if len(rows) > _SHOWN else ""
        st.markdown(f"**{counted(len(rows), 'image')} selected**{more}")
        image_grid.grid(
            cards(choices, dataset, label, found, pair, rows[:_SHOWN]), key="selected", label="Selected images"
        )


def _is_phone() -> bool:
    return "Mobi" in (st.context.headers.get("User-Agent") or "")


# Kept as they are, as in `score_tables`: nobody may change them.
@st.cache_resource(show_spinner=False, max_entries=16)
def _by_digest(version: str, fingerprint: str, _dataset: DatasetSpec, _choice: Choice) -> pd.DataFrame:  # noqa: ARG001
    return score_tables.scores(_choice, _dataset).drop_duplicates("digest").set_index("digest", drop=False)


@st.cache_resource(show_spinner=False, max_entries=32)
def _apart(version: str, pair: tuple[str, str], _found: Comparison) -> pd.DataFrame:  # noqa: ARG001
    return disputed(_found, *pair)


def cards(
    choices: Mapping[str, Choice],
    dataset: DatasetSpec,
    label: str | None,
    found: Comparison,
    encoders: Sequence[str],
    rows: Sequence[int],
) -> list[image_grid.Card]:
    """Cards of rows of a comparison with their percentiles by `encoders` instead of a score; they link to the first."""
    choice = choices[encoders[0]]
    places = found.percentiles.iloc[list(rows)]
    digests = found.images["digest"].iloc[list(rows)]
    table = _by_digest(score_tables.version(choice, dataset), dataset.fingerprint, dataset, choice).loc[digests]
    table = table.assign(percentile=places[encoders[0]].to_numpy())
    several = len(dataset.labels()) > 1
    made = []
    for card, image, at in zip(
        image_grid.cards(choice, dataset, table, label, places=False),
        table.itertuples(),
        places.to_dict("records"),
        strict=True,
    ):
        lines = [f"{percentile(at[name])} · {name}" for name in encoders]
        made.append(
            replace(
                card,
                title=lines[0],
                aside=(*lines[1:], *([dataset.class_title(image.label)] if several else [])),
                alt=f"{image.name}, {dataset.class_title(image.label)}: percentile "
                + ", ".join(f"{percentile(at[name])} by {name}" for name in encoders),
            )
        )
    return made


def _most_disputed(
    choices: Mapping[str, Choice],
    dataset: DatasetSpec,
    label: str | None,
    found: Comparison,
    pair: tuple[str, str],
    version: str,
) -> None:
    """The images that they disagree on most, both ways."""
    st.header("Most disputed")
    apart = _apart(version, pair, found)
    st.markdown("The largest differences of percentiles; both stand below each picture.")
    ways = (("◆", *pair), ("■", *reversed(pair)))  # the symbols of the figure
    for column, (symbol, likelier, other) in zip(st.columns(2), ways, strict=True):
        rows = apart.index[apart["likelier"] == likelier].tolist()
        with column:
            st.caption(escaped(f"{symbol} Likely for {likelier}, unlikely for {other}"))
            if rows:
                made = cards(choices, dataset, label, found, pair, rows)
                image_grid.grid(made, key=f"disputed:{symbol}", label=f"Likely for {likelier}", five=True)
            else:
                st.markdown("None: no image is placed higher.")


def _all_pairs(shared: Mapping[tuple[str, str], Agreement]) -> None:
    """The overlaps of every pair as a figure, the figures in a table."""
    st.header("How much do they agree?")
    st.plotly_chart(
        agreement_figure({" and ".join(pair): one for pair, one in shared.items()}),
        config=CONFIG,
        alt="; ".join(in_words(one, *pair) for pair, one in shared.items()),
    )
    table = pair_table(shared)
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    st.dataframe(
        pd.DataFrame(
            {
                "pair": table["first"] + " and " + table["second"],
                "spearman": [
                    with_interval(row.spearman, row.spearman_low, row.spearman_high) for row in table.itertuples()
                ],
                "least": 100 * table["least"],
                "most": 100 * table["most"],
                "chance": [
                    f"{per_cent(row.chance)} ({100 * row.chance_low:.0f} to {100 * row.chance_high:.0f})"
                    for row in table.itertuples()
                ],
            }
        ),
        hide_index=True,
        height="content",
        placeholder="-",
        column_config={
            "pair": text("Pair", pinned=True),
            "spearman": text("Spearman's rho"),
            "least": number("Least likely in common", format="%.0f %%"),
            "most": number("Most likely in common", format="%.0f %%"),
            "chance": text("By chance"),
        },
    )


def show_ends(choices: Mapping[str, Choice], dataset: DatasetSpec, label: str | None, found: Comparison) -> None:
    """The paper's figure 1: the ends of each encoder's order, with the places that the others give them."""
    st.header("The ends, encoder by encoder")
    st.markdown("The paper's figure 1. Below each picture stand its percentiles: do the others agree?")
    for name in found.percentiles:
        others = [other for other in found.percentiles if other != name]
        ends = paper_figures.ends(found.percentiles.sort_values(name, kind="stable"))
        st.markdown(f"**{escaped(f'{name}, {choices[name].output}')}**")
        rows = ends[0].index, ends[1].index[::-1]
        made = [cards(choices, dataset, label, found, (name, *others), end.tolist()) for end in rows]
        extremes.show(*made, len(found.images), key=f"ends:{name}")
