"""The Map page through AppTest."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from jepa_core.analysis import umap, umap_cache
from jepa_core.datasets import registry
from jepa_core.encoders.registry import get_spec
from jepa_core.figures.umap import CONFIG
from jepa_core.scoring.encoder_output import EncoderOutput
from pages._shared import image_grid
from tests.helpers import grids, pictured
from tests.pages.test_pages import assert_no_error, settled

EVERYTHING = "-999.00,-999.00_999.00,-999.00_999.00,999.00_-999.00,999.00"


@pytest.fixture
def drawn(open_page: Callable[..., AppTest]) -> AppTest:
    """The page, with a map of the test digits that was drawn before: image n lies at (n, 0) in the order of digests."""
    digests = sorted(item.digest for item in registry.get_dataset("digits-test").items())
    space = EncoderOutput.of(get_spec("digits")).space
    path = umap_cache.map_path(umap_cache.map_key(space, digests))
    path.parent.mkdir()
    places = np.column_stack([np.arange(len(digests)), np.zeros(len(digests))]).astype(np.float32)
    np.savez(path, places=places, measured=np.array([0.5, 0.25]))
    return open_page("map")


def act(app: AppTest, **selection: list) -> AppTest:
    """Run the page with what the chart would send; AppTest itself draws nothing."""
    from streamlit.proto.WidgetStates_pb2 import WidgetState

    (chart,) = app.get("plotly_chart")
    said = {"selection": {"points": [], "point_indices": [], "box": [], "lasso": []} | selection}
    states = app._tree.get_widget_states()
    states.widgets.append(WidgetState(id=chart.proto.id, string_value=json.dumps(said)))
    return app._run(states)


def subheaders(app: AppTest) -> list[str]:
    return [heading.value for heading in app.header]


def test_a_map_is_drawn_in_the_background_and_says_what_it_has_kept(
    open_page: Callable[..., AppTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    # UMAP itself is compiled for half a minute; tests/analysis/test_umap_cache.py and the browser's tests draw with it.
    drawn: list[int] = []

    def places(embeddings: np.ndarray, *_rest: object) -> np.ndarray:
        drawn.append(len(embeddings))
        return embeddings[:, :2].astype(np.float32)

    monkeypatch.setattr(umap, "umap_places", places)
    app = settled(open_page("map"))
    assert drawn == [360]
    assert_no_error(app)
    (chart,) = app.get("plotly_chart")
    assert chart.proto.spec.count("customdata") == 1
    assert any("nearest on this map" in caption.value for caption in app.caption)
    assert any("Click on a point" in info.value for info in app.info)


def test_what_lies_in_the_area_of_a_link_is_shown_the_least_likely_first(drawn: AppTest) -> None:
    drawn.query_params["area"] = "-0.50,-1.00_2.50,-1.00_2.50,1.00_-0.50,1.00"
    app = drawn.run()
    assert_no_error(app)
    assert "3 images selected" in subheaders(app)
    scores = [float(card["title"]) for card in grids(app)["selected"]]
    assert len(scores) == pictured(app) == 3
    assert scores == sorted(scores)


def test_many_selected_images_come_in_sheets(drawn: AppTest) -> None:
    drawn.query_params["area"] = EVERYTHING
    app = drawn.run()
    assert_no_error(app)
    assert "360 images selected" in subheaders(app)
    assert pictured(app) == 32


def test_a_class_narrows_the_selection_and_not_the_map(drawn: AppTest) -> None:
    drawn.query_params["area"] = EVERYTHING
    app = drawn.selectbox(key="class").select("3").run()
    assert_no_error(app)
    threes = len(list(registry.get_dataset("digits-test").items("3")))
    assert f"{threes} images selected" in subheaders(app)
    assert any("360 images" in caption.value for caption in app.caption)


def test_the_selection_can_be_cleared(drawn: AppTest) -> None:
    drawn.query_params["area"] = EVERYTHING
    app = drawn.run()
    app = next(button for button in app.button if button.label == "Clear").click().run()
    assert_no_error(app)
    assert "area" not in app.query_params
    assert not subheaders(app)


def test_a_lasso_shows_its_pictures_and_is_in_the_address(drawn: AppTest) -> None:
    app = act(drawn, lasso=[{"xref": "x", "yref": "y", "x": [-0.5, 2.5, 2.5, -0.5], "y": [-1, -1, 1, 1]}])
    assert_no_error(app)
    assert "3 images selected" in subheaders(app)
    assert app.query_params["area"] == "-0.50,-1.00_2.50,-1.00_2.50,1.00_-0.50,1.00"
    app = act(app)  # a double click takes it back
    assert_no_error(app)
    assert "area" not in app.query_params
    assert not subheaders(app)


def test_a_click_on_a_point_opens_its_image(drawn: AppTest) -> None:
    app = act(drawn, points=[{"x": 0, "y": 0, "customdata": 5}])
    assert_no_error(app)
    assert app.session_state["page"] == image_grid.IMAGE_PAGE.capitalize()
    assert app.query_params["image"] == registry.get_dataset("digits-test").item(5).digest


@pytest.mark.parametrize("area", ["nonsense", "1,2_3,4", "<script>"])
def test_an_area_that_is_none_selects_nothing(drawn: AppTest, area: str) -> None:
    drawn.query_params["area"] = area
    app = drawn.run()
    assert_no_error(app)
    assert not subheaders(app)


@pytest.mark.parametrize("colour", ["label", "domain"])
def test_it_can_be_coloured_by_class_and_domain(drawn: AppTest, colour: str) -> None:
    app = drawn.segmented_control(key="colour").set_value(colour).run()
    assert_no_error(app)
    (chart,) = app.get("plotly_chart")
    assert chart.proto.spec.count("customdata") == (10 if colour == "label" else 1)


def test_the_buttons_above_the_map_can_draw_and_move() -> None:
    assert {"lasso2d", "select2d", "pan2d"} <= {button for group in CONFIG["modeBarButtons"] for button in group}
