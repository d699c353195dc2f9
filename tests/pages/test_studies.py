"""The Studies page: the paper's figures, with nothing long started unasked."""

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from jepa_core.cli import figure3
from jepa_core.cli.parser import build_parser
from jepa_core.encoders import cost
from tests.helpers import cards
from tests.pages.test_encoders_add import press, texts
from tests.pages.test_pages import assert_no_error, open_folder, settled


@pytest.fixture
def quick(monkeypatch):
    """A machine that need not be measured."""
    monkeypatch.setattr(cost, "engine_rate", lambda _device, precision="fp32": 1e9)  # noqa: ARG005


def command(app: AppTest) -> argparse.Namespace:
    """The arguments of the command that the page shows, as the terminal reads them."""
    (shown,) = app.code
    words = shlex.split(shown.value)
    assert words[:3] == ["python", "-m", "jepa_core"]
    return build_parser().parse_args(words[3:])


def choose(app: AppTest, figure: str) -> AppTest:
    """The study of that number."""
    return app.button_group(key="figure").set_value(figure).run()


@pytest.mark.usefixtures("own_assets", "quick")
def test_figure_1_says_its_cost_and_scores_when_asked(open_page: Callable[..., AppTest], folder: Path) -> None:
    app = open_folder(open_page("studies"), folder)
    assert_no_error(app)
    assert "12 images of pictures have no score" in texts(app)
    assert cards(app) == []
    app = press(app, "How long will it take here?")
    assert "That takes about" in texts(app)
    app = press(app, "Score 12 images")
    assert_no_error(app)
    assert [heading.value for heading in app.header] == ["tiny, projector", "Random"]
    assert len(cards(app)) == 5 + 5 + 10
    assert (command(app).encoder, command(app).data, command(app).label) == (["tiny"], str(folder), None)
    app.selectbox(key="class").select("odd").run()
    assert_no_error(app)
    assert len(cards(app)) == 3 + 3 + 6
    assert command(app).label == "odd"


@pytest.mark.usefixtures("own_assets", "quick")
def test_a_broken_picture_does_not_hold_a_study_up(open_page: Callable[..., AppTest], folder: Path) -> None:
    (folder / "odd" / "broken.png").write_bytes(b"not a picture")
    app = press(open_folder(open_page("studies"), folder), "Score 13 images")
    assert_no_error(app)
    assert any("1 image could not be scored." in note.value for note in app.caption)
    assert len(cards(app)) == 5 + 5 + 10


def test_figure_3_has_a_chart_for_each_encoder_out_of_the_store(open_page: Callable[..., AppTest]) -> None:
    app = choose(open_page("studies"), "3")
    app.multiselect(key="several:studied").set_value(["digits", "photo"]).run()
    app = settled(app)
    assert_no_error(app)
    assert len(app.get("plotly_chart")) == 2
    assert (command(app).run, command(app).encoder) == (figure3.run, ["digits", "photo"])
    assert command(app).data == app.multiselect(key="studies-datasets").value


@pytest.mark.usefixtures("own_assets", "quick")
def test_figure_7_has_directions_of_both_ends(open_page: Callable[..., AppTest], folder: Path) -> None:
    app = choose(open_page("studies"), "7")
    app = press(open_folder(app, folder), "Score 12 images")
    for _ in range(3):  # the directions of one image after the other
        app = settled(app)
    assert_no_error(app)
    assert len(cards(app)) == 2 * (1 + 4 + 3)


@pytest.mark.usefixtures("own_assets")
def test_without_an_encoder_the_page_asks_for_one(open_page: Callable[..., AppTest]) -> None:
    app = open_page("studies")
    app.multiselect(key="several:studied").set_value([]).run()
    assert_no_error(app)
    assert any("Choose one encoder or more" in note.value for note in app.info)
