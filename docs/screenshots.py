"""Take the screenshots of the documentation: `python docs/screenshots.py [PAGE ...]`, by default of all pages.

Starts a server with an empty cache, opens the pages at two widths in light and dark, and writes `docs/screens/*.webp`.
Only bundled pictures are shown. Needs tests/requirements.txt and Chromium.
"""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.serving import ROOT, browser, server

# Page -> what is there when it is done.
PAGES = {
    "gallery": "text=The coloured ends of the histogram",
    "data": "text=Its page",
    "domains": "text=Where these images come from",
    "image": "text=the rank is",
    "directions": "text=pixels are clipped",
    "encoders": "text=Make it again",
    "compare": "text=The same from a terminal",
    "studies": "text=The same from a terminal",
    "check": "text=Download the table",
    "map": "text=nearest on this map",
    "runs": "text=The store has",
    "theory": "text=The full table",
    "theory?experiment=truth": "text=The full table",
    "theory?experiment=sampling": "text=The full table",
    "theory?experiment=features": "text=The full table",
    "theory?experiment=views": "text=The full table",
}
WIDTHS = {1440: 900, 390: 844}
# So that all pictures together stay below 3 MB: the start of a long page shows what it is.
TALLEST = 2000
WIDEST = 1000


def _uploads(folder: Path) -> list[Path]:
    """The seven pictures of `benchmarks/verdicts.py`, all bundled or drawn."""
    from benchmarks.verdicts import pictures

    paths = []
    for name, data in pictures().items():
        suffix = "png" if data.startswith(b"\x89PNG") else "ppm"
        paths.append(folder / f"{name}.{suffix}")
        paths[-1].write_bytes(data)
    return paths


def _shoot(tab: Page, address: str, name: str, width: int, mode: str, uploads: list[Path]) -> None:
    tab.set_viewport_size({"width": width, "height": WIDTHS[width]})
    tab.goto(f"{address}/{'' if name == 'gallery' else name}")
    tab.wait_for_selector("h1")
    if name == "check":
        tab.wait_for_selector("input[type=file]", state="attached")
        tab.set_input_files("input[type=file]", uploads)
    tab.wait_for_selector(PAGES[name])
    if name == "encoders":  # an encoder that is not bundled, and the form for weights of one's own
        written = tab.get_by_label("Or write a name", exact=True)
        written.fill("dinov2-s14")
        written.press("Enter")
        tab.get_by_role("button", name="Ask its publisher").wait_for()
        tab.get_by_text("Weights of your own").click()
        tab.locator("[data-testid=stMain]").evaluate("main => main.scrollTo(0, 0)")
    height, before = 0, -1
    while height != before:  # fonts, pictures, charts and fades
        tab.wait_for_timeout(1500)
        before, height = height, tab.evaluate("() => document.querySelector('[data-testid=stMain]').scrollHeight")
    tab.set_viewport_size({"width": width, "height": min(max(height, WIDTHS[width]), TALLEST)})
    tab.wait_for_timeout(700)
    path = ROOT / "docs" / "screens" / f"{name.replace('?experiment=', '-')}-{width}-{mode}.webp"
    with Image.open(io.BytesIO(tab.screenshot())) as picture:
        small = picture.convert("RGB")
    small.thumbnail((WIDEST, TALLEST))
    small.save(path, quality=60, method=6)
    print(path, path.stat().st_size // 1024, "kB")


def main() -> None:
    """Take the screenshots of the pages that are named, or of all."""
    pages = sys.argv[1:] or list(PAGES)
    (ROOT / "docs" / "screens").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        uploads = _uploads(Path(scratch))
        with server(f"{scratch}/cache") as served, browser() as chromium:
            for mode in ("light", "dark"):
                tab = chromium.new_context(color_scheme=mode).new_page()
                tab.set_default_timeout(60_000)
                for width in WIDTHS:
                    for name in pages:
                        _shoot(tab, served.address, name, width, mode, uploads)


if __name__ == "__main__":
    main()
