"""Directions: the singular vectors of the encoder's Jacobian at one image."""

from dataclasses import replace

import streamlit as st
from numpy import ndarray

from jepa_core import images
from jepa_core.directions import Directions, directions_of
from jepa_core.figures.spectrum import energy_picture, signed_picture, spectrum_figure
from jepa_core.figures.style import CONFIG
from jepa_core.images import array_png
from jepa_core.jobs import Job, State
from jepa_core.scoring import known_rank
from pages._shared import pictures, state, widgets

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
dataset, table = chosen.dataset, chosen.table.reset_index(drop=True)
rank = known_rank(choice.spec, choice.output, state.store())

linked = st.query_params.get("image")
if linked and linked != st.session_state.get("linked"):  # a new link wins over where the slider was
    st.session_state["linked"] = linked
    found = table.index[table["digest"] == linked]
    if len(found):
        st.session_state["place"] = int(found[0]) + 1
    else:
        st.warning("The linked image is not among these; choose its dataset and class.", icon=":material/link_off:")
place = 1
if len(table) > 1:
    st.session_state["place"] = min(st.session_state.get("place", 1), len(table))
    place = st.slider("Image, from the least likely to the most likely", 1, len(table), key="place")
row = table.iloc[place - 1]


def compute(_job: Job) -> Directions:
    picture = images.decode(dataset.item(int(row["position"])).read(), name=row["name"]).image
    return directions_of(state.encoder(choice.spec.name), choice.output, picture, rank.rank)


key = f"directions:{choice.config.key}:{row['digest']}"
job = state.jobs().get(key)
if job is None or (not isinstance(job.result, Directions) and job.state in (State.DONE, State.CANCELLED)):
    job = state.jobs().submit(key, "Computing the directions", compute)

[card] = pictures.cards(choice, dataset, table.iloc[[place - 1]])
if job.active:
    pictures.grid([replace(card, link="")], large=True)
    widgets.watch(job)
    st.stop()
if job.state is State.FAILED:
    st.error(job.message, icon=":material/error:")
    st.stop()
found = job.result


def drawn(k: int, name: str, text: str, picture: ndarray) -> pictures.Card:
    return pictures.Card(
        source=pictures.data_address(array_png(picture, 320)),
        problem="",
        title=name,
        aside=(text,),
        alt=f"{name} of direction {k + 1}",
    )


k = (
    st.slider("Direction k", 1, len(found.sigma), 1, key="k", help="1 moves the embedding most, the last one least.")
    - 1
)
vector = found.right(k)
pictures.grid(
    [
        replace(card, link=""),
        drawn(k, "Change of the picture", "its sign is a convention", signed_picture(vector)),
        drawn(k, "Where it acts", "brighter is more", energy_picture(vector)),
    ],
    large=True,
)
st.markdown(
    f"**Direction {k + 1}**: a change of the normalised picture of length 1 moves the embedding by "
    f"**{found.sigma[k]:.3g}**; it adds {found.log_sigma(k):+.2f} to the score of {row['jepa_score']:.1f}."
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
count = len(found.sigma)
for title, ends in (
    ("Directions that it notices most", range(min(STRIP, count))),
    ("Directions that it notices least", range(max(0, count - STRIP), count)),
):
    st.subheader(title)
    pictures.grid(
        [
            drawn(end, f"k = {end + 1}", f"moves by {found.sigma[end]:.3g}", signed_picture(found.right(end)))
            for end in ends
        ]
    )
st.caption(f"Rank {rank.rank} of {choice.spec.outputs[choice.output]}: {rank.reason}.")
