"""To review in a browser: an order with its reasons, and tags that are there on the next visit."""

from typing import TYPE_CHECKING

import pytest

from tests.browser.looking import assert_sound, pictures, settle

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_what_was_listed_for_review_is_picked_tagged_and_found_again(server: str, tab: "Page") -> None:
    tab.goto(f"{server}/?encoder=digits&dataset=digits-validation&show=curate")
    tab.get_by_text("Images 1 to").wait_for()
    pictures(tab, count=12)
    settle(tab)
    assert_sound(tab)
    assert "its first images, as many as were planted, had" in tab.content()
    assert any("% of its class" in words for words in tab.locator(".jepa-grid .aside").all_inner_texts())
    face = tab.locator(".jepa-grid a.face").first
    told = face.locator("img").get_attribute("alt")
    face.focus()
    tab.keyboard.press("x")
    tab.wait_for_selector("text=1 image selected")
    tab.get_by_text("Selection", exact=True).click()
    tab.get_by_role("combobox", name="Tag").fill("odd one")
    tab.keyboard.press("Enter")
    settle(tab)
    tab.get_by_role("button", name="Add tag").click()
    tab.wait_for_selector("text=Tagged odd one")
    tab.goto(f"{server}/?encoder=digits&dataset=digits-validation&show=selection")
    tab.get_by_role("button", name="odd one (1)").click()
    tab.wait_for_function("() => document.querySelectorAll('.jepa-grid figure').length === 1")
    settle(tab)
    assert_sound(tab)
    alt = tab.locator(".jepa-grid img").get_attribute("alt")
    assert told
    assert alt
    assert alt.split(",")[0] == told.split(",")[0]
