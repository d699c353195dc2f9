"""Each page, opened by a link; some before anything else of their server.

A server of its own takes 10 to 30 seconds of a processor, and that all pages begin alike is tested without one.
"""

from typing import TYPE_CHECKING

import pytest

from tests.browser.looking import PAGES, assert_sound, pictures, settle

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


# A page with a job, the one at the root of the address, and one that shows what was uploaded.
FIRST = ("image", "gallery", "check")


@pytest.mark.parametrize("name", FIRST)
def test_a_page_loads_as_the_first_request_of_a_server_and_again_in_a_narrow_window(
    fresh_server: str, tab: "Page", name: str
) -> None:
    look(tab, fresh_server, name)


@pytest.mark.parametrize("name", sorted(PAGES.keys() - set(FIRST)))
def test_a_page_loads_and_again_in_a_narrow_window(server: str, tab: "Page", name: str) -> None:
    look(tab, server, name)


def look(tab: "Page", address: str, name: str) -> None:
    for width in (1440, 390):
        tab.set_viewport_size({"width": width, "height": 900})
        tab.goto(f"{address}/{PAGES[name]}")
        settle(tab)
        assert_sound(tab)
        assert tab.inner_text("h1").lower() == name
        if name in ("gallery", "directions"):
            assert min(pictures(tab, count=19)) > 0
        if name == "studies":  # a long page: what lies far down is loaded when it is scrolled to
            tab.wait_for_function("() => document.querySelectorAll('.jepa-grid img').length == 40")
        if name in ("gallery", "domains", "directions", "compare", "map"):
            tab.wait_for_selector(".js-plotly-plot .plot-container")
