"""The part of the Encoders page that downloads, with a hub on loopback."""

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from jepa_core import catalogue, forecast
from jepa_core.encoders import list_encoders

from .test_pages import assert_no_error, settled
from .test_pretrained import published, put, tiny


@pytest.fixture
def dinov2(hub_server, monkeypatch):
    """DINOv2 with a small network, on the hub."""
    spec = tiny("dinov2-s14")
    monkeypatch.setattr(catalogue, "specs", lambda: iter([spec]))
    put(hub_server, spec, published(spec)[0])
    return spec


def texts(app: AppTest) -> str:
    return " ".join(element.value for element in [*app.markdown, *app.success, *app.info])


def press(app: AppTest, label: str) -> AppTest:
    (button,) = [button for button in app.button if label in button.label]
    return settled(button.click().run())


@pytest.mark.usefixtures("dinov2")
def test_an_encoder_is_explained_downloaded_and_then_at_hand(open_page: Callable[..., AppTest], hub_server) -> None:
    app = open_page("encoders")
    app.text_input(key="more-name").input("dinov2-s14").run()
    assert_no_error(app)
    assert "arXiv 2304.07193" in texts(app)
    assert "Apache 2.0" in texts(app)
    assert not hub_server.requests
    app = press(app, "Download about")
    assert_no_error(app)
    assert "dinov2-s14 is here: choose it in the sidebar." in texts(app)
    assert "dinov2-s14" in list_encoders()
    assert "dinov2-s14" in app.selectbox(key="encoder").options


@pytest.mark.usefixtures("dinov2")
def test_what_a_score_takes_is_measured_when_asked_for(open_page: Callable[..., AppTest], monkeypatch) -> None:
    monkeypatch.setattr(forecast, "engine_rate", lambda _device, precision="fp32": 1e9)  # noqa: ARG005
    app = open_page("encoders")
    app.text_input(key="more-name").input("dinov2-s14").run()
    app = press(app, "How long would a score take here?")
    assert_no_error(app)
    assert "takes about" in texts(app)
    assert "backbone" in texts(app)


def test_a_download_that_fails_is_one_sentence(open_page: Callable[..., AppTest], dinov2, hub_server) -> None:
    hub_server.files.clear()
    app = open_page("encoders")
    app.text_input(key="more-name").input(dinov2.name).run()
    app = press(app, "Download about")
    (error,) = app.error
    assert "There is no repository" in error.value
    assert not app.exception


@pytest.mark.parametrize("name", ["nothing", "dinov2-s14@15", "timm:nothing"])
@pytest.mark.usefixtures("dinov2")
def test_a_name_that_there_is_not_is_one_sentence(open_page: Callable[..., AppTest], name: str) -> None:
    app = open_page("encoders")
    app.text_input(key="more-name").input(name).run()
    assert len(app.error) == 1
    assert not app.exception


@pytest.mark.usefixtures("dinov2")
def test_a_server_for_visitors_downloads_nothing(open_page: Callable[..., AppTest], monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("JEPA_DATA_ROOTS", str(tmp_path))
    app = open_page("encoders")
    app.text_input(key="more-name").input("dinov2-s14").run()
    assert "This server downloads nothing for its visitors." in texts(app)
    assert not [button for button in app.button if "Download" in button.label]
