"""Each page, opened by a link before anything else of its server."""

from typing import TYPE_CHECKING

import pytest

from tests.browser.looking import PAGES, assert_sound, pictures, settle

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("name", PAGES)
def test_each_page_loads_as_the_first_request_of_a_server_and_again_in_a_narrow_window(
    fresh_server: str, tab: "Page", name: str
) -> None:
    for width in (1440, 390):
        tab.set_viewport_size({"width": width, "height": 900})
        tab.goto(f"{fresh_server}/{PAGES[name]}")
        settle(tab)
        assert_sound(tab)
        assert tab.inner_text("h1").lower() == name
        if name in ("gallery", "directions"):
            assert min(pictures(tab, count=19)) > 0
        if name == "studies":  # a long page: what lies far down is loaded when it is scrolled to
            tab.wait_for_function("() => document.querySelectorAll('.jepa-grid img').length == 40")
        if name in ("gallery", "domains", "directions", "compare", "map"):
            tab.wait_for_selector(".js-plotly-plot .plot-container")
