"""Directions: the singular vectors of the encoder's Jacobian at one image."""

from dataclasses import replace

import streamlit as st
from numpy import ndarray

from jepa_core import images
from jepa_core.directions import Directions, directions_of
from jepa_core.figures.spectrum import energy_picture, signed_picture, spectrum_figure
from jepa_core.figures.style import CONFIG
from jepa_core.images import array_png
from jepa_core.jobs import Job
from jepa_core.pictures import read_member
from jepa_core.records import Member
from jepa_core.scoring import current_rank
from pages._shared import pictures, state, widgets
from pages._shared.text import plain

STRIP = 8  # directions shown of each end

widgets.header(
    "Directions",
    "Which changes of an image does the encoder notice most, and which hardly at all?",
    """**What you see.** At one image, the encoder's Jacobian says how the embedding answers to each small change of the
picture. Its singular values sort those changes: direction 1 is the change that moves the embedding most, the last one
is the change that it notices least. The JEPA-SCORE is the sum of the logarithms of these values.

**Change of the picture**: in blue places it gets lighter, in orange ones darker (colour pictures show the change in
colour); the whole direction may as well be reversed, its sign is fixed by convention only. **Where it acts** shows the
same without sign.

When two singular values are nearly equal, their two directions can be mixed freely; the page says so.""",
)
choice = state.choice()
chosen = widgets.choose_scored(choice)
if chosen.dataset.listed:
    st.info("Directions need the picture itself: choose a dataset whose pictures are here.", icon=":material/explore:")
    st.stop()
dataset, table = chosen.dataset, chosen.table.reset_index(drop=True)
rank = current_rank(choice.spec, choice.output, state.store())


def moved() -> None:
    st.query_params.pop("image", None)  # from now on the slider says which image, also in the address


linked = st.query_params.get("image")
if linked:
    found = table.index[table["digest"] == linked]
    if len(found):
        st.session_state["place"] = int(found[0]) + 1
    else:
        st.warning("The linked image is not among these; choose its dataset and class.", icon=":material/link_off:")
place = 1
if len(table) > 1:
    if st.session_state.get("place", 1) > len(table):
        st.session_state["place"] = len(table)
    place = st.slider(
        "Image, from the least likely to the most likely",
        1,
        len(table),
        key="place",
        bind="query-params",
        on_change=moved,
    )
row = table.iloc[place - 1]


def compute(_job: Job) -> Directions:
    member = Member(row["name"], int(row["position"]), row["label"], row["digest"])
    picture = images.decode(read_member(dataset, member), name=member.name).image
    return directions_of(state.encoder(choice.spec.name), choice.output, picture, rank.rank)


key = f"directions:{choice.config.key}:{rank.rank}:{row['digest']}"
[card] = pictures.cards(choice, dataset, table.iloc[[place - 1]], chosen.label)
waiting = st.empty()
with waiting.container():
    pictures.grid([replace(card, link="")], key="waiting", large=True)
found = widgets.computed(key, "Computing the directions", compute)
waiting.empty()


def drawn(k: int, name: str, text: str, picture: ndarray) -> pictures.Card:
    return pictures.Card(
        source=pictures.data_address(array_png(picture, 320)),
        problem="",
        title=name,
        aside=(text,),
        alt=f"{name} of direction {k + 1}",
    )


count = len(found.sigma)
k = 0
if count > 1:
    if st.session_state.get("k", 1) > count:
        st.session_state["k"] = count
    text = "1 moves the embedding most, the last one least."
    k = st.slider("Direction k", 1, count, key="k", bind="query-params", help=text) - 1
vector = found.right(k)
pictures.grid(
    [
        replace(card, link=""),
        drawn(k, "Change of the picture", "its sign is a convention", signed_picture(vector)),
        drawn(k, "Where it acts", "brighter is more", energy_picture(vector)),
    ],
    key="direction",
    large=True,
)
st.markdown(
    f"**Direction {k + 1}**: a change of the normalised picture of length 1 moves the embedding by "
    f"**{found.sigma[k]:.3g}**; it adds {found.log_sigma(k):+.2f} to the score of "
    f"{'about ' if row['estimated'] else ''}{row['jepa_score']:.1f}."
)
near = found.near_equal(k)
if near:
    names = " and ".join(str(other + 1) for other in near)
    st.info(
        f"Its singular value is within 2 % of that of direction {names}. Only the plane that they span is defined, not "
        "each picture by itself.",
        icon=":material/sync_alt:",
    )
st.plotly_chart(
    spectrum_figure(found.sigma, len(found.sigma), k),
    config=CONFIG,
    alt=f"Singular values from {found.sigma[0]:.3g} to {found.sigma[-1]:.3g} on a log axis",
)
strips = {"All directions, from the most to the least noticed": range(count)}
if count > 2 * STRIP:
    strips = {
        "Directions that it notices most": range(STRIP),
        "Directions that it notices least": range(count - STRIP, count),
    }
for number, (title, ends) in enumerate(strips.items()):
    st.subheader(title)
    pictures.grid(
        [
            drawn(end, f"k = {end + 1}", f"moves by {found.sigma[end]:.3g}", signed_picture(found.right(end)))
            for end in ends
        ],
        key=f"strip:{number}",
    )
st.caption(
    f"Rank {rank.rank} of {choice.spec.outputs[choice.output]}: {rank.reason}. "
    f"{plain(state.how(choice, dataset, table))} The directions are computed in float32."
)
