"""Pictures that a session holds: limits over all sessions, and what becomes of them when it has ended."""

import gc
import threading
import time

import pytest

from jepa_core.datasets import uploads
from jepa_core.datasets.uploads import Uploads
from pages._sections.check import session_uploads
from tests.helpers import png


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch):
    monkeypatch.setattr(uploads, "_every", type(uploads._every)())


def taken(*seeds: int) -> Uploads:
    held = Uploads()
    held.take((f"{seed}.png", png(seed)) for seed in seeds)
    return held


def test_all_sessions_together_have_a_limit(monkeypatch):
    monkeypatch.setattr(uploads, "MOST_SERVER_BYTES", 2 * len(png(0)) + 100)
    first, second = taken(0), taken(1)
    assert uploads.held_by_everyone() == first.size + second.size
    third = taken(2)
    assert third.pictures == []
    (sentence,) = third.refused
    assert sentence.startswith("Not taken: 1. The pictures of all who use this server may have 0 MB together,")
    first.forget()
    third.take([("2.png", png(2))])
    assert len(third.pictures) == 1


def test_what_nobody_holds_any_more_does_not_count():
    held = taken(0)
    assert uploads.held_by_everyone() == held.size
    del held
    gc.collect()
    assert uploads.held_by_everyone() == 0


def test_two_sessions_at_once_do_not_both_take_the_last_place(monkeypatch):
    monkeypatch.setattr(uploads, "MOST_SERVER_BYTES", len(png(0)) + 10)
    helds = [Uploads() for _ in range(8)]
    threads = [threading.Thread(target=held.take, args=([("a.png", png(0))],)) for held in helds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(len(held.pictures) for held in helds) == 1


def test_pictures_are_forgotten_soon_after_their_session_has_gone():
    here = {"a", "b"}
    keeper = session_uploads.Keeper(here.__contains__)
    leaves, stays = taken(0), taken(1)
    leaves.found["key"], token = object(), leaves.token
    keeper.keep(leaves, "a")
    keeper.keep(stays, "b")
    assert keeper.forget_gone(0.0) == 2
    here.discard("a")
    keeper.forget_gone(1.0)
    assert leaves.pictures, "the browser may come back"
    assert keeper.forget_gone(1.0 + session_uploads.GRACE) == 1
    assert (leaves.pictures, leaves.found, stays.pictures != []) == ([], {}, True)
    assert leaves.token != token, "a job on them stops"


def test_a_browser_that_comes_back_finds_its_pictures():
    here = set()
    keeper = session_uploads.Keeper(here.__contains__)
    held = taken(0)
    keeper.keep(held, "a")
    keeper.forget_gone(0.0)
    here.add("a")
    keeper.forget_gone(session_uploads.GRACE - 1)
    here.discard("a")
    keeper.forget_gone(session_uploads.GRACE + 1)
    assert held.pictures


def test_a_thread_looks_while_there_is_something_to_look_after(monkeypatch):
    monkeypatch.setattr(session_uploads, "_EVERY", 0.01)
    monkeypatch.setattr(session_uploads, "GRACE", 0.02)
    keeper = session_uploads.Keeper(lambda _session: False)
    held = taken(0)
    keeper.keep(held, "a")
    deadline = time.monotonic() + 20
    while (held.pictures or keeper._thread) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert held.pictures == []
    assert keeper._thread is None
