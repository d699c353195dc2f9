"""What axe-core finds on every page, light and dark, and whether a narrow window shows all of it.

Findings that Streamlit's own elements cause are listed here by rule and element, each looked at once in its DOM, and no
others pass. docs/accessibility.md has them in words.
"""

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from tests.browser.looking import PAGES, settle

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

# Rule -> selectors of Streamlit's elements within which it is Streamlit's.
STREAMLITS = {
    # The navigation: sections are a div between the list and its items.
    "list": ("[data-testid=stSidebarNavItems]",),
    "listitem": ("[data-testid=stSidebarNavItems]",),
}
_FIND = """async ([rules]) => {
  const found = await axe.run(document, {resultTypes: ["violations"]});
  const element = (target) => target.flat().reduce((root, selector) =>
    (root.shadowRoot ?? root).querySelector(selector), document);
  return found.violations.filter((one) => ["serious", "critical"].includes(one.impact)).flatMap((one) =>
    one.nodes.filter((node) => !(rules[one.id] ?? []).some((selector) => element(node.target)?.closest(selector)))
      .map((node) => `${one.id}: ${node.html.slice(0, 200)} (${node.failureSummary})`));
}"""


def findings(tab: "Page") -> list[str]:
    """The serious and critical ones that are not Streamlit's, light and dark: a page follows its browser at once."""
    from axe_playwright_python.sync_playwright import Axe

    found = []
    for scheme in ("light", "dark"):
        tab.emulate_media(color_scheme=scheme)
        tab.wait_for_function(
            """dark => {
              const ground = getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor;
              return (parseInt(ground.match(/\\d+/)[0]) < 128) === dark;
            }""",
            arg=scheme == "dark",
        )
        settle(tab)
        tab.evaluate(Axe().axe_script)
        found += [f"{scheme}: {one}" for one in tab.evaluate(_FIND, [STREAMLITS])]
    return found


_OVERFLOW = """() => Math.max(...[document.documentElement, document.querySelector('[data-testid=stMain]')]
  .map((element) => element.scrollWidth - element.clientWidth))"""


def overflow(tab: "Page") -> int:
    """How many pixels the page stays wider than a phone's window; charts are drawn anew, which takes a moment."""
    from playwright.sync_api import TimeoutError as NotYet

    tab.set_viewport_size({"width": 390, "height": 844})
    with suppress(NotYet):
        tab.wait_for_function(f"() => ({_OVERFLOW})() <= 0", timeout=15_000)
    return tab.evaluate(_OVERFLOW)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_serious_finding_of_its_own_and_fits_a_narrow_window(server: str, tab: "Page", name: str) -> None:
    tab.goto(f"{server}/{PAGES[name]}")
    settle(tab)
    assert findings(tab) == []
    assert overflow(tab) <= 0


def _check_examples(server: str, tab: "Page") -> None:
    tab.goto(f"{server}/check")
    settle(tab)
    tab.get_by_role("button", name="Take seven examples").click()
    tab.wait_for_selector("text=Download the table")
    settle(tab)


def test_verdicts_have_no_serious_finding_and_fit_a_narrow_window(server: str, tab: "Page") -> None:
    _check_examples(server, tab)
    assert findings(tab) == []
    assert overflow(tab) <= 0


def test_the_tour_and_an_explanation_have_no_serious_finding(server: str, tab: "Page") -> None:
    tab.goto(f"{server}/encoders?tour=1")
    settle(tab)
    tab.get_by_role("button", name="What am I looking at?").click()
    tab.wait_for_selector(".drawing svg")
    assert findings(tab) == []


def test_a_verdict_is_chosen_with_the_keyboard(server: str, tab: "Page") -> None:
    _check_examples(server, tab)
    button = tab.get_by_role("button", name="digits-validation.ppm")
    button.press("Enter")
    tab.wait_for_selector("img[alt='The part of digits-validation.ppm that was scored']")
    assert button.get_attribute("aria-pressed") == "true"
