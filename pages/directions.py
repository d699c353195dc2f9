"""Directions: the singular vectors of the encoder's Jacobian at one image, and walks along them."""

from dataclasses import replace

import pandas as pd
import streamlit as st
from numpy import ndarray

from jepa_core.explain.directions import Directions, largest, left_in_words
from jepa_core.figures.singular_vectors import energy_picture, left_vector_figure, singular_vector_picture
from jepa_core.figures.spectrum import spectrum_figure
from jepa_core.figures.style import CONFIG
from jepa_core.images import array_png
from pages._sections.directions import walk
from pages._shared import image_grid, jacobian_jobs, layout, reference_sets, score_tables, scoring_job, url_state
from pages._shared.choice import current_choice
from pages._shared.errors import fragment
from pages._shared.text import escaped, percentile_in_words

STRIP_LENGTH = 8  # directions shown of each end

layout.header(
    "Directions",
    "Which changes of an image does the encoder notice most, and which hardly at all?",
    """**What you see.** At one image, the encoder's Jacobian says how the embedding answers to each small change of the
picture. Its singular values sort those changes: direction 1 is the change that moves the embedding most, the last one
is the change that it notices least. The JEPA-SCORE is the sum of the logarithms of these values.

**Change of the picture** (the right singular vector): in blue places it gets lighter, in orange ones darker (colour
pictures show the change in colour); the whole direction may as well be reversed, its sign is fixed by convention only.
**Where it acts** shows the same without sign. **The embedding's answer** (the left singular vector) says which of the
embedding's numbers move.

**Walk.** The direction is added to the picture, a little or a lot, and the result is scored. A direction is a tangent:
it holds for small steps, and the walk shows how far. A random change of the same length is shown beside it, which an
encoder should notice less than the first directions and more than the last.

When two singular values are nearly equal, their two directions can be mixed freely; the page says so.""",
    picture="directions",
)
choice = current_choice()
chosen = scoring_job.choose_scored_dataset(choice)
if chosen.dataset.listed:
    st.info("Directions need the picture itself: choose a dataset whose pictures are here.", icon=":material/explore:")
    st.stop()
dataset, table = chosen.dataset, chosen.ranked.reset_index(drop=True)


def forget_link() -> None:
    st.query_params.pop("image", None)  # from now on the slider says which image, also in the address


def choose_row() -> int:
    """The image's place by score, from 0: by the address's digest, else by the slider."""
    linked = st.query_params.get("image")
    if linked:
        found = table.index[table["digest"] == linked]
        if len(found):
            st.session_state["place"] = int(found[0]) + 1
        else:
            st.warning("The linked image is not among these; choose its dataset and class.", icon=":material/link_off:")
    if len(table) == 1:
        return 0
    if st.session_state.get("place", 1) > len(table):
        st.session_state["place"] = len(table)
    text = "Image, from the least likely to the most likely"
    return st.slider(text, 1, len(table), key="place", bind="query-params", on_change=forget_link) - 1


def direction_card(k: int, name: str, text: str, picture: ndarray) -> image_grid.Card:
    return image_grid.Card(
        source=image_grid.data_address(array_png(picture, 320)),
        problem="",
        title=name,
        aside=(text,),
        alt=f"{name} of direction {k + 1}",
    )


def choose_k(count: int) -> int:
    """The direction, from 0."""
    if count == 1:
        return 0
    url_state.restore("k", "1")
    asked = str(st.session_state["k"])
    st.session_state["k"] = min(max(int(asked), 1), count) if asked.isdecimal() else 1
    chosen = st.slider("Direction k", 1, count, key="k", help="1 moves the embedding most, the last one least.")
    url_state.publish("k", str(chosen), "1")
    return chosen - 1


@fragment
def show_direction(row: pd.Series, found: Directions, card: image_grid.Card) -> None:
    """One direction: on the image side, on the embedding's side, in the spectrum, and as a walk."""
    k = choose_k(len(found.sigma))
    vector = found.right(k)
    image_grid.grid(
        [
            card,
            direction_card(k, "Change of the picture", "its sign is a convention", singular_vector_picture(vector)),
            direction_card(k, "Where it acts", "brighter is more", energy_picture(vector)),
        ],
        key="direction",
        label=f"The image and its direction {k + 1}",
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
            f"Its singular value is within 2 % of that of direction {names}. Only the plane that they span is defined, "
            "not each picture by itself.",
            icon=":material/sync_alt:",
        )
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("**In the spectrum**")
        st.plotly_chart(
            spectrum_figure(found.sigma, len(found.sigma), k, reference_sets.spread(choice, dataset)),
            config=CONFIG,
            alt=f"Singular values from {found.sigma[0]:.3g} to {found.sigma[-1]:.3g} on a log axis",
        )
    with right:
        st.markdown("**The embedding's answer**")
        words = left_in_words(found.left[k])
        st.plotly_chart(left_vector_figure(found.left[k], largest(found.left[k])), config=CONFIG, alt=words)
        st.caption(words)
    st.header(f"Walk along direction {k + 1}")
    walks = jacobian_jobs.walks_along(choice, dataset, row, found, k)
    if walks:
        walk.show(walks, k)


def show_strips(found: Directions) -> None:
    """The directions of both ends as strips."""
    count = len(found.sigma)
    strips = {"All directions, from the most to the least noticed": range(count)}
    if count > 2 * STRIP_LENGTH:
        strips = {
            "Directions that it notices most": range(STRIP_LENGTH),
            "Directions that it notices least": range(count - STRIP_LENGTH, count),
        }
    for title, ends in strips.items():
        st.header(title)
        image_grid.grid(
            [
                direction_card(
                    end, f"k = {end + 1}", f"moves by {found.sigma[end]:.3g}", singular_vector_picture(found.right(end))
                )
                for end in ends
            ],
            key=title,
            label=title,
        )


place = choose_row()
row = table.iloc[place]
[card] = image_grid.cards(choice, dataset, table.iloc[[place]], chosen.label)
card = replace(card, link="", badge="", aside=(percentile_in_words(row["percentile"]), *card.aside))
with st.container(horizontal=True):
    about = {"query_params": {"image": row["digest"]}}
    st.page_link("pages/image.py", label="This image in detail", icon=":material/image_search:", **about)
    st.page_link("pages/gallery.py", label="Gallery", icon=":material/grid_view:")
waiting = st.empty()
with waiting.container():
    image_grid.grid([card], key="waiting", label="The image", large=True)
found = jacobian_jobs.directions(choice, dataset, row)
if found is None:
    st.stop()
waiting.empty()
show_direction(row, found, card)
show_strips(found)
rank = choice.encoder_output.rank
st.caption(
    f"Rank {rank.rank} of {choice.spec.outputs[choice.output]}: {rank.reason}. "
    f"{escaped(score_tables.provenance_in_words(choice, dataset, table))} The directions and walks are computed in "
    "float32."
)
