"""The Runs page through AppTest: jobs, and the upkeep of the store."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from jepa_core.encoders.registry import get_spec
from jepa_core.errors import DatasetError
from jepa_core.jobs import Job, State
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.run import RunSummary
from jepa_core.store import maintenance
from jepa_core.store.results import Store
from pages._shared import resources
from tests.pages.test_pages import assert_no_error, settled


@pytest.fixture
def go_on() -> Iterator[threading.Event]:
    """What held work waits for."""
    event = threading.Event()
    yield event
    event.set()


def texts(app: AppTest) -> str:
    return " ".join(element.value for element in [*app.markdown, *app.caption, *app.info, *app.success, *app.error])


def button(app: AppTest, label: str):
    return next(button for button in app.button if button.label == label)


def held(go_on: threading.Event) -> Callable[[Job], None]:
    def work(job: Job) -> None:
        while not go_on.wait(0.01) and not job.cancelled():
            job.report(3, 10)

    return work


def test_before_anything_has_run_that_is_said(open_page: Callable[..., AppTest]) -> None:
    app = settled(open_page("runs"))
    assert_no_error(app)
    assert "The store has" in texts(app)
    assert "full scores" in texts(app)


def test_a_running_job_is_shown_and_can_be_cancelled(open_page: Callable[..., AppTest], go_on: threading.Event) -> None:
    app = settled(open_page("runs"))
    running = resources.jobs().submit("one", "Scoring [this](x)", held(go_on))
    waiting = resources.jobs().submit("two", "Scoring that", held(go_on))
    while running.done != 3:
        assert not running.wait(0.01)
    app = app.run()
    assert_no_error(app)
    assert len([button for button in app.button if button.label == "Cancel"]) == 2
    app = app.button(key="stop:two").click().run()
    assert waiting.state is State.CANCELLED
    app.button(key="stop:one").click().run()
    assert running.wait(30)
    assert running.state is State.CANCELLED
    app = app.run()
    assert_no_error(app)
    assert "Scoring that" in texts(app)
    assert "what was finished is kept" in texts(app)


def test_a_failed_job_says_why_and_can_be_tried_again(open_page: Callable[..., AppTest]) -> None:
    tries = []

    def work(_job: Job) -> None:
        tries.append(True)
        if len(tries) == 1:
            raise DatasetError("The folder is gone; choose another.")

    app = settled(open_page("runs"))
    assert resources.jobs().submit("bad", "Scoring pets", work).wait(30)
    app = app.run()
    assert "The folder is gone; choose another." in texts(app)
    app = settled(app.button(key="retry:bad").click().run())
    assert len(tries) == 2
    assert resources.jobs().get("bad").state is State.DONE
    assert "The folder is gone" not in texts(app)


def scored() -> int:
    return len(resources.store().scored(EncoderOutput.of(get_spec("digits"), "projector").config(), "digits-test"))


def test_the_pictures_are_deleted_after_a_second_question(open_page: Callable[..., AppTest]) -> None:
    app = settled(open_page())  # the gallery keeps its pictures
    assert maintenance.crops(resources.store()).count > 0
    app = settled(app.switch_page("pages/runs.py").run())
    app = button(app, "Delete the pictures …").click().run()
    assert "made again" in texts(app)
    assert maintenance.crops(resources.store()).count > 0
    app = app.button(key="delete-keep").click().run()
    assert maintenance.crops(resources.store()).count > 0
    app = button(app, "Delete the pictures …").click().run()
    app = settled(app.button(key="delete-really").click().run())
    assert_no_error(app)
    assert maintenance.crops(resources.store()).count == 0


def test_a_copy_is_written_and_imported(open_page: Callable[..., AppTest], tmp_path: Path) -> None:
    app = settled(open_page("runs"))
    path = tmp_path / "copy.sqlite"
    app.text_input(key="export-to").set_value(str(path)).run()
    app = settled(button(app, "Write the copy").click().run())
    assert_no_error(app)
    assert len(Store(path).scored(EncoderOutput.of(get_spec("digits"), "projector").config(), "digits-test")) == 360
    maintenance.delete(resources.store(), EncoderOutput.of(get_spec("digits"), "projector").config())
    assert scored() == 0
    app.text_input(key="import-from").set_value(str(path)).run()
    app = settled(button(app, "Import").click().run())
    assert_no_error(app)
    assert "New here" in texts(app)
    assert scored() == 360


def test_what_is_no_store_is_refused_in_one_sentence(open_page: Callable[..., AppTest], tmp_path: Path) -> None:
    (tmp_path / "bad.sqlite").write_bytes(b"not a store")
    app = settled(open_page("runs"))
    app.text_input(key="import-from").set_value(str(tmp_path / "bad.sqlite")).run()
    app = settled(button(app, "Import").click().run())
    assert not app.exception
    assert any("it is no SQLite file" in error.value for error in app.error)


# --- hosted -----------------------------------------------------------------------------------------------------------


def test_a_visitor_sees_and_cancels_only_their_own_jobs(
    open_page: Callable[..., AppTest], go_on: threading.Event, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JEPA_DATA_ROOTS", str(tmp_path))
    app = settled(open_page("runs"))
    with monkeypatch.context() as patch:
        patch.setattr(resources.jobs(), "_visitor", lambda: "somebody else")
        theirs = resources.jobs().submit("theirs", "Scoring their secret", held(go_on))
        failed = resources.jobs().submit("failed", "Their failure", lambda _job: 1 / 0, urgent=True)
    mine = resources.jobs().submit("mine", "Scoring mine", held(go_on))
    mine.owner = app.session_state["visitor"]
    while theirs.state is not State.RUNNING:
        assert not theirs.wait(0.01)
    assert failed.wait(30)
    app = app.run()
    assert "Another visitor's computation is running" in texts(app)
    assert [key for key in ("theirs", "mine", "failed") if any(b.key == f"stop:{key}" for b in app.button)] == ["mine"]
    assert not [b for b in app.button if b.label == "Retry"]
    everything = texts(app) + repr(app.get("progress"))
    assert "secret" not in everything
    assert "Their failure" not in everything


def test_a_visitor_has_no_way_to_delete_copy_or_import(
    open_page: Callable[..., AppTest], monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JEPA_DATA_ROOTS", str(tmp_path))
    app = settled(open_page("runs"))
    assert_no_error(app)
    assert "for the owner of this server alone" in texts(app)
    assert not [b.label for b in app.button if b.label.startswith(("Delete", "Import", "Prepare", "Write"))]
    assert not [field.key for field in app.text_input if field.key in ("import-from", "export-to")]
    assert str(resources.store().path) not in texts(app)


def test_what_finished_runs_found_is_said_once(open_page: Callable[..., AppTest]) -> None:
    app = settled(open_page("runs"))
    for name in ("one", "two"):
        summary = RunSummary(notes=["It *cannot* be traced."])
        assert resources.jobs().submit(name, f"Scoring {name}", lambda _job, summary=summary: summary).wait(30)
    app = app.run()
    assert_no_error(app)
    assert [caption.value for caption in app.caption if "cannot" in caption.value] == [r"It \*cannot\* be traced."]
