"""The drawings of the explanations: made by their script, in the colours of the page, and one for every page."""

import re
import runpy
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DRAWN = runpy.run_path(str(ROOT / "docs" / "explain.py"))
NAMES = sorted(DRAWN["PICTURES"])


def text_of(name: str) -> str:
    return (ROOT / "assets" / "explain" / f"{name}.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_a_drawing_is_what_its_script_draws(name: str) -> None:
    assert text_of(name) == DRAWN["drawn"](name)


@pytest.mark.parametrize("name", NAMES)
def test_a_drawing_is_named_takes_the_colour_of_the_page_and_asks_nobody_for_anything(name: str) -> None:
    root = ElementTree.fromstring(text_of(name))
    assert root.get("role") == "img"
    assert len(root.get("aria-label", "")) > 30
    assert root.get("fill") == "currentColor"
    colours = set(re.findall(r"#[0-9a-fA-F]{3,6}", text_of(name)))
    assert colours <= {DRAWN[colour] for colour in ("LIKELY", "UNLIKELY", "THIRD", "GREY")}
    assert not re.search(r"href|url\(|<script|<style", text_of(name))


def test_every_page_has_a_drawing_in_its_explanation():
    for path in (ROOT / "pages").glob("*.py"):
        source = path.read_text(encoding="utf-8")
        if "widgets.header(" in source:
            assert f'picture="{path.stem}"' in source, path.name
