"""What the browser tests share: the pages, and waiting until one of them stands still."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # tests/requirements.txt brings it; collecting these tests must not need it
    from playwright.sync_api import Page

ROOT = Path(__file__).parent.parent.parent
PAGES = {path.stem: "" if path.stem == "gallery" else path.stem for path in (ROOT / "pages").glob("*.py")}
WAIT = 90_000  # ms; generous, since a busy machine is no fault of the page


def settle(tab: "Page") -> None:
    """Wait until the script has run, no job is in progress, and the page looks as it will.

    That is: nothing is stale, is still loaded or fades, and the explorer's own styles, which come as an element of the
    page and so after a part of it, are there.
    """
    tab.wait_for_selector("h1")
    tab.wait_for_function(
        """() => !document.querySelector(
                '[data-testid=stStatusWidget], [data-testid=stProgress], [data-testid=stSkeleton], [data-stale=true]')
              && document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'
              && document.querySelector('[data-testid=stHtml] style')
              && !document.getAnimations().some(
                (one) => one instanceof CSSTransition && one.playState === 'running')""",
        polling=100,  # a page on which nothing moves may draw no frame for seconds
    )


def pictures(tab: "Page", count: int) -> list[int]:
    """The natural widths of the pictures in grids once there are `count` of them; 0 for one that did not load."""
    tab.wait_for_function("count => document.querySelectorAll('.jepa-grid img').length >= count", arg=count)
    tab.wait_for_function("() => [...document.querySelectorAll('.jepa-grid img')].every(image => image.complete)")
    return tab.eval_on_selector_all(".jepa-grid img", "images => images.map(image => image.naturalWidth)")


def assert_sound(tab: "Page") -> None:
    """The page shows no error, and is not wider than its window."""
    assert tab.locator("[data-testid=stException]").count() == 0
    assert tab.locator("[data-testid=stAlertContentError]").count() == 0
    assert "Traceback" not in tab.inner_text("body")
    overflow = tab.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0, "the page is wider than the window"
