"""The Gallery in a browser: choosing, turning pages, picking, and folders of one's own."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from jepa_core.datasets import registry
from tests.browser.looking import assert_sound, pictures, settle

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_scores_are_brushed_pages_turned_and_pictures_picked_and_exported(server: str, tab: "Page") -> None:
    tab.goto(f"{server}/?encoder=digits&dataset=digits-test")
    pictures(tab, count=24)
    tab.wait_for_selector(".js-plotly-plot .nsewdrag", state="attached")
    settle(tab)
    plot = tab.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    assert plot
    across = plot["y"] + plot["height"] / 2
    tab.mouse.move(plot["x"] + 0.2 * plot["width"], across)
    tab.mouse.down()
    tab.mouse.move(plot["x"] + 0.3 * plot["width"], across, steps=5)
    tab.mouse.move(plot["x"] + 0.5 * plot["width"], across, steps=5)
    tab.mouse.up()
    tab.wait_for_selector("text=/Images 1 to 60 of/")
    settle(tab)
    assert_sound(tab)
    assert "range=" in tab.url
    titles = [float(text) for text in tab.locator(".jepa-grid .title").all_inner_texts()]
    assert titles == sorted(titles)
    assert len(titles) == 60
    brushed = tab.url
    tab.keyboard.press("n")
    tab.wait_for_selector("text=/Images 61 to/")
    settle(tab)
    faces = tab.locator(".jepa-grid a.face")
    faces.first.focus()
    tab.keyboard.press("x")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("x")  # at once, before the first is answered
    tab.wait_for_selector("text=2 images selected")
    settle(tab)
    assert tab.locator(".jepa-grid .picked").count() == 2
    focused = tab.evaluate("() => document.activeElement.querySelector('img').alt")
    assert focused == faces.nth(1).locator("img").get_attribute("alt"), "the focus stayed where it was"
    tab.get_by_text("Selection", exact=True).click()
    tab.wait_for_function("() => document.querySelectorAll('.jepa-grid figure').length === 2")
    settle(tab)
    with tab.expect_download() as download:
        tab.get_by_role("button", name="CSV").click()
    rows = Path(download.value.path()).read_text().splitlines()
    assert len(rows) == 3
    assert focused.split(",")[0] in rows[2]
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Parquet").click()
    table = pd.read_parquet(download.value.path())
    assert focused.split(",")[0] in table["name"][1]
    assert all(len(embedding) for embedding in table["embedding"])
    tab.goto(brushed)
    tab.wait_for_selector("text=/Images 1 to 60 of/")
    pictures(tab, count=60)
    assert [float(text) for text in tab.locator(".jepa-grid .title").all_inner_texts()] == titles


def test_names_of_files_become_text_and_no_elements(server: str, tab: "Page", tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "<img src=x onerror=alert(1)>"
    folder.mkdir(parents=True)
    for item in registry.sample(registry.get_dataset("digits-test"), 4, seed=1):
        (folder / f"<b>{item.position}.ppm").write_bytes(item.read())
    tab.on("dialog", lambda _dialog: pytest.fail("a script ran"))
    tab.goto(f"{server}/?dataset=folder+on+this+computer&folder={folder.parent}")
    pictures(tab, count=6)
    settle(tab)
    assert tab.locator(".jepa-grid b, .jepa-grid figcaption img").count() == 0
    assert all("<b>" in alt for alt in tab.eval_on_selector_all(".jepa-grid img", "all => all.map(i => i.alt)"))


def test_a_link_opens_its_dataset_and_class(server: str, tab: "Page") -> None:
    tab.goto(f"{server}/?dataset=shapes&class=star")
    settle(tab)
    assert_sound(tab)
    tab.wait_for_selector("text=Scores of star")
    assert all(
        ", star: score" in alt for alt in tab.eval_on_selector_all(".jepa-grid img", "all => all.map(i => i.alt)")
    )


def test_who_declines_the_tour_is_not_asked_on_the_next_visit(server: str, tab: "Page") -> None:
    tab.goto(server)
    tab.get_by_role("button", name="No, thanks").click()
    tab.wait_for_function("() => document.cookie.includes('jepa_tour')")
    tab.reload()
    settle(tab)
    assert tab.get_by_role("button", name="Two-minute tour").count(), "the sidebar offers it still"
    assert not tab.get_by_role("button", name="Start the tour").count()


def test_another_dataset_drops_the_class_from_the_address(server: str, tab: "Page") -> None:
    tab.goto(f"{server}/?dataset=shapes&class=star")
    tab.wait_for_selector("text=Scores of star")
    tab.get_by_role("combobox", name="Dataset").click()
    tab.get_by_role("option", name="galaxies").click()
    tab.wait_for_selector("text=Scores of Galaxies")
    settle(tab)
    assert "dataset=galaxies" in tab.url
    assert "class=" not in tab.url


def test_a_folder_in_a_link_is_text_and_nothing_else(server: str, tab: "Page") -> None:
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    folder = "/x ![x](https://example.org/p.png) [y](https://example.org)"
    tab.goto(f"{server}/?dataset=folder+on+this+computer&folder={folder}")
    tab.wait_for_selector("[data-testid=stAlertContentError]")
    settle(tab)
    assert not [url for url in asked if url.startswith("https://example.org")]
    assert tab.locator("[data-testid=stAlertContentError] img").count() == 0
    # Addresses become links by themselves, but none can hide behind other words.
    assert all("example.org" in text for text in tab.locator("[data-testid=stAlertContentError] a").all_inner_texts())


def test_a_folder_is_scored_while_one_watches(server: str, tab: "Page", tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for item in registry.get_dataset("digits-test").items("3"):
        (folder / f"{item.position}.ppm").write_bytes(item.read())
    tab.goto(f"{server}/?dataset=folder+on+this+computer&folder={folder}")
    assert min(pictures(tab, count=24)) > 0
    settle(tab)
    assert_sound(tab)
