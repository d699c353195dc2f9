"""The explorer as a person sees it: a real server, headless Chromium. Run by `pytest -m browser`."""

import os
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jepa_core import datasets
from jepa_core.verdict import Kind

if TYPE_CHECKING:  # tests/requirements.txt brings it; collecting these tests must not need it
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parent.parent
PAGES = {"gallery": ""} | {name: name for name in ("domains", "directions", "encoders", "studies", "check")}
WAIT = 90_000  # ms; generous, since a busy machine is no fault of the page

pytestmark = pytest.mark.browser


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A fresh server with an empty cache; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true", f"--server.port={port}"],
            cwd=ROOT,
            env=os.environ | {"JEPA_CACHE": str(tmp_path / "cache")},
            stdout=log,
            stderr=log,
        )
        try:
            _wait_until_healthy(process, address)
            yield address
        finally:
            process.terminate()
            process.wait(30)


def _wait_until_healthy(process: subprocess.Popen[bytes], address: str) -> None:
    for _ in range(600):
        assert process.poll() is None, "the server stopped"
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError("the server did not come up")


@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
        )
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium: "Browser") -> Iterator["Page"]:
    """A tab that fails the test on an uncaught error of a script, and on a request to any other machine."""
    context = chromium.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(WAIT)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: _is_here(request.url) or errors.append(request.url))
    yield page
    context.close()
    assert errors == []


def _is_here(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "data:", "blob:"))


def _settle(tab: "Page") -> None:
    """Wait until the script has run and no job is in progress."""
    tab.wait_for_selector("h1")
    tab.wait_for_function(
        """() => !document.querySelector('[data-testid=stStatusWidget]')
              && !document.querySelector('[data-testid=stProgress]')
              && document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'"""
    )


def _pictures(tab: "Page", count: int) -> list[int]:
    """The natural widths of the pictures in grids once there are `count` of them; 0 for one that did not load."""
    tab.wait_for_function("count => document.querySelectorAll('.jepa-grid img').length >= count", arg=count)
    tab.wait_for_function("() => [...document.querySelectorAll('.jepa-grid img')].every(image => image.complete)")
    return tab.eval_on_selector_all(".jepa-grid img", "images => images.map(image => image.naturalWidth)")


def _assert_sound(tab: "Page") -> None:
    assert tab.locator("[data-testid=stException]").count() == 0
    assert tab.locator("[data-testid=stAlertContentError]").count() == 0
    assert "Traceback" not in tab.inner_text("body")
    overflow = tab.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0, "the page is wider than the window"


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("name", PAGES)
def test_each_page_loads_as_the_first_request_of_a_server(server: str, tab: "Page", name: str, width: int) -> None:
    tab.set_viewport_size({"width": width, "height": 900})
    tab.goto(f"{server}/{PAGES[name]}")
    _settle(tab)
    _assert_sound(tab)
    assert tab.inner_text("h1").lower() == name
    if name in ("gallery", "directions"):
        assert min(_pictures(tab, count=19)) > 0
    if name == "studies":  # a long page: what lies far down is loaded when it is scrolled to
        tab.wait_for_function("() => document.querySelectorAll('.jepa-grid img').length == 40")
    if name in ("gallery", "domains", "directions"):
        tab.wait_for_selector(".js-plotly-plot .plot-container")


def test_a_picture_of_the_gallery_leads_to_its_own_page_without_loading_the_app_anew(server: str, tab: "Page") -> None:
    tab.goto(server)
    _pictures(tab, count=24)
    _settle(tab)
    tab.evaluate("() => { window.loadedOnce = true }")
    first = tab.locator(".jepa-grid a").first
    described, link = first.locator("img").get_attribute("alt"), first.get_attribute("href")
    first.click()
    tab.wait_for_function("() => document.querySelector('h1')?.innerText !== 'Gallery'")
    _settle(tab)
    _assert_sound(tab)
    assert tab.evaluate("() => window.loadedOnce")
    assert described in tab.eval_on_selector_all("img", "all => all.map(image => image.alt)")
    tab.goto(f"{server}/{link}")  # and as a link
    tab.wait_for_function(
        "described => [...document.querySelectorAll('img')].some(image => image.alt === described)", arg=described
    )


def test_scores_are_brushed_pages_turned_and_pictures_picked_and_exported(server: str, tab: "Page") -> None:
    tab.goto(server)
    _pictures(tab, count=24)
    tab.wait_for_selector(".js-plotly-plot .nsewdrag", state="attached")
    _settle(tab)
    plot = tab.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    assert plot
    across = plot["y"] + plot["height"] / 2
    tab.mouse.move(plot["x"] + 0.2 * plot["width"], across)
    tab.mouse.down()
    tab.mouse.move(plot["x"] + 0.3 * plot["width"], across, steps=5)
    tab.mouse.move(plot["x"] + 0.5 * plot["width"], across, steps=5)
    tab.mouse.up()
    tab.wait_for_selector("text=/Images 1 to 60 of/")
    _settle(tab)
    _assert_sound(tab)
    assert "range=" in tab.url
    titles = [float(text) for text in tab.locator(".jepa-grid .title").all_inner_texts()]
    assert titles == sorted(titles)
    assert len(titles) == 60
    brushed = tab.url
    tab.keyboard.press("n")
    tab.wait_for_selector("text=/Images 61 to/")
    _settle(tab)
    faces = tab.locator(".jepa-grid a.face")
    faces.first.focus()
    tab.keyboard.press("x")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("x")  # at once, before the first is answered
    tab.wait_for_selector("text=2 images selected")
    _settle(tab)
    assert tab.locator(".jepa-grid .picked").count() == 2
    focused = tab.evaluate("() => document.activeElement.querySelector('img').alt")
    assert focused == faces.nth(1).locator("img").get_attribute("alt"), "the focus stayed where it was"
    tab.get_by_text("Selection", exact=True).click()
    tab.wait_for_function("() => document.querySelectorAll('.jepa-grid figure').length === 2")
    _settle(tab)
    with tab.expect_download() as download:
        tab.get_by_role("button", name="CSV").click()
    rows = Path(download.value.path()).read_text().splitlines()
    assert len(rows) == 3
    assert focused.split(",")[0] in rows[2]
    tab.goto(brushed)
    tab.wait_for_selector("text=/Images 1 to 60 of/")
    assert [float(text) for text in tab.locator(".jepa-grid .title").all_inner_texts()] == titles


