"""Map: the images of a dataset where UMAP of their embeddings places them, with pictures of what one draws around."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from jepa_core.analysis import lasso, umap_cache
from jepa_core.analysis.umap import LEAST_POINTS
from jepa_core.analysis.umap_cache import Map
from jepa_core.figures.umap import CONFIG, umap_figure
from jepa_core.jobs import Job
from pages._shared import image_grid, jobs_ui, known_sets, layout, resources, score_tables, scoring_job, url_state
from pages._shared.choice import current_choice
from pages._shared.text import counted, escaped

COLOURS = {"percentile": "Score", "label": "Class", "domain": "Domain"}
PER_SHEET = 32

layout.header(
    "Map",
    "Which images lie together in the embedding, and where among them are the unlikely ones?",
    """**What you see.** An encoder turns an image into a list of many numbers, its *embedding*. UMAP draws all
embeddings on a flat map so that each image lies beside those that the encoder finds most like it. Colour the map by
score to see whether unlikely images lie together or everywhere.

**What a map can say.** Images that lie close together are mostly near in the embedding, too. A group that stands apart
is usually one for the encoder. Below the map it says how much of the neighbourhoods this very map has kept.

**What it cannot say.** Left, right, up and down mean nothing. Whether two far groups are *twice as far* as two others
means little, and so do the size of a group and how dense it looks: UMAP evens that out on purpose. Small gaps and
threads can be accidents; draw the map anew with another seed, and believe what stays.

**How to use it.** Click on a point to open its image; drag to move the map, and zoom with the wheel. Choose the lasso
or the box above the map to draw around images and see their pictures below, the least likely first; a double click
takes that back, and the arrows let you move and click again.

