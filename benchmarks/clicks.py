"""From a click to the new picture on the screen: `python benchmarks/clicks.py [--clicks 50] [--page NAME] [--large]`.

Everything that a click needs is in the store and each page was visited before. A real server, headless Chromium. Time
runs from the browser's own event (pointer or key) to the frame after the last change of the page, once the script has
run and every picture is there. Prints the median, the 95th percentile and the slowest of each page.

`--large` does the same on a folder of 10,000 drawn pictures in place of the bundled datasets. `--memory` prints the
server's resident memory after every 100 interactions of a mixed round over all pages, 500 in all.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


# Arms a clock that the next pointer or key press starts, and that notes each change of the page's main part.
ARM = """() => {
  const clock = window.__clock = { start: 0, last: 0 };
  const begin = event => { if (!clock.start) clock.start = clock.last = performance.now(); };
  for (const kind of ['pointerdown', 'keydown']) window.addEventListener(kind, begin, { capture: true, once: true });
  clock.watch?.disconnect();
  clock.watch = new MutationObserver(() => requestAnimationFrame(() => { clock.last = performance.now(); }));
  const main = document.querySelector('[data-testid=stMain]') || document.body;
  clock.watch.observe(main, { childList: true, subtree: true, characterData: true, attributes: true });
}"""
# The page is quiet: the script has run, pictures are complete, and nothing has changed for a while.
SETTLED = """quiet => {
  const clock = window.__clock, app = document.querySelector('[data-testid=stApp]');
  return clock.start && app.dataset.testScriptState === 'notRunning'
    && [...document.images].every(image => image.complete) && performance.now() - clock.last > quiet;
}"""
QUIET = 400  # ms
