"""A browser and a server for all of these tests, and a tab for each."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.looking import WAIT

if TYPE_CHECKING:  # tests/requirements.txt brings it; collecting these tests must not need it
    from playwright.sync_api import Browser, Page


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


@pytest.fixture
def tab(request: pytest.FixtureRequest, chromium: "Browser") -> Iterator["Page"]:
    """A tab that fails the test on an uncaught error of a script, and on a request to any other machine.

    It is light, or what the test's parameter says.
    """
    scheme = getattr(request, "param", "light")
    context = chromium.new_context(viewport={"width": 1440, "height": 1000}, color_scheme=scheme)
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
