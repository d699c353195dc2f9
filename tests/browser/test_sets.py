"""Compare, Domains and Map in a browser: lassos, and what the address keeps."""

import re
from typing import TYPE_CHECKING

import pytest

from tests.browser.looking import WAIT, assert_sound, pictures, settle

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


def _drag(tab: "Page", *corners: tuple[float, float]) -> None:
    """Draw through corners of the first chart (0 to 1 from its top left) with the mouse held down."""
    box = tab.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    assert box is not None
    for number, (across, down) in enumerate(corners):
        tab.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"], steps=5)
        if number == 0:
            tab.mouse.down()
    tab.mouse.up()


def test_a_lasso_on_compare_shows_the_pictures_of_its_points(server: str, tab: "Page") -> None:
    tab.goto(f"{server}/compare?encoders=photo,world&dataset=digits-test")
    tab.wait_for_selector("text=The same from a terminal")
    settle(tab)
    assert_sound(tab)
    assert tab.get_by_text("Draw a line around points").count() == 1
    _drag(tab, (0.02, 0.02), (0.4, 0.02), (0.4, 0.4), (0.02, 0.4), (0.02, 0.02))
    tab.get_by_text(re.compile(r"^\d+ images selected")).wait_for()
    settle(tab)
    described = tab.locator(".jepa-grid img").first.get_attribute("alt") or ""
    photo, world = (float(found) for found in re.findall(r"([\d.]+) by", described))
    assert photo < 50 < world, "top left are images that photo finds unlikely and world finds likely"
    tab.get_by_text("20 %", exact=True).click()  # what is selected stays when something else changes
    settle(tab)
    assert tab.get_by_text(re.compile(r"^\d+ images selected")).count() == 1
    tab.locator(".jepa-grid a").first.click()  # in a fragment of a fragment, whose click runs no more than that
    tab.wait_for_selector("text=the rank is")
    settle(tab)
    assert_sound(tab)
    assert (tab.locator("h1").inner_text(), "image=" in tab.url) == ("Image", True)


def test_another_form_of_domains_is_in_the_address(server: str, tab: "Page") -> None:
    tab.goto(f"{server}/domains")
    tab.wait_for_selector("text=Where these images come from")
    settle(tab)
    tab.get_by_text("Cumulative", exact=True).click()
    tab.wait_for_selector("text=Dotted is the reference")
    tab.get_by_text("side by side", exact=False).last.click()
    tab.wait_for_selector("text=each has its own")
    settle(tab)
    assert_sound(tab)
    assert {"form=cumulative", "across=all"} <= set(tab.url.split("?")[1].split("&"))
    tab.goto(tab.url)
    tab.wait_for_selector("text=each has its own")


def test_a_lasso_on_the_map_shows_its_pictures_and_a_link_shows_them_again(
    server: str, tab: "Page", chromium: "Browser"
) -> None:
    tab.goto(f"{server}/map")
    tab.wait_for_selector(".js-plotly-plot .nsewdrag")
    settle(tab)
    tab.locator(".js-plotly-plot").hover()
    tab.locator(".modebar-btn[data-val=lasso]").click()
    box = tab.locator(".js-plotly-plot .nsewdrag").bounding_box()
    assert box is not None
    left, top, right, bottom = box["x"] + 4, box["y"] + 4, box["x"] + box["width"] - 4, box["y"] + box["height"] - 4
    tab.mouse.move(left, top)
    tab.mouse.down()
    for x, y in ((right, top), (right, bottom), (left, bottom), (left, top)):
        tab.mouse.move(x, y, steps=4)
    tab.mouse.up()
    tab.wait_for_selector("text=360 images selected")
    assert min(pictures(tab, count=32)) > 0
    settle(tab)
    assert_sound(tab)
    assert "area=" in tab.url
    context = chromium.new_context()
    again = context.new_page()
    again.set_default_timeout(WAIT)
    again.goto(tab.url)
    again.wait_for_selector("text=360 images selected")
    context.close()
