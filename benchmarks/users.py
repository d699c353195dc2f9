"""Many visitors at once while a long job runs: `python benchmarks/users.py [--sessions 50] [--minutes 5]`.

A real server, hosted ($JEPA_DATA_ROOTS is set), and sessions that speak Streamlit's protocol (`visiting.py`). Each
opens pages at random, does something there, uploads pictures on Check, looks at the folder that is being scored, loses
its connection, comes back or is somebody new, with 1 to 10 seconds between two acts. Prints what went wrong, how long
a page took from the request to the end of its run, and the server's resident memory: before the first session (one
visitor has seen each page), the most during, at the end, and once all sessions are forgotten.

Exit status 1 where any page showed an error, did not finish, or wrote a traceback into the server's log.
"""

import argparse
import asyncio
import io
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.serving import Served, server
from benchmarks.visiting import NoAnswer, Session

PAGES = (
    "gallery",
    "image",
    "directions",
    "map",
    "check",
    "domains",
    "compare",
    "studies",
    "theory",
    "encoders",
    "runs",
)
THINKING = (1.0, 10.0)  # seconds between two acts
ARRIVING = 15.0  # seconds in which all sessions come
FORGOTTEN = 150.0  # seconds after which Streamlit has forgotten a session that is gone: it keeps them for two minutes
JOB = {"encoder": "photo", "dataset": "folder on this computer"}

Act = Callable[[Session, random.Random], Awaitable[object]]


