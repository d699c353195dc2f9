"""What a newcomer waits for: `python benchmarks/startup.py` (needs tests/requirements.txt and Chromium).

Prints seconds from starting the server to a gallery whose pictures are all painted, with an empty and a used cache, and
seconds to score the test digits exactly from an empty store and from a full one. Medians over the repetitions.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.serving import ROOT, browser, server

REPEAT = 5
PICTURES = 24


def seconds_to_gallery(chromium: Browser, cache: str) -> float:
    """Start a server, open the gallery as soon as it answers, wait for the pictures, stop the server."""
    begin = time.perf_counter()
    with server(cache) as served:
        tab = chromium.new_page(viewport={"width": 1440, "height": 1000})
        tab.goto(served.address, wait_until="commit")
        tab.wait_for_function(
            "n => { const all = [...document.querySelectorAll('.jepa-grid img')];"
            " return all.length >= n && all.every(image => image.complete && image.naturalWidth > 0) }",
            arg=PICTURES,
            timeout=60_000,
        )
        seconds = time.perf_counter() - begin
        tab.close()
    return seconds


def seconds_to_score(cache: str) -> float:
    """The whole command, interpreter start and all."""
    command = [sys.executable, "-m", "jepa_core", "score", "--encoder", "digits", "--data", "FOLDER", "--json"]
    folder = Path(cache) / "digits"
    command[command.index("FOLDER")] = str(folder)
    begin = time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=os.environ | {"JEPA_CACHE": cache}, check=True, capture_output=True)
    return time.perf_counter() - begin


def _write_digits(folder: Path) -> None:
    """The test digits under other bytes (a PNG's), so that the shipped scores do not know them."""
    from jepa_core import images
    from jepa_core.datasets import registry

    folder.mkdir(parents=True)
    for item in registry.get_dataset("digits-test").items():
        (folder / f"{item.position}.png").write_bytes(images.to_png(images.decode(item.read()).image))


def main() -> None:
    """Measure and print."""
    figures: dict[str, list[float]] = {}
    with browser() as chromium:
        for _ in range(REPEAT):
            with tempfile.TemporaryDirectory() as cache:
                for state in ("an empty", "a used"):
                    seconds = seconds_to_gallery(chromium, cache)
                    figures.setdefault(f"server start to gallery, {state} cache", []).append(seconds)
    for _ in range(REPEAT):
        with tempfile.TemporaryDirectory() as cache:
            _write_digits(Path(cache) / "digits")
            figures.setdefault("score the 360 test digits, empty store", []).append(seconds_to_score(cache))
            figures.setdefault("score the 360 test digits, full store", []).append(seconds_to_score(cache))
    for name, seconds in figures.items():
        print(f"{name}: {statistics.median(seconds):.2f} s (from {min(seconds):.2f} to {max(seconds):.2f})")


if __name__ == "__main__":
    main()
