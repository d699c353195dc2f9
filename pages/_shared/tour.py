"""The two-minute tour for a first visit: five views, each reached by a link, with two sentences that say what is seen.

The step is in the session and in the address (`?tour=2`), so that it can be linked. Whoever closes the tour is not
asked again, which a cookie of the browser remembers; the sidebar offers it still.
"""

from dataclasses import dataclass, field
from urllib.parse import urlencode

import streamlit as st

from pages._shared import image_grid, opening


@dataclass(frozen=True)
class Step:
    """A step: the page it is on with the query that opens its view, a title and two sentences."""

    page: str
    title: str
    text: str
    query: dict[str, str] = field(default_factory=dict)


# The least likely tile of the astronaut by the encoder `photo`; a test looks it up again.
UNLIKELY_TILE = "2623ac23d7f04422dfabfe142d37c2f01091b02f679990f96a0dc7150a06ff10"
_COOKIE, _CLOSED = "jepa_tour", "closed"
_REMEMBER = f"<script>document.cookie = '{_COOKIE}={_CLOSED}; path=/; max-age=31536000; samesite=lax'</script>"
_TILES = opening.CHOICES
STEPS = (
    Step(
        "gallery",
        "See which parts of a photograph are unlikely",
        "A network learned from 8,522 photos, with nobody telling it what they show; here are tiles of a portrait that "
        "it never saw, in the order of how likely it finds them. Compare the two ends: this network's score follows "
        "colour.",
        dict(_TILES),
    ),
    Step(
        image_grid.IMAGE_PAGE,
        "Open one",
        "This is the tile that it finds least likely of the portrait's 128. Any picture of the explorer opens like "
        "this, with what its score was made from.",
        _TILES | {"image": UNLIKELY_TILE},
    ),
    Step(
        "directions",
        "What makes it unlikely",
        "There are 32 kinds of small change that this network can notice, and the score adds up how strongly it "
        "answers to each. Move along them: where many answers are weak, the sum is low, and the picture is unlikely.",
        _TILES | {"image": UNLIKELY_TILE, "k": "2"},
    ),
    Step(
        "domains",
        "Does the score tell other pictures apart?",
        "Often not. The blue row is photos that it has not seen; rows further right, digits and galaxies, say, it "
        "finds *more* likely than photos, and other methods stand beside the score.",
        {"encoder": "photo"},
    ),
    Step(
        "check",
        "Try your own",
        "Drop a picture here, or take the examples. The verdict weighs the score together with three other methods, "
        "because each fails on other pictures.",
        {"encoder": "photo"},
    ),
)


def show(page: str) -> None:
    """The strip above a page's title: an offer on a first visit to the Gallery, the step of who takes the tour."""
    asked = st.query_params.get("tour", "")
    if asked.isdecimal() and 1 <= int(asked) <= len(STEPS):
        st.session_state["tour"] = int(asked)
    number = st.session_state.get("tour")
    if number:
        st.query_params["tour"] = str(number)
        _step(page, number)
    elif page == STEPS[0].page and not (_closed() or st.context.cookies.get(_COOKIE) == _CLOSED):
        _invite()


def offer() -> None:
    """A way into the tour from the sidebar, also after it was closed."""
    with st.sidebar:
        st.button("Two-minute tour", icon=":material/directions_walk:", on_click=_go, args=(1,), type="tertiary")
        if _closed():
            st.html(_REMEMBER, unsafe_allow_javascript=True)


def address(number: int) -> str:
    """The address of a step within the app, its view and the tour in it."""
    step = STEPS[number - 1]
    return f"{step.page}?{urlencode(step.query | {'tour': str(number)})}"


def _closed() -> bool:
    return "tour:closed" in st.session_state


def _invite() -> None:
    with st.container(key="tour", horizontal=True, vertical_alignment="center"):
        st.markdown("**New here?** Five stops in two minutes: what the score is, and where it fails.", width="stretch")
        st.button("Start the tour", icon=":material/directions_walk:", on_click=_go, args=(1,))
        st.button("No, thanks", on_click=_close, type="tertiary")


def _step(page: str, number: int) -> None:
    step = STEPS[number - 1]
    here = page == step.page
    with st.container(key="tour"):
        st.markdown(f"**{number} of {len(STEPS)}: {step.title}**" + (f"  \n{step.text}" if here else ""))
        with st.container(horizontal=True, vertical_alignment="center"):
            if not here:
                st.button("Back to the tour", icon=":material/undo:", on_click=_go, args=(number,))
            elif number > 1:
                st.button("Back", icon=":material/arrow_back:", on_click=_go, args=(number - 1,), type="tertiary")
            if number < len(STEPS):
                following = f"Next: {STEPS[number].title}"
                st.button(following, icon=":material/arrow_forward:", on_click=_go, args=(number + 1,))
            if number < len(STEPS):
                st.button("Close the tour", key="tour:close", on_click=_close, type="tertiary")
            else:
                st.button("Done", key="tour:close", icon=":material/check:", on_click=_close)


def _go(number: int) -> None:
    image_grid.open_link(address(number))


def _close() -> None:
    st.session_state.pop("tour", None)
    st.session_state["tour:closed"] = True
    st.query_params.pop("tour", None)
