"""The tour of a first visit: its steps, the views they open, and that it can be closed."""

from collections.abc import Callable
from urllib.parse import parse_qs

import pytest
from streamlit.testing.v1 import AppTest

from jepa_core.datasets import registry
from jepa_core.encoders.registry import list_encoders
from pages._shared import opening, score_tables, tour
from pages._shared.choice import Choice
from tests.pages.test_pages import assert_no_error, settled


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def click(app: AppTest, label: str) -> AppTest:
    return settled(next(button for button in app.button if button.label == label).click().run())


def told(app: AppTest) -> str:
    return app.markdown[0].value


def test_a_first_visit_is_offered_the_tour_on_the_gallery_alone(open_page: Callable[..., AppTest]) -> None:
    app = open_page()
    assert "Start the tour" in labels(app)
    app = app.switch_page("pages/encoders.py").run()
    assert "Start the tour" not in labels(app)


def test_who_declines_is_not_asked_again_but_finds_it_in_the_sidebar(open_page: Callable[..., AppTest]) -> None:
    app = click(open_page(), "No, thanks")
    assert "Start the tour" not in labels(app)
    assert any("jepa_tour=closed" in element.proto.body for element in app.sidebar.get("html"))
    app = app.switch_page("pages/encoders.py").run().switch_page("pages/gallery.py").run()
    assert "Start the tour" not in labels(app)
    app = click(app, "Two-minute tour")
    assert told(app).startswith("**1 of 5: ")


def test_the_tour_goes_from_page_to_page_and_ends(open_page: Callable[..., AppTest]) -> None:
    app = click(open_page(), "Start the tour")
    for number, step in enumerate(tour.STEPS, 1):
        assert_no_error(app)
        assert told(app) == f"**{number} of 5: {step.title}**  \n{step.text}"
        assert app.query_params["tour"] == str(number)
        following = [label for label in labels(app) if label.startswith("Next: ")]
        if following:
            app = click(app, following[0])
    assert following == []
    app = click(app, "Done")
    assert "tour" not in app.query_params
    assert "Back to the tour" not in labels(app)


def test_a_link_opens_a_step(open_page: Callable[..., AppTest]) -> None:
    app = open_page()
    app.query_params["tour"] = "4"
    app = settled(app.switch_page("pages/domains.py").run())
    assert told(app).startswith("**4 of 5: ")


@pytest.mark.parametrize("number", ["0", "6", "x", "-1", ""])
def test_a_step_that_there_is_none_of_is_passed_over(open_page: Callable[..., AppTest], number: str) -> None:
    app = open_page()
    app.query_params["tour"] = number
    app = app.switch_page("pages/encoders.py").run()
    assert_no_error(app)
    assert "Close the tour" not in labels(app)


def test_who_strays_from_the_tour_is_led_back(open_page: Callable[..., AppTest]) -> None:
    app = click(open_page(), "Start the tour")
    app = app.switch_page("pages/encoders.py").run()
    assert told(app) == f"**1 of 5: {tour.STEPS[0].title}**"
    # A second run would go where `switch_page` said.
    app = next(button for button in app.button if button.label == "Back to the tour").click().run()
    assert told(app).endswith(tour.STEPS[0].text)


def test_a_step_shows_its_own_view_whatever_was_chosen_before(open_page: Callable[..., AppTest]) -> None:
    app = open_page()
    app.selectbox(key="dataset").select("shapes").run()
    app.selectbox(key="class").select("star").run()
    app = click(app, "Start the tour")
    assert app.selectbox(key="encoder").value == opening.CHOICES["encoder"]
    assert app.selectbox(key="dataset").value == opening.CHOICES["dataset"]
    assert app.selectbox(key="class").value == opening.CHOICES["class"]


def test_the_tile_of_the_tour_is_the_least_likely_and_the_first_step_is_the_opening(
    open_page: Callable[..., AppTest],
) -> None:
    open_page()
    assert tour.STEPS[0].query == opening.CHOICES
    choice = Choice(list_encoders()["photo"], "projector")
    table = score_tables.scores(choice, registry.get_dataset("scenes-test"))
    table = table[table["label"] == "astronaut"].sort_values("jepa_score")
    assert table.iloc[0]["digest"] == tour.UNLIKELY_TILE
    assert len(table) == 128, "as the step says"


def test_every_step_is_two_sentences_and_a_link():
    for number, step in enumerate(tour.STEPS, 1):
        page, _, query = tour.address(number).partition("?")
        assert page == step.page
        assert parse_qs(query)["tour"] == [str(number)]
        assert step.text.count(". ") + step.text.count("? ") == 1
        assert step.text.endswith((".", "?"))
