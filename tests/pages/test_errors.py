"""What goes wrong in a part of a page becomes a sentence in its place, and the rest of the page stays."""

import pytest
from streamlit.testing.v1 import AppTest

from pages._shared.text import escaped


def page(kind: str) -> None:
    import streamlit as st

    from jepa_core.errors import StoreError
    from pages._shared.errors import fragment

    @fragment
    def part() -> None:
        if kind == "known":
            raise StoreError("The store is full; make room.")
        if kind == "unknown":
            raise ZeroDivisionError("nothing to divide by")
        st.write("The part")

    @fragment(run_every=60.0)
    def again() -> None:
        st.write("Another part")

    part()
    again()
    st.write("The rest")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("known", "The store is full; make room."),
        ("unknown", "A part of this page met something it did not expect (ZeroDivisionError: nothing to divide by)."),
    ],
)
def test_an_error_is_a_sentence_and_the_rest_stays(kind: str, said: str) -> None:
    at = AppTest.from_function(page, kwargs={"kind": kind}).run()
    assert not at.exception
    assert [error.value.startswith(escaped(said)) for error in at.error] == [True]
    assert [text.value for text in at.markdown] == ["Another part", "The rest"]


def test_a_part_without_an_error_is_shown() -> None:
    at = AppTest.from_function(page, kwargs={"kind": ""}).run()
    assert not at.error
    assert [text.value for text in at.markdown] == ["The part", "Another part", "The rest"]
