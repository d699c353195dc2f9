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

from jepa_core import datasets, images
from jepa_core.verdict import Kind

if TYPE_CHECKING:  # tests/requirements.txt brings it; collecting these tests must not need it
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parent.parent
PAGES = {path.stem: "" if path.stem == "gallery" else path.stem for path in (ROOT / "pages").glob("*.py")}
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
    if name in ("gallery", "domains", "directions", "compare", "map"):
        tab.wait_for_selector(".js-plotly-plot .plot-container")


def test_a_picture_of_the_gallery_leads_to_its_page_and_on_to_its_directions(server: str, tab: "Page") -> None:
    tab.goto(server)
    _pictures(tab, count=24)
    _settle(tab)
    tab.evaluate("() => { window.loadedOnce = true }")
    first = tab.locator(".jepa-grid a").first
    described = first.locator("img").get_attribute("alt")
    first.click()
    tab.wait_for_selector("text=the rank is 16")
    _settle(tab)
    _assert_sound(tab)
    assert tab.evaluate("() => window.loadedOnce"), "the app was not loaded anew"
    assert tab.get_by_alt_text(described, exact=True).count() > 0
    tab.get_by_role("link", name="Its directions").click()
    tab.wait_for_selector("text=moves by")
    _settle(tab)
    _assert_sound(tab)


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
    _pictures(tab, count=60)
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


def test_the_next_image_by_score_is_a_key_away_and_its_address_opens_it_again(server: str, tab: "Page") -> None:
    tab.goto(f"{server}/image")
    tab.get_by_text("1 of 360 by score").wait_for()
    _settle(tab)
    tab.keyboard.press("k")
    tab.get_by_text("2 of 360 by score").wait_for()
    tab.wait_for_selector("text=the rank is 16")
    _settle(tab)
    _assert_sound(tab)
    digest = tab.locator(".jepa-facts dd").filter(has_text=re.compile("^[0-9a-f]{64}$")).inner_text()
    assert f"image={digest}" in tab.url
    tab.goto(tab.url)
    tab.get_by_text("2 of 360 by score").wait_for()


def test_a_direction_is_walked_along(server: str, tab: "Page") -> None:
    tab.goto(f"{server}/directions")
    tab.wait_for_selector("text=pixels are clipped")
    _settle(tab)
    picture = tab.get_by_alt_text(re.compile("^Along direction 1, t = "))
    before = picture.get_attribute("src")
    slider = tab.get_by_role("slider", name="Step length t")
    slider.focus()
    slider.press("ArrowRight")
    tab.wait_for_function(
        "before => document.querySelector('img[alt^=\"Along direction 1, t = \"]')?.src !== before", arg=before
    )
    _settle(tab)
    _assert_sound(tab)
    assert "t=3" in tab.url
    described = picture.get_attribute("alt")
    tab.goto(tab.url)
    tab.wait_for_selector("text=pixels are clipped")
    assert tab.get_by_alt_text(re.compile("^Along direction 1, t = ")).get_attribute("alt") == described


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
    _settle(tab)
    _assert_sound(tab)
    assert tab.get_by_text("Draw a line around points").count() == 1
    _drag(tab, (0.02, 0.02), (0.4, 0.02), (0.4, 0.4), (0.02, 0.4), (0.02, 0.02))
    tab.get_by_text(re.compile(r"^\d+ images selected")).wait_for()
    _settle(tab)
    described = tab.locator(".jepa-grid img").first.get_attribute("alt") or ""
    photo, world = (float(found) for found in re.findall(r"([\d.]+) by", described))
    assert photo < 50 < world, "top left are images that photo finds unlikely and world finds likely"
    tab.get_by_text("20 %", exact=True).click()  # what is selected stays when something else changes
    _settle(tab)
    assert tab.get_by_text(re.compile(r"^\d+ images selected")).count() == 1


def test_another_form_of_domains_is_in_the_address(server: str, tab: "Page") -> None:
    tab.goto(f"{server}/domains")
    tab.wait_for_selector("text=Where these images come from")
    _settle(tab)
    tab.get_by_text("Cumulative", exact=True).click()
    tab.wait_for_selector("text=Dotted is the reference")
    tab.get_by_text("side by side", exact=False).last.click()
    tab.wait_for_selector("text=each has its own")
    _settle(tab)
    _assert_sound(tab)
    assert {"form=cumulative", "across=all"} <= set(tab.url.split("?")[1].split("&"))
    tab.goto(tab.url)
    tab.wait_for_selector("text=each has its own")


def test_a_lasso_on_the_map_shows_its_pictures_and_a_link_shows_them_again(
    server: str, tab: "Page", chromium: "Browser"
) -> None:
    tab.goto(f"{server}/map")
    tab.wait_for_selector(".js-plotly-plot .nsewdrag")
    _settle(tab)
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
    assert min(_pictures(tab, count=32)) > 0
    _settle(tab)
    _assert_sound(tab)
    assert "area=" in tab.url
    context = chromium.new_context()
    again = context.new_page()
    again.set_default_timeout(WAIT)
    again.goto(tab.url)
    again.wait_for_selector("text=360 images selected")
    context.close()


def test_a_running_job_is_cancelled_from_the_runs_page(server: str, tab: "Page", tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for item in datasets.get_dataset("digits-train").items():  # upside down, so that nobody has scored them
        picture = images.decode(item.read()).image.rotate(180)
        picture.save(folder / f"{item.position}.png")
    tab.goto(f"{server}/?dataset=folder+on+this+computer&folder={folder}&output=backbone")
    score = tab.get_by_role("button", name="Score 1077 missing images")
    score.click()
    tab.wait_for_selector("[data-testid=stProgress]")
    tab.get_by_role("link", name="Runs").click()
    tab.get_by_role("button", name="Cancel").click()
    tab.get_by_role("button", name="Retry").wait_for()
    _settle(tab)
    _assert_sound(tab)
    assert tab.locator("[data-testid=stProgress]").count() == 0
