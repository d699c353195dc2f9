"""Check and Runs in a browser: what is uploaded, and what computes."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jepa_core import images
from jepa_core.check.verdict import VerdictKind
from jepa_core.datasets import registry
from tests.browser.looking import assert_sound, settle

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_an_upload_is_checked_and_a_bad_one_named(server: str, tab: "Page", tmp_path: Path) -> None:
    good, bad = tmp_path / "digit.ppm", tmp_path / "bad.png"
    good.write_bytes(registry.get_dataset("digits-validation").item(0).read())
    bad.write_bytes(b"not a picture")
    tab.goto(f"{server}/check")
    settle(tab)
    tab.set_input_files("input[type=file]", [good, bad])
    tab.wait_for_selector("text=Download the table")
    settle(tab)
    verdict = tab.get_by_text(re.compile("|".join(VerdictKind)))
    assert verdict.count() == 1
    assert tab.locator("[data-testid=stException]").count() == 0
    alerts = tab.locator("[data-testid=stAlertContentError]").all_inner_texts()
    assert len(alerts) == 1
    assert "bad.png" in alerts[0]


def start_scoring(server: str, tab: "Page", folder: Path) -> None:
    """Have the server score more images than it gets done meanwhile."""
    folder.mkdir()
    for item in registry.get_dataset("digits-train").items():  # upside down, so that nobody has scored them
        picture = images.decode(item.read()).image.rotate(180)
        picture.save(folder / f"{item.position}.png")
    tab.goto(f"{server}/?dataset=folder+on+this+computer&folder={folder}&output=backbone")
    tab.get_by_role("button", name="Score 1077 missing images").click()
    tab.wait_for_selector("[data-testid=stProgress]")


def test_a_running_job_is_cancelled_from_the_runs_page(fresh_server: str, tab: "Page", tmp_path: Path) -> None:
    start_scoring(fresh_server, tab, tmp_path / "many")
    tab.get_by_role("link", name="Runs").click()
    tab.get_by_role("heading", name="Runs", level=1).wait_for()
    tab.get_by_role("button", name="Cancel").last.click()
    tab.get_by_role("button", name="Retry").wait_for()
    settle(tab)
    assert_sound(tab)
    assert tab.locator("[data-testid=stProgress]").count() == 0


def test_a_cancel_just_after_the_link_to_another_page_leaves_a_page(
    fresh_server: str, tab: "Page", tmp_path: Path
) -> None:
    start_scoring(fresh_server, tab, tmp_path / "many")
    tab.get_by_role("button", name="Cancel").wait_for()
    tab.evaluate(
        """() => {
          [...document.querySelectorAll('a')].find((link) => link.textContent.includes('Runs')).click();
          [...document.querySelectorAll('button')].find((button) => button.textContent.includes('Cancel')).click();
        }"""
    )
    settle(tab)
    assert_sound(tab)
    tab.get_by_role("link", name="Runs").click()
    tab.get_by_role("button", name="Retry").wait_for()
