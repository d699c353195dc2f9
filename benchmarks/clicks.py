"""From a click to the new picture on the screen: `python benchmarks/clicks.py [--page NAME] [--images N]`.

Everything that a click needs is in the store, and each page was visited before. A real server, headless Chromium. Time
runs from the browser's own event (pointer or key) to the frame after the last change of the page's main part, once the
script has run and every picture is there. Prints the median, the 95th percentile and the slowest of each page; Runs has
no picture that a click changes.

`--images N` does so on a folder of N drawn pictures, scored before, for the pages that show a dataset. `--memory`
prints the server's resident memory after every 100 interactions of rounds over all pages, 500 in all.
"""

import argparse
import itertools
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
from playwright.sync_api import Page

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.serving import ROOT, Served, browser, server

# A clock that the next pointer or key press starts, and that notes the frame after each change of the page's main part.
ARM = """() => {
  const clock = window.clock = { start: 0, last: 0 };
  const begin = () => { if (!clock.start) clock.start = clock.last = performance.now(); };
  for (const kind of ['pointerdown', 'keydown']) window.addEventListener(kind, begin, { capture: true, once: true });
  window.watch?.disconnect();
  window.watch = new MutationObserver(() => {
    requestAnimationFrame(() => { clock.last = performance.now(); });
  });
  window.watch.observe(document.querySelector('[data-testid=stMain]'),
    { childList: true, subtree: true, characterData: true, attributes: true });
}"""
# The script has run, pictures are complete, and nothing has changed for a while.
SETTLED = """quiet => {
  const { start, last } = window.clock, now = performance.now();
  const ran = document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning';
  const waits = document.querySelector('[data-testid=stProgress], [data-testid=stSkeleton], [data-stale=true]');
  return start && last > start && ran && !waits && now - start > quiet && now - last > quiet
    && [...document.images].every(image => image.complete);
}"""
QUIET = 450  # ms; a script that has not begun looks like one that has ended
PATIENCE = 90_000

Act = Callable[[Page], None]


def _press(key: str) -> Act:
    return lambda tab: tab.keyboard.press(key)


def _button(name: str) -> Act:
    return lambda tab: tab.get_by_role("button", name=name, exact=True).first.click()


def _radio(name: str) -> Act:
    """An option of a segmented control."""
    return lambda tab: tab.locator("[data-testid=stButtonGroup] button", has_text=re.compile(f"^{name}$")).first.click()


def _slide(label: str, key: str) -> Act:
    def act(tab: Page) -> None:
        thumb = tab.get_by_role("slider", name=re.compile(f"^{label}")).first
        thumb.focus()
        thumb.press(key)

    return act


def _pick(label: str, key: str) -> Act:
    """The option of a list below the chosen one (ArrowDown), or the one above it."""

    def act(tab: Page) -> None:
        box = tab.get_by_role("combobox", name=label)
        box.click()
        if not tab.get_by_role("option").count():
            box.press("ArrowDown")
        tab.get_by_role("option").first.wait_for()
        box.press(key)
        tab.evaluate(ARM)  # opening the list is not the press that asks for pictures
        box.press("Enter")

    return act


def _verdict(turn: Iterator[int]) -> Act:
    def act(tab: Page) -> None:
        entries = tab.locator("ul.all button")
        entries.nth(next(turn) % entries.count()).click()

    return act


def acts() -> dict[str, tuple[str, list[Act]]]:
    """Page -> (what its address has to say, what a person does there, over and over)."""
    turn, both = itertools.count(1), ("ArrowDown", "ArrowUp")
    return {
        "gallery": ("", [act for key in both for act in (_button("Shuffle"), _pick("Class", key))]),
        "gallery, in order": ("show=order", [_press("n"), _press("n"), _press("p"), _press("p")]),
        "image": ("", [_press("k"), _press("j")]),
        "directions": (
            "",
            [_slide(name, key) for key in ("ArrowRight", "ArrowLeft") for name in ("Direction k", "Step")],
        ),
        "domains": ("", [_radio("Density"), _radio("Cumulative"), _radio("Histogram")]),
        "compare": ("", [_radio("20 %"), _radio("10 %"), _radio("5 %")]),
        "map": ("", [_radio("Class"), _radio("Score"), _radio("Domain")]),
        "check": ("", [_verdict(turn)]),
        "studies": ("", [_radio("3: Datasets"), _radio("1: Extremes")]),
        "theory": ("", [_slide("K", "ArrowRight"), _slide("K", "ArrowLeft")]),
        "encoders": ("", [_pick("Encoder", key) for key in both]),
    }


