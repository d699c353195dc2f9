"""Image and Directions in a browser: ways there, addresses, keys and walks."""

import re
from typing import TYPE_CHECKING

import pytest

from tests.browser.looking import assert_sound, pictures, settle

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_a_picture_of_the_gallery_leads_to_its_page_and_on_to_its_directions(server: str, tab: "Page") -> None:
    tab.goto(f"{server}/?encoder=digits&dataset=digits-test")
    pictures(tab, count=24)
    settle(tab)
    tab.evaluate("() => { window.loadedOnce = true }")
    first = tab.locator(".jepa-grid a").first
    described = first.locator("img").get_attribute("alt")
    first.click()
    tab.wait_for_selector("text=the rank is 16")
    settle(tab)
    assert_sound(tab)
    assert tab.evaluate("() => window.loadedOnce"), "the app was not loaded anew"
    assert tab.get_by_alt_text(described, exact=True).count() > 0
    tab.get_by_role("link", name="Its directions").click()
    tab.wait_for_selector("text=moves by")
    settle(tab)
    assert_sound(tab)


def test_a_linked_dataset_stays_from_page_to_page(server: str, tab: "Page") -> None:
    tab.goto(f"{server}/?dataset=shapes&class=star")
    tab.wait_for_selector("text=Scores of star")
    tab.get_by_role("link", name="Directions").click()
    tab.wait_for_selector("text=moves by")
    settle(tab)
    assert_sound(tab)
    assert "star" in (tab.locator(".jepa-grid figcaption").first.inner_text())
    assert "dataset=shapes" in tab.url


def test_the_address_follows_the_image(server: str, tab: "Page") -> None:
    tab.goto(f"{server}/directions")
    tab.wait_for_selector("text=moves by")
    settle(tab)
    before = tab.locator(".jepa-grid img").first.get_attribute("alt")
    slider = tab.get_by_role("slider").first
    slider.focus()
    slider.press("ArrowRight")
    # The address changes at once, the picture when the page has run: wait for the picture.
    tab.wait_for_function("before => document.querySelector('.jepa-grid img')?.alt !== before", arg=before)
    settle(tab)
    described = tab.locator(".jepa-grid img").first.get_attribute("alt")
    assert "place=2" in tab.url
    tab.goto(tab.url)
    tab.wait_for_selector("text=moves by")
    settle(tab)
    assert tab.locator(".jepa-grid img").first.get_attribute("alt") == described


def test_the_next_image_by_score_is_a_key_away_and_its_address_opens_it_again(server: str, tab: "Page") -> None:
    tab.goto(f"{server}/image")
    tab.get_by_text("1 of 360 by score").wait_for()
    settle(tab)
    tab.keyboard.press("k")
    tab.get_by_text("2 of 360 by score").wait_for()
    tab.wait_for_selector("text=the rank is 16")
    settle(tab)
    assert_sound(tab)
    digest = tab.locator(".jepa-facts dd").filter(has_text=re.compile("^[0-9a-f]{64}$")).inner_text()
    assert f"image={digest}" in tab.url
    tab.goto(tab.url)
    tab.get_by_text("2 of 360 by score").wait_for()


def test_a_direction_is_walked_along(server: str, tab: "Page") -> None:
    tab.goto(f"{server}/directions")
    tab.wait_for_selector("text=pixels are clipped")
    settle(tab)
    picture = tab.get_by_alt_text(re.compile("^Along direction 1, t = "))
    before = picture.get_attribute("src")
    slider = tab.get_by_role("slider", name="Step length t")
    slider.focus()
    slider.press("ArrowRight")
    tab.wait_for_function(
        "before => document.querySelector('img[alt^=\"Along direction 1, t = \"]')?.src !== before", arg=before
    )
    settle(tab)
    assert_sound(tab)
    assert "t=3" in tab.url
    described = picture.get_attribute("alt")
    tab.goto(tab.url)
    tab.wait_for_selector("text=pixels are clipped")
    assert tab.get_by_alt_text(re.compile("^Along direction 1, t = ")).get_attribute("alt") == described


def test_the_encoder_stays_chosen_from_page_to_page(server: str, tab: "Page") -> None:
    tab.goto(f"{server}/data?encoder=world&group=bundled")
    settle(tab)
    tab.locator(".st-key-open-photo-tiles button").click()
    tab.wait_for_selector("text=The coloured ends of the histogram")
    settle(tab)
    assert "encoder=world" in tab.url
    assert tab.get_by_text("Encoder world, output").count() == 1
    tab.get_by_role("link", name="Map").click()
    tab.wait_for_selector("h1:has-text('Map')")
    settle(tab)
    assert "encoder=world" in tab.url
    tab.locator(".st-key-encoder input").click()
    tab.get_by_role("option", name="Mixed (LeJEPA)").click()
    settle(tab)
    tab.get_by_role("link", name="Gallery").click()
    tab.wait_for_selector("h1:has-text('Gallery')")
    settle(tab)
    assert "encoder=mixed" in tab.url
