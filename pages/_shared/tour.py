"""The two-minute tour for a first visit: five views, each reached by a link, with two sentences that say what is seen.

The step is in the session and in the address (`?tour=2`), so that it can be linked. Whoever closes the tour is not
asked again in that session; the explanations of the pages offer it still.
"""

from dataclasses import dataclass, field

import streamlit as st


@dataclass(frozen=True)
class Step:
    """A step: the page it is on with the query that opens its view, a title and two sentences."""

    page: str
    title: str
    text: str
    query: dict[str, str] = field(default_factory=dict)


# The least likely of all held-out digits by the encoder `digits`; a test looks it up again.
UNLIKELY_DIGIT = "07bcafe10b63297b8a6c11e5a3539b531adb25904f2638f4e5a1f2cb595eeb76"
_DIGITS = {"encoder": "digits", "dataset": "digits-test"}
STEPS = (
    Step(
        "gallery",
        "See which digits are unlikely",
        "A network learned from 1,077 handwritten digits, with nobody telling it which is which; here are others, in "
        "the order of how likely it finds them. Compare the two ends: do you see what sets them apart?",
        _DIGITS,
    ),
    Step(
        "directions",
        "Open one",
        "This is the digit that it finds least likely. The picture beside it is a change that you could make to it: of "
        "all small changes, the one that moves the network's answer most.",
        _DIGITS | {"image": UNLIKELY_DIGIT},
    ),
    Step(
        "directions",
        "What makes it unlikely",
        "The score adds up how strongly the network answers to each of 16 such changes, and here is the weakest. Where "
        "many answers are weak, the sum is low, and the picture counts as unlikely.",
        _DIGITS | {"image": UNLIKELY_DIGIT, "k": "16"},
    ),
    Step(
        "domains",
        "Does the score tell other pictures apart?",
        "Often not. Each row is a set of pictures that are no such digits, and many lie to the right: the network "
        "finds noise or galaxies *more* likely than digits like those it learned from; other methods stand beside it.",
        {"encoder": "digits"},
    ),
    Step(
        "check",
        "Try your own",
        "Drop a picture here, or take the examples. The verdict weighs the score together with three other methods, "
        "because each fails on other pictures.",
        {"encoder": "digits"},
    ),
)


def show(page: str) -> None:
    """The strip above a page's title: an offer on a first visit to the Gallery, the step of who takes the tour."""
    asked = st.query_params.get("tour", "")
    if asked.isdecimal() and 1 <= int(asked) <= len(STEPS) and "tour:left" not in st.session_state:
        st.session_state["tour"] = int(asked)
    number = st.session_state.get("tour")
    st.session_state.pop("tour:left", None)
    if number:
        st.query_params["tour"] = str(number)
        _step(page, number)
    elif page == "gallery" and not st.session_state.get("tour:closed"):
        _invite()


def offer() -> None:
    """A link to the tour's first step, for the explanation of a page."""
    _link(1, "Take the two-minute tour", ":material/directions_walk:")


def _invite() -> None:
    with st.container(key="tour", horizontal=True, vertical_alignment="center"):
        st.markdown("**New here?** Five stops in two minutes: what the score is, and where it fails.", width="stretch")
        _link(1, "Start the tour", ":material/directions_walk:")
        st.button("No, thanks", key="tour:close", on_click=_close, type="tertiary")


def _step(page: str, number: int) -> None:
    step = STEPS[number - 1]
    with st.container(key="tour"):
        here = page == step.page
        st.markdown(f"**{number} of {len(STEPS)}: {step.title}**" + (f"  \n{step.text}" if here else ""))
        with st.container(horizontal=True, vertical_alignment="center"):
            if not here:
                _link(number, "Back to the tour", ":material/undo:")
            elif number > 1:
                _link(number - 1, "Back", ":material/arrow_back:")
            if number < len(STEPS):
                _link(number + 1, f"Next: {STEPS[number].title}", ":material/arrow_forward:")
            st.button(
                "Close the tour" if number < len(STEPS) else "Done", key="tour:close", on_click=_close, type="tertiary"
            )


def _link(number: int, label: str, icon: str) -> None:
    step = STEPS[number - 1]
    st.page_link(f"pages/{step.page}.py", label=label, icon=icon, query_params=step.query | {"tour": str(number)})


def _close() -> None:
    st.session_state.pop("tour", None)
    st.session_state["tour:closed"] = True
    st.session_state["tour:left"] = True  # the address of this run still names the step
    st.query_params.pop("tour", None)
