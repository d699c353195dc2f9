"""The Theory page: each experiment's full result, and a short run that fills a figure."""

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from jepa_core import theory
from jepa_core.theory import experiment, spheres
from tests.pages.test_encoders_add import press, texts
from tests.pages.test_pages import assert_no_error, settled


def choose(app: AppTest, name: str) -> AppTest:
    return app.button_group(key="experiment").set_value(name).run()


@pytest.mark.parametrize(
    ("name", "shown"),
    [("spheres", ["spheres"]), ("truth", ["truth"]), ("sampling", ["sampling", "ascent"]), ("features", ["features"]),
     ("views", ["views"])],
)  # fmt: skip
def test_each_experiment_shows_its_full_result_and_the_command(
    open_page: Callable[..., AppTest], name: str, shown: list[str]
) -> None:
    app = choose(open_page("theory"), name)
    assert_no_error(app)
    assert [code.value for code in app.code] == [experiment.command(theory.get_experiment(one)) for one in shown]
    assert all(theory.get_experiment(one).look_for in texts(app) for one in shown)
    assert len(app.get("plotly_chart")) >= 1
    assert not any(job.title == theory.get_experiment(name).title for job in _jobs()), "nothing starts by itself"


def _jobs() -> list:
    from pages._shared import resources

    return resources.jobs().all()


def test_a_short_run_fills_the_page_and_is_there_on_the_next_visit(open_page: Callable[..., AppTest]) -> None:
    app = open_page("theory")
    before = len(app.get("plotly_chart"))
    app = settled(press(app, "Run it here"))
    assert_no_error(app)
    assert len(app.get("plotly_chart")) == before + 1
    assert any("Standard deviation of |z|/√K" in note.value for note in app.caption)
    assert experiment.kept(theory.SPHERES, spheres.Settings(k=16)) is not None
    again = open_page("theory")
    assert len(again.get("plotly_chart")) == before + 1, "it was kept"
    other = again.select_slider(key="sphere-k").set_value(64).run()
    assert len(other.get("plotly_chart")) == before, "other settings have no result yet"


def test_the_link_opens_an_experiment(open_page: Callable[..., AppTest]) -> None:
    app = open_page()
    app.query_params["experiment"] = "features"
    app = app.switch_page("pages/theory.py").run()
    assert_no_error(app)
    assert theory.FEATURES.look_for in texts(app)


def test_a_missing_result_is_one_sentence(open_page: Callable[..., AppTest], monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(experiment, "ASSETS", tmp_path)
    app = open_page("theory")
    assert [element.message for element in app.exception] == []
    assert any("cannot be read" in error.value for error in app.error)