def picture(chance: random.Random) -> bytes:
    """A PNG of 64 px with something in it that nobody else uploads."""
    draw = np.random.default_rng(chance.getrandbits(32))
    small = draw.integers(0, 256, (chance.choice((2, 4, 8, 64)),) * 2 + (3,), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


def one_of(*options: str) -> Act:
    """Switch a segmented control to one of these."""
    return lambda visitor, chance: visitor.switch(chance.choice(options))


async def _upload(visitor: Session, chance: random.Random) -> None:
    await visitor.upload([(f"{place}.png", picture(chance)) for place in range(chance.randint(1, 4))])
    await visitor.settle(20)
    if chance.random() < 0.5:
        await visitor.press("Forget them")


async def _class(visitor: Session, chance: random.Random) -> None:
    await visitor.choose("Class", chance.choice(list(visitor.find("Class", "selectbox").options)))


def _slide(label: str, least: int, most: int) -> Act:
    return lambda visitor, chance: visitor.slide(label, chance.randint(least, most))


def _press(*labels: str) -> Act:
    return lambda visitor, chance: visitor.press(chance.choice(labels))


ACTS: dict[str, tuple[Act, ...]] = {
    "gallery": (_press("Shuffle"), _class, one_of("In order", "Ends", "To drop")),
    "image": (_press("Less likely", "More likely"),),
    "directions": (_slide("Direction k", 1, 20), _slide("Image", 1, 100)),
    "map": (one_of("Score", "Class", "Domain"),),
    "check": (_upload,),
    "domains": (one_of("Histogram", "Density", "Cumulative"),),
    "compare": (one_of("1 %", "5 %", "20 %"), _class),
    "studies": (one_of("1: Extremes", "3: Datasets"), _class),
    "theory": (one_of("Spheres", "Score against truth", "Sampling", "Features", "More views"),),
}


@dataclass
class Trial:
    """What the sessions found: seconds of each page's runs, and what went wrong how often."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: {page: [] for page in PAGES})
    wrong: Counter = field(default_factory=Counter)
    left: int = 0

    def note(self, visitor: Session) -> None:
        """Take over what a visitor has seen since the last time."""
        for run in visitor.runs:
            self.seconds[run.page].append(run.seconds)
            self.wrong.update(f"{run.page}: {error}" for error in run.errors)
        visitor.runs.clear()


async def one_act(visitor: Session, chance: random.Random, folder: str) -> None:
    """Open another page, or do something on the one that is open."""
    acts = ACTS.get(visitor.page, ())
    if acts and chance.random() < 0.55:
        try:
            await chance.choice(acts)(visitor, chance)
        except LookupError:  # not there now: a job is running, or there are no scores yet
            await visitor.open(visitor.page, visitor.query)
        return
    if chance.random() < 0.1:
        await visitor.open("gallery", JOB | {"folder": folder})
    elif chance.random() < 0.15:
        await visitor.choose("Encoder", chance.choice(("Digits (LeJEPA)", "Mixed (LeJEPA)", "World (LeJEPA)")))
    else:
        await visitor.open(chance.choice(PAGES))


async def one_person(address: str, trial: Trial, chance: random.Random, folder: str, end: float) -> None:
    """A person, and whoever takes the place once that one has left, until the end."""
    while time.monotonic() < end:
        async with Session(address) as visitor:
            staying = time.monotonic() + chance.expovariate(1 / 120)
            try:
                await visitor.open(chance.choice(PAGES))
                while time.monotonic() < min(end, staying):
                    await asyncio.sleep(chance.uniform(*THINKING))
                    await one_act(visitor, chance, folder)
                    trial.note(visitor)
                    if chance.random() < 0.03:  # the network is away for a moment
                        await visitor.leave()
                        await asyncio.sleep(chance.uniform(*THINKING))
                        await visitor.come_back()
            except NoAnswer as error:
                trial.wrong[str(error)] += 1
            trial.note(visitor)
        trial.left += 1


async def warm(address: str) -> None:
    """One visitor sees each page to its end."""
    async with Session(address) as visitor:
        for page in PAGES:
            await visitor.open(page)
            await visitor.settle(60)


async def keep_scoring(address: str, folders: list[str], end: float) -> None:
    """The owner of the long job: opens one folder after another, has each scored, and looks now and then."""
    for folder in folders:
        async with Session(address) as owner:
            await owner.open("gallery", JOB | {"folder": folder})
            while time.monotonic() < end:
                await asyncio.sleep(5)
                if not owner._polls:
                    break


def resident(pid: int) -> float:
    """MB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024


async def watch(pid: int, seen: list[float]) -> None:
    """Look at the memory each second."""
    while True:
        seen.append(resident(pid))
        await asyncio.sleep(1)


def fill(root: Path, folders: int, count: int) -> list[str]:
    """Folders of drawn pictures in `root`, too many to be scored in time."""
    from jepa_core.datasets.registry import get_dataset

    for item in replace(get_dataset("shapes"), size=folders * count).items():
        path = root / f"set{item.position // count}" / item.label / f"{item.position}.ppm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(item.read())
    return [str(root / f"set{number}") for number in range(folders)]


async def trial_of(
    served: Served, folders: list[str], sessions: int, seconds: float, seed: int, arriving: float = ARRIVING
) -> tuple[Trial, dict[str, float]]:
    """Let the sessions come and go; what they found, and the server's memory in MB."""
    trial, memory, seen = Trial(), {}, []
    memory["before"] = resident(served.pid)
    end = time.monotonic() + seconds
    helpers = [
        asyncio.create_task(watch(served.pid, seen)),
        asyncio.create_task(keep_scoring(served.address, folders, end)),
    ]

    async def come(number: int) -> None:
        chance = random.Random(1000 * seed + number)
        await asyncio.sleep(chance.random() * arriving)
        await one_person(served.address, trial, chance, folders[0], end)

    await asyncio.gather(*map(come, range(sessions)))
    for helper in helpers:
        helper.cancel()
    memory |= {"most": max(seen), "at the end": resident(served.pid)}
    return trial, memory


def show(trial: Trial, memory: dict[str, float], log: str) -> bool:
    """Print the tables; whether nothing went wrong."""
    print("| page | runs | median, s | 95th percentile, s | slowest, s |\n|---|---|---|---|---|")
    everything = [seconds for found in trial.seconds.values() for seconds in found]
    for name, found in [*trial.seconds.items(), ("all", everything)]:
        if found:
            middle, high = np.percentile(found, [50, 95])
            print(f"| {name} | {len(found)} | {middle:.2f} | {high:.2f} | {max(found):.2f} |")
    print(f"\n{trial.left} sessions came and left. Resident MB of the server:", end=" ")
    print(", ".join(f"{when} {size:.0f}" for when, size in memory.items()))
    traces = log.count("Traceback (most recent call last)")
    print(f"Errors on pages: {trial.wrong.total()}; tracebacks in the server's log: {traces}")
    for error, count in trial.wrong.most_common(10):
        print(f"  {count} x {error}")
    if traces:
        print(log[-4000:])
    return not trial.wrong and not traces


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as given:
        root, cache, log = (Path(given) / name for name in ("root", "cache", "log"))
        folders = fill(root, folders=5, count=900)
        hosted = {"JEPA_DATA_ROOTS": str(root)}
        with server(cache, hosted, log) as served:
            used = sum(os.times()[:2])
            asyncio.run(warm(served.address))
            trial, memory = asyncio.run(trial_of(served, folders, args.sessions, 60 * args.minutes, args.seed))
            used = sum(os.times()[:2]) - used
            time.sleep(FORGOTTEN)
            memory["sessions gone"] = resident(served.pid)
        print(f"{args.sessions} sessions for {args.minutes:g} minutes; they took {used:.0f} s of a processor.\n")
        return 0 if show(trial, memory, log.read_text(encoding="utf-8", errors="replace")) else 1


if __name__ == "__main__":
    sys.exit(main())
