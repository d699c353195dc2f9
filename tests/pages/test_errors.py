"""What goes wrong in a part of a page becomes a sentence in its place, and the rest of the page stays."""

import threading

import pytest
from streamlit.testing.v1 import AppTest

from pages._shared import errors
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


def test_pages_run_in_turns_and_a_part_of_one_goes_on_in_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "_TURNS", threading.Semaphore(1))
    said: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with errors.take_turn(), errors.take_turn():
            inside.set()
            leave.wait(10)
            said.append("first")

    def second() -> None:
        with errors.take_turn():
            said.append("second")

    one, other = threading.Thread(target=first), threading.Thread(target=second)
    one.start()
    assert inside.wait(10)
    other.start()
    other.join(0.05)
    assert other.is_alive()
    assert said == []
    leave.set()
    one.join(10)
    other.join(10)
    assert said == ["first", "second"]


def test_who_waited_for_a_turn_looks_for_news_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 12.0])
    monkeypatch.setattr(errors.time, "monotonic", lambda: next(times))
    with errors.take_turn():
        assert errors.poll_interval(1.0) == 11.0
