"""What axe-core finds on every page, light and dark, and whether a narrow window shows all of it.

Findings that Streamlit's own elements cause are listed here by rule and element, each looked at once in its DOM, and no
others pass. docs/accessibility.md has them in words.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.test_browser import PAGES, WAIT, _settle

if TYPE_CHECKING:  # tests/requirements.txt brings it; collecting these tests must not need it
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

# Rule -> selectors of Streamlit's elements within which it is Streamlit's.
STREAMLITS = {
    # The navigation: sections are a div between the list and its items.
    "list": ("[data-testid=stSidebarNavItems]",),
    "listitem": ("[data-testid=stSidebarNavItems]",),
    # In the dark it writes white on the theme's colour, and that colour on the ground: no colour has a contrast of
    # 4.5 both ways, since white on this ground has less than 4.5 times 4.5. Ours has 4.3 and 4.1.
    "color-contrast": ("[data-testid=stMultiSelect]", "[data-testid=stButtonGroup]", "[data-testid=stSlider]"),
}
_FIND = """async ([rules]) => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  const element = (target) => target.flat().reduce((root, selector) =>
    (root.shadowRoot ?? root).querySelector(selector), document);
  return found.violations.filter((one) => ["serious", "critical"].includes(one.impact)).flatMap((one) =>
    one.nodes.filter((node) => !(rules[one.id] ?? []).some((selector) => element(node.target)?.closest(selector)))
      .map((node) => `${one.id}: ${node.html.slice(0, 200)} (${node.failureSummary})`));
}"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, "Browser"]]:
    """A server and a browser for all of these tests: they only look."""
    from benchmarks.serving import browser, server

    with server(tmp_path_factory.mktemp("axe")) as running, browser() as chromium:
        yield running.address, chromium


@pytest.fixture(params=["light", "dark"])
def tab(request: pytest.FixtureRequest, served: tuple[str, "Browser"]) -> Iterator["Page"]:
    context = served[1].new_context(viewport={"width": 1440, "height": 1000}, color_scheme=request.param)
    page = context.new_page()
    page.set_default_timeout(WAIT)
    yield page
    context.close()


def findings(tab: "Page") -> list[str]:
    """The serious and critical ones that are not Streamlit's."""
    from axe_playwright_python.sync_playwright import Axe

    tab.evaluate(Axe().axe_script)
    return tab.evaluate(_FIND, [STREAMLITS])


def overflow(tab: "Page") -> int:
    """How many pixels the page is wider than a phone's window."""
    tab.set_viewport_size({"width": 390, "height": 844})
    tab.wait_for_timeout(500)  # charts are drawn anew
    return tab.evaluate(
        """() => Math.max(...[document.documentElement, document.querySelector('[data-testid=stMain]')]
              .map((element) => element.scrollWidth - element.clientWidth))"""
    )


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_serious_finding_of_its_own_and_fits_a_narrow_window(
    served: tuple[str, "Browser"], tab: "Page", name: str
) -> None:
    tab.goto(f"{served[0]}/{PAGES[name]}")
    _settle(tab)
    assert findings(tab) == []
    assert overflow(tab) <= 0


def test_verdicts_have_no_serious_finding_and_fit_a_narrow_window(served: tuple[str, "Browser"], tab: "Page") -> None:
    tab.goto(f"{served[0]}/check")
    _settle(tab)
    tab.get_by_role("button", name="Take six examples").click()
    tab.wait_for_selector("text=Download the table")
    _settle(tab)
    assert findings(tab) == []
    assert overflow(tab) <= 0


def test_the_tour_and_an_explanation_have_no_serious_finding(served: tuple[str, "Browser"], tab: "Page") -> None:
    tab.goto(f"{served[0]}/encoders?tour=1")
    _settle(tab)
    tab.get_by_role("button", name="What am I looking at?").click()
    tab.wait_for_selector(".drawing svg")
    assert findings(tab) == []


def test_a_verdict_is_chosen_with_the_keyboard(served: tuple[str, "Browser"], tab: "Page") -> None:
    tab.goto(f"{served[0]}/check")
    _settle(tab)
    tab.get_by_role("button", name="Take six examples").click()
    tab.wait_for_selector("text=Download the table")
    _settle(tab)
    button = tab.get_by_role("button", name="digits-validation.ppm")
    button.press("Enter")
    tab.wait_for_selector("img[alt='The part of digits-validation.ppm that was scored']")
    assert button.get_attribute("aria-pressed") == "true"
