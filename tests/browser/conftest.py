"""A browser and a server for all of these tests, and a tab for each."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.looking import WAIT

if TYPE_CHECKING:  # tests/requirements.txt brings it; collecting these tests must not need it
    from playwright.sync_api import Browser, BrowserContext, Page

# Without a graphics card each frame of an animation is drawn by the processor, which has a page to compute.
_STILL = """document.addEventListener('DOMContentLoaded', () => {
  const style = document.createElement('style');
  style.textContent = `*, *::before, *::after {
    transition-duration: 1ms !important; transition-delay: 0s !important;
    animation-duration: 1ms !important; animation-delay: 0s !important; animation-iteration-count: 1 !important;
  }`;
  document.head.append(style);
});"""


@pytest.fixture(scope="package")
def chromium() -> Iterator["Browser"]:
    from benchmarks.serving import browser

    with browser() as launched:
        yield launched


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that is shared: starting one and computing what a first page needs takes a while."""
    from benchmarks.serving import server

    with server(tmp_path_factory.mktemp("shared")) as running:
        yield running.address


@pytest.fixture
def fresh_server(tmp_path: Path) -> Iterator[str]:
    """The address of a server that nobody has asked for anything, with an empty cache."""
    from benchmarks.serving import server

    with server(tmp_path / "cache") as running:
        yield running.address


@pytest.fixture(scope="package")
def context(chromium: "Browser") -> Iterator["BrowserContext"]:
    """A profile for all tabs, so that a server's scripts are fetched and compiled once; a session is a tab's own."""
    context = chromium.new_context()
    context.add_init_script(_STILL)
    yield context
    context.close()


@pytest.fixture
def tab(context: "BrowserContext") -> Iterator["Page"]:
    """A light tab that fails the test on an uncaught error of a script, and on a request to any other machine."""
    page = context.new_page()
    page.set_viewport_size({"width": 1440, "height": 1000})
    page.emulate_media(color_scheme="light")
    page.set_default_timeout(WAIT)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: _is_here(request.url) or errors.append(request.url))
    yield page
    page.close()
    assert errors == []


def _is_here(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "data:", "blob:"))