UMAP: [McInnes, Healy, Melville](https://arxiv.org/abs/1802.03426). How maps mislead, with pictures:
[Understanding UMAP](https://pair-code.github.io/understanding-umap/).""",
    picture="map",
)
choice = current_choice()
chosen = scoring_job.choose_scored_dataset(choice)
dataset = chosen.dataset
known_sets.open_all()
listed = known_sets.specs()
others = [name for name in listed if name != dataset.name and score_tables.scored(choice, listed[name])]
left, middle, right = st.columns([4, 3, 2], vertical_alignment="bottom")
titles = known_sets.titles()
with left:
    further = url_state.choose_all_named(
        "Further domains",
        {name: titles[name] for name in others},
        (),
        "further",
        "Whole sets that are drawn on the same map.",
        "None: this dataset alone",
    )
with middle:
    colour = url_state.choose_one("Colour", COLOURS, "percentile", "colour")
seed = right.number_input(
    "Seed",
    min_value=0,
    max_value=9999,
    key="seed",
    bind="query-params",
    help="Another seed draws the map anew. What changes with it is no fact about the images.",
)
if chosen.running:
    st.info("The map is drawn once these images are scored, or when you stop that.", icon=":material/hourglass_empty:")
    st.stop()

sets = {dataset.name: dataset} | {name: listed[name] for name in further}
tables = {name: score_tables.scores(choice, one) for name, one in sets.items()}
versions = [score_tables.version(choice, one) + one.fingerprint for one in sets.values()]


@st.cache_data(show_spinner=False, max_entries=8)
def _digests(versions: Sequence[str]) -> list[str]:  # noqa: ARG001
    return sorted({digest for table in tables.values() for digest in table["digest"]})


digests = _digests(versions)
if len(digests) < LEAST_POINTS:
    st.info(
        f"There are {counted(len(digests), 'different image')} here; a map needs at least {LEAST_POINTS}. "
        "Add a domain, or choose another dataset.",
        icon=":material/scatter_plot:",
    )
    st.stop()
key = umap_cache.map_key(choice.config.space, digests, seed)


def work(job: Job) -> Map | None:
    return umap_cache.make_map(resources.store(), choice.config.space, digests, seed, job.report, job.cancelled)


found = umap_cache.kept(key, digests)
if found is None:
    made = jobs_ui.job_result(f"map:{key}", f"Drawing a map of {counted(len(digests), 'image')}", work)
    assert isinstance(made, Map)
    found = made


@st.cache_data(show_spinner=False, max_entries=8)
def _table(versions: Sequence[str], key: str, label: str | None) -> pd.DataFrame:  # noqa: ARG001
    table = umap_cache.placed(found, tables, {name: one.title for name, one in sets.items()})
    of_others = table["set"] != dataset.name
    return table.assign(shown=True if label is None else (table["label"] == label) | of_others)


# Not copied for each run, as data would be: ten thousand points take longer to copy than to show.
@st.cache_resource(show_spinner=False, max_entries=8)
def _figure(versions: Sequence[str], key: str, label: str | None, colour: str, outlined: str) -> go.Figure:  # noqa: ARG001
    groups = umap_cache.common_first(table[colour].tolist()) if colour != "percentile" else ()
    return umap_figure(table, colour, dataset.title, groups, lasso.read(outlined))


table = _table(versions, key, chosen.label)


def on_selection() -> None:
    """What was drawn goes into the address; a single point is opened."""
    selection = st.session_state["map"]["selection"]
    drawn, point = lasso.area_of(selection), lasso.clicked(selection)
    st.session_state["sheet"] = 1
    if drawn:
        st.query_params["area"] = lasso.written(drawn)
    elif point is None:
        st.query_params.pop("area", None)
    elif 0 <= point < len(table):
        [card] = cards_of(table.iloc[[point]])
        if card.link:
            image_grid.open_link(card.link)
        else:
            st.toast(escaped(f"{card.alt}. Its picture is not here, so there is no more to see."))


def cards_of(rows: pd.DataFrame) -> list[image_grid.Card]:
    """Cards of images of several datasets, in the order of the rows."""
    made = {
        index: card
        for name, part in rows.groupby("set", sort=False)
        for index, card in zip(part.index, image_grid.cards(choice, sets[name], part), strict=True)
    }
    return [made[index] for index in rows.index]


area = lasso.read(st.query_params.get("area", ""))
live = st.session_state.get("map", {}).get("selection", {})
drawn_now = bool(live and (live["box"] or live["lasso"]))
st.plotly_chart(
    _figure(versions, key, chosen.label, colour, "" if drawn_now else lasso.written(area)),
    key="map",
    on_select=on_selection,
    config=CONFIG,
    alt=f"Map of {len(table)} images by UMAP, coloured by {COLOURS[colour].lower()}",
)
st.caption(
    escaped(
        f"{counted(len(table), 'image')}, encoder {choice.spec.name}, output {choice.output}. "
        f"{umap_cache.trust_in_words(found)} {score_tables.provenance_in_words(choice, dataset, chosen.scores)}"
    )
)
if not area:
    st.info(
        "Click on a point to open its image. With the lasso above the map, draw around some to see them here.",
        icon=":material/lasso_select:",
    )
    st.stop()
rows = umap_cache.selected(table[table["shown"]], area)
left, right = st.columns([5, 1], vertical_alignment="bottom")
left.header(f"{counted(len(rows), 'image')} selected" if len(rows) else "No image lies in this selection")
if right.button("Clear", icon=":material/close:", width="stretch"):
    st.query_params.pop("area", None)
    st.rerun()
if rows.empty:
    st.stop()
st.markdown(escaped(umap_cache.in_words(rows, dataset.title)))
sheets = -(-len(rows) // PER_SHEET)
sheet = st.pagination(sheets, key="sheet") if sheets > 1 else 1
image_grid.grid(
    cards_of(rows.iloc[(sheet - 1) * PER_SHEET : sheet * PER_SHEET]), key="selected", label="Selected on the map"
)
st.caption(
    escaped(f"The least likely first. Percentiles are among the {len(chosen.scores)} images of {dataset.title}.")
)
