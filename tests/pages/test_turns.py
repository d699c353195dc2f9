"""Pages take turns, and those that wait look for news more rarely."""

import threading

import pytest

from pages._shared import turns


def test_pages_run_in_turns_and_a_part_of_one_goes_on_in_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_TURNS", threading.Semaphore(1))
    said: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with turns.take_turn(), turns.take_turn():
            inside.set()
            leave.wait(10)
            said.append("first")

    def second() -> None:
        with turns.take_turn():
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
    monkeypatch.setattr(turns.time, "monotonic", lambda: next(times))
    with turns.take_turn():
        assert turns.poll_interval(1.0) == 11.0