def _open(tab: Page, served: Served, name: str, query: str) -> None:
    page = name.partition(",")[0]
    tab.goto(f"{served.address}/{'' if page == 'gallery' else page}?{query}")
    tab.wait_for_selector("h1")
    if page == "check":
        _button("No picture at hand? Take seven examples")(tab)
        tab.locator("ul.all button").first.wait_for()
    _wait(tab, started=True)


def _wait(tab: Page, *, started: bool = False) -> float:
    """Until the page is quiet; the milliseconds from the event to the last change."""
    if started:
        tab.evaluate(ARM)
        tab.evaluate("() => { window.clock.start = performance.now(); window.clock.last = window.clock.start + 1; }")
    tab.wait_for_function(SETTLED, arg=QUIET, polling=100)  # at each frame it would slow down what it times
    return float(tab.evaluate("() => window.clock.last - window.clock.start"))


def measure(tab: Page, doing: list[Act], clicks: int) -> list[float]:
    """Milliseconds of each click, after one round over all that is done there."""
    times = []
    for number, act in enumerate(itertools.islice(itertools.cycle(doing), len(doing) + clicks)):
        tab.evaluate(ARM)
        act(tab)
        found = _wait(tab)
        if number >= len(doing):
            times.append(found)
    return times


def _fill(cache: str, count: int) -> str:
    """Draw and score a folder of pictures; the address that opens it."""
    from jepa_core.datasets.registry import get_dataset

    folder = Path(cache) / "drawn"
    for item in replace(get_dataset("shapes"), size=count).items():
        path = folder / item.label / f"{item.position}.ppm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(item.read())
    command = [sys.executable, "-m", "jepa_core", "score", "--encoder", "digits", "--data", str(folder), "--json"]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"JEPA_CACHE": cache}, check=True, stdout=subprocess.DEVNULL)
    return urlencode({"dataset": "folder on this computer", "folder": str(folder)})


def _resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


def show_times(tab: Page, served: Served, names: list[str], query: str, clicks: int) -> None:
    """Print a line for each page."""
    print("| page | clicks | median, ms | 95th percentile | slowest |\n|---|---|---|---|---|", flush=True)
    for name in names:
        own, doing = acts()[name]
        _open(tab, served, name, "&".join(part for part in (own, query) if part))
        times = measure(tab, doing, clicks)
        middle, high = np.percentile(times, [50, 95])
        print(f"| {name} | {len(times)} | {middle:.0f} | {high:.0f} | {max(times):.0f} |", flush=True)


def show_memory(tab: Page, served: Served, names: list[str]) -> None:
    """Print the resident memory after every 100 interactions."""
    print("| interactions | resident, MB |\n|---|---|", flush=True)
    done = 0
    for name in itertools.cycle(names):
        own, doing = acts()[name]
        _open(tab, served, name, own)
        for act in itertools.islice(itertools.cycle(doing), 10):
            tab.evaluate(ARM)
            act(tab)
            _wait(tab)
            done += 1
            if done % 100 == 0:
                print(f"| {done} | {_resident(served.pid):.0f} |", flush=True)
            if done == 500:
                return


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clicks", type=int, default=50)
    parser.add_argument("--page", action="append", choices=list(acts()), help="only this one; may be repeated")
    parser.add_argument("--images", type=int, help="on a folder of so many drawn pictures")
    parser.add_argument("--memory", action="store_true")
    args = parser.parse_args()
    names = args.page or list(acts())
    with tempfile.TemporaryDirectory() as cache:
        query = _fill(cache, args.images) if args.images else ""
        with server(cache) as served, browser() as chromium:
            tab = chromium.new_page(viewport={"width": 1440, "height": 1000})
            tab.set_default_timeout(PATIENCE)
            if args.memory:
                show_memory(tab, served, names)
            else:
                show_times(tab, served, names, query, args.clicks)


if __name__ == "__main__":
    main()