def test_names_of_files_become_text_and_no_elements(server: str, tab: "Page", tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "<img src=x onerror=alert(1)>"
    folder.mkdir(parents=True)
    for item in datasets.sample(datasets.get_dataset("digits-test"), 4, seed=1):
        (folder / f"<b>{item.position}.ppm").write_bytes(item.read())
    tab.on("dialog", lambda _dialog: pytest.fail("a script ran"))
    tab.goto(f"{server}/?dataset=folder+on+this+computer&folder={folder.parent}")
    _pictures(tab, count=6)
    _settle(tab)
    assert tab.locator(".jepa-grid b, .jepa-grid figcaption img").count() == 0
    assert all("<b>" in alt for alt in tab.eval_on_selector_all(".jepa-grid img", "all => all.map(i => i.alt)"))


def test_a_link_opens_its_dataset_and_class(server: str, tab: "Page") -> None:
    tab.goto(f"{server}/?dataset=shapes&class=star")
    _settle(tab)
    _assert_sound(tab)
    tab.wait_for_selector("text=Scores of star")
    assert all("class star" in alt for alt in tab.eval_on_selector_all(".jepa-grid img", "all => all.map(i => i.alt)"))


def test_a_linked_dataset_stays_from_page_to_page(server: str, tab: "Page") -> None:
    tab.goto(f"{server}/?dataset=shapes&class=star")
    tab.wait_for_selector("text=Scores of star")
    tab.get_by_role("link", name="Directions").click()
    tab.wait_for_selector("text=moves by")
    _settle(tab)
    _assert_sound(tab)
    assert "class star" in (tab.locator(".jepa-grid figcaption").first.inner_text())
    assert "dataset=shapes" in tab.url


def test_another_dataset_drops_the_class_from_the_address(server: str, tab: "Page") -> None:
    tab.goto(f"{server}/?dataset=shapes&class=star")
    tab.wait_for_selector("text=Scores of star")
    tab.get_by_role("combobox", name="Dataset").click()
    tab.get_by_role("option", name="galaxies").click()
    tab.wait_for_selector("text=Scores of Galaxies")
    _settle(tab)
    assert "dataset=galaxies" in tab.url
    assert "class=" not in tab.url


def test_the_address_follows_the_image(server: str, tab: "Page") -> None:
    tab.goto(f"{server}/directions")
    tab.wait_for_selector("text=moves by")
    _settle(tab)
    before = tab.locator(".jepa-grid img").first.get_attribute("alt")
    slider = tab.get_by_role("slider").first
    slider.focus()
    slider.press("ArrowRight")
    # The address changes at once, the picture when the page has run: wait for the picture.
    tab.wait_for_function("before => document.querySelector('.jepa-grid img')?.alt !== before", arg=before)
    _settle(tab)
    described = tab.locator(".jepa-grid img").first.get_attribute("alt")
    assert "place=2" in tab.url
    tab.goto(tab.url)
    tab.wait_for_selector("text=moves by")
    _settle(tab)
    assert tab.locator(".jepa-grid img").first.get_attribute("alt") == described


def test_a_folder_in_a_link_is_text_and_nothing_else(server: str, tab: "Page") -> None:
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    folder = "/x ![x](https://example.org/p.png) [y](https://example.org)"
    tab.goto(f"{server}/?dataset=folder+on+this+computer&folder={folder}")
    tab.wait_for_selector("[data-testid=stAlertContentError]")
    _settle(tab)
    assert not [url for url in asked if url.startswith("https://example.org")]
    assert tab.locator("[data-testid=stAlertContentError] img").count() == 0
    # Addresses become links by themselves, but none can hide behind other words.
    assert all("example.org" in text for text in tab.locator("[data-testid=stAlertContentError] a").all_inner_texts())


def test_a_folder_is_scored_while_one_watches(server: str, tab: "Page", tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for item in datasets.get_dataset("digits-test").items("3"):
        (folder / f"{item.position}.ppm").write_bytes(item.read())
    tab.goto(f"{server}/?dataset=folder+on+this+computer&folder={folder}")
    assert min(_pictures(tab, count=24)) > 0
    _settle(tab)
    _assert_sound(tab)


def test_an_upload_is_checked_and_a_bad_one_named(server: str, tab: "Page", tmp_path: Path) -> None:
    good, bad = tmp_path / "digit.ppm", tmp_path / "bad.png"
    good.write_bytes(datasets.get_dataset("digits-validation").item(0).read())
    bad.write_bytes(b"not a picture")
    tab.goto(f"{server}/check")
    _settle(tab)
    tab.set_input_files("input[type=file]", [good, bad])
    tab.wait_for_selector("text=Download the table")
    _settle(tab)
    verdict = tab.get_by_text(re.compile("|".join(Kind)))
    assert verdict.count() == 1
    assert tab.locator("[data-testid=stException]").count() == 0
    alerts = tab.locator("[data-testid=stAlertContentError]").all_inner_texts()
    assert len(alerts) == 1
    assert "bad.png" in alerts[0]
