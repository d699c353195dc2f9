"""The bare address opens on photographs whose two ends differ at sight; any other address opens what it says."""

import pytest
from streamlit.testing.v1 import AppTest

from pages._shared import opening
from tests.helpers import grids
from tests.pages.test_pages import ROOT, assert_no_error, settled


def visit(**query: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    return settled(app.run())


@pytest.mark.usefixtures("open_page")
def test_the_bare_address_opens_on_photographs_and_says_what_sets_their_ends_apart() -> None:
    app = visit()
    assert_no_error(app)
    assert {name: app.query_params[name] for name in opening.CHOICES} == opening.CHOICES
    assert app.selectbox(key="encoder").value == opening.CHOICES["encoder"]
    shown = grids(app)
    assert all(card["source"] for end in ("least", "most") for card in shown[end])
    [sentence] = [one.value for one in app.markdown if one.value.startswith("The two ends differ at sight in")]
    assert "the least likely are colourful" in sentence
    assert "the most likely grey" in sentence
    app = settled(app.selectbox(key="dataset").select("digits-test").run())
    assert app.selectbox(key="dataset").value == "digits-test"
    assert "class" not in app.query_params


@pytest.mark.usefixtures("open_page")
def test_an_address_that_says_anything_is_left_as_it_is() -> None:
    app = visit(dataset="shapes")
    assert_no_error(app)
    assert app.selectbox(key="encoder").value == "digits"
    assert app.selectbox(key="dataset").value == "shapes"
