"""The part of the Encoders page that downloads, with a hub on loopback."""

from collections.abc import Callable

import pytest
import safetensors.torch
import torch
from streamlit.testing.v1 import AppTest

from jepa_core.encoders import catalog, cost
from jepa_core.encoders.registry import list_encoders
from pages._shared import resources
from tests.encoders.test_timm_weights import published, put, tiny
from tests.pages.test_pages import assert_no_error, settled


@pytest.fixture
def dinov2(hub_server, monkeypatch):
    """DINOv2 with a small network, on the hub."""
    spec = tiny("dinov2-s14")
    monkeypatch.setattr(catalog, "specs", lambda: iter([spec]))
    put(hub_server, spec, published(spec)[0])
    return spec


@pytest.fixture
def quick(monkeypatch):
    """A machine that need not be measured."""
    monkeypatch.setattr(cost, "engine_rate", lambda _device, precision="fp32": 1e9)  # noqa: ARG005


def texts(app: AppTest) -> str:
    return " ".join(element.value for element in [*app.markdown, *app.success, *app.info])


def press(app: AppTest, label: str) -> AppTest:
    (button,) = [button for button in app.button if label in button.label]
    return settled(button.click().run())


@pytest.mark.usefixtures("dinov2", "quick")
def test_an_encoder_is_explained_asked_for_downloaded_and_then_at_hand(
    open_page: Callable[..., AppTest], hub_server
) -> None:
    app = open_page("encoders")
    app.text_input(key="more-name").input("dinov2-s14").run()
    assert_no_error(app)
    for fact in ("arXiv 2304.07193", "Apache 2.0", "million weights", "28 x 28 px", "48 numbers", "about 88 MB"):
        assert fact in texts(app)
    assert not hub_server.requests
    assert not [button for button in app.button if "Download" in button.label]
    app = press(app, "Ask its publisher")
    assert_no_error(app)
    assert "not gated: anyone may download them" in texts(app).replace("\\", "")
    assert "an image (backbone)" in texts(app)
    assert hub_server.sent == 0
    app = press(app, "Download 0.3 MB")
    assert_no_error(app)
    assert "dinov2-s14 is here." in texts(app)
    assert "dinov2-s14" in list_encoders()
    assert "DINOv2 ViT-S/14" in app.selectbox(key="encoder").options


@pytest.mark.usefixtures("dinov2", "quick")
def test_a_gated_encoder_is_said_to_be_and_asked_for_again(open_page: Callable[..., AppTest], hub_server) -> None:
    hub_server.gated.add("timm/vit_small_patch14_dinov2.lvd142m")
    app = open_page("encoders")
    app.text_input(key="more-name").input("dinov2-s14").run()
    app = press(app, "Ask its publisher")
    assert_no_error(app)
    assert "are gated" in texts(app).replace("\\", "")
    assert not [button for button in app.button if "Download" in button.label]
    hub_server.gated.clear()
    app = press(app, "Ask again")
    assert [button for button in app.button if "Download" in button.label]


@pytest.mark.usefixtures("quick")
def test_a_download_that_fails_is_one_sentence(open_page: Callable[..., AppTest], dinov2, hub_server) -> None:
    app = open_page("encoders")
    app.text_input(key="more-name").input(dinov2.name).run()
    app = press(app, "Ask its publisher")
    hub_server.files.clear()
    app = press(app, "Download")
    (error,) = app.error
    assert "There is no repository" in error.value
    assert not app.exception


def own(app: AppTest, like: str, path: object, name: str) -> AppTest:
    """The form for weights of one's own, filled in and sent."""
    app.text_input(key="own-like").input(like)
    app.text_input(key="own-weights-path").input(str(path))
    app.text_input(key="own-name").input(name)
    return press(app, "Load")


def test_own_weights_are_at_hand_once_they_fit(open_page: Callable[..., AppTest], dinov2, tmp_path) -> None:
    path = tmp_path / "own.safetensors"
    path.write_bytes(b"not weights")
    app = own(open_page("encoders"), "dinov2-s14", path, "mine")
    (error,) = app.error
    assert "do not load into" in error.value
    safetensors.torch.save_file(published(dinov2)[0], path)
    app = own(app, "dinov2-s14", path, "mine")
    assert_no_error(app)
    assert "mine is here." in texts(app)
    assert "mine" in app.selectbox(key="encoder").options
    before = resources.encoder("mine").weights
    safetensors.torch.save_file({name: 2 * tensor for name, tensor in published(dinov2)[0].items()}, path)
    own(app, "dinov2-s14", path, "mine")
    assert before != resources.encoder("mine").weights == list_encoders()["mine"].weights_digest


def test_the_part_that_was_taken_of_a_checkpoint_is_said(open_page: Callable[..., AppTest], dinov2, tmp_path) -> None:
    teacher = {f"backbone.{name}": tensor for name, tensor in published(dinov2)[0].items()}
    torch.save({"teacher": teacher, "epoch": 3}, tmp_path / "checkpoint.pth")
    app = own(open_page("encoders"), "dinov2-s14", tmp_path / "checkpoint.pth", "mine")
    assert_no_error(app)
    assert "Taken of it: teacher.backbone, the average that its training kept." in texts(app).replace("\\", "")


@pytest.mark.usefixtures("dinov2")
def test_a_server_for_visitors_has_no_form_for_own_weights(
    open_page: Callable[..., AppTest], monkeypatch, tmp_path
) -> None:
    monkeypatch.setenv("JEPA_DATA_ROOTS", str(tmp_path))
    app = open_page("encoders")
    assert "This server loads no weights of its visitors." in texts(app)
    assert not [field for field in app.text_input if field.key == "own-weights-path"]


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
