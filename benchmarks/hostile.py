"""Broken and malicious inputs through the product's own door: what is raised, and what each costs.

    python benchmarks/hostile.py [--count 100000] [--seed 0] [--workers 1] [--only pictures|archives] [--no-bombs]

Mutated pictures are decoded as for scoring, mutated archives are opened and their first pictures read. Nothing but a
JepaError may be raised, and no input may take more than 5 seconds of the processor or 300 MB above its pixels (four
bytes each). An input is made again by its seed: `python benchmarks/hostile.py --again SEED`.
"""

import argparse
import importlib.util
import io
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(1, str(Path(__file__).resolve().parent))

import hostile_pictures

from jepa_core import images
from jepa_core.decoding import sandbox
from jepa_core.errors import JepaError

ARCHIVES = 0.3  # of the inputs
SECONDS, MEGABYTES = 5.0, 300.0
_BLOCK = 200  # inputs that a worker takes at once
_CROP = {"input_size": [3, 32, 32], "interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center", "mean": [0] * 3}
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Cost:
    """What became of one input, and its price."""

    name: str
    size: int  # bytes
    became: str  # "accepted", "refused", or the foreign exception
    said: str
    seconds: float  # of the processor, here and in the process that decodes
    megabytes: float  # at the peak above its pixels and what was held before


@dataclass
class Found:
    """What became of many inputs."""

    became: Counter = field(default_factory=Counter)
    slowest: Cost | None = None
    largest: Cost | None = None
    foreign: list[Cost] = field(default_factory=list)

    def add(self, cost: Cost) -> None:
        """One more input."""
        self.became[cost.became if cost.became in ("accepted", "refused") else "foreign"] += 1
        if cost.became not in ("accepted", "refused"):
            self.foreign.append(cost)
        self._keep(cost, cost)

    def join(self, other: "Found") -> None:
        """What another worker found."""
        self.became += other.became
        self.foreign += other.foreign
        if other.slowest and other.largest:
            self._keep(other.slowest, other.largest)

    def _keep(self, slow: Cost, large: Cost) -> None:
        self.slowest = max(self.slowest or slow, slow, key=lambda cost: cost.seconds)
        self.largest = max(self.largest or large, large, key=lambda cost: cost.megabytes)


# --- what an input costs ----------------------------------------------------------------------------------------------


class _Meter:
    """Seconds and peaks of this process and of the one that decodes for it."""

    def __enter__(self) -> "_Meter":
        self._decoders = [child.process.pid for child in sandbox._children.idle]
        self._before = {pid: _resident(pid) for pid in ("self", *self._decoders)}
        self._dead = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        self._seconds = self._all_seconds()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = self._all_seconds() - self._seconds
        pids = ("self", *(child.process.pid for child in sandbox._children.idle))
        peaks = [_peak(pid) - self._before.get(pid, 35.0) for pid in pids]  # a new one holds about that much
        dead = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        if dead > self._dead:  # the largest of those that were killed
            peaks.append(dead / 1024 - 35.0)
        self.megabytes = sum(max(peak, 0.0) for peak in peaks)

    def _all_seconds(self) -> float:
        dead = resource.getrusage(resource.RUSAGE_CHILDREN)
        alive = sum(_seconds(child.process.pid) for child in sandbox._children.idle)
        return time.process_time() + alive + dead.ru_utime + dead.ru_stime


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _status(pid: object, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def _resident(pid: object) -> float:
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak is counted from here on
    return _status(pid, "VmRSS")


def _peak(pid: object) -> float:
    return _status(pid, "VmHWM")


def _costs(name: str, data: bytes, act: Callable[[str, bytes], None]) -> Cost:
    """Act on an input, and see what it costs."""
    said = ""
    with _Meter() as meter:
        try:
            act(name, data)
            became = "accepted"
        except JepaError as error:
            became, said = "refused", str(error)
        except Exception as error:
            became, said = f"{type(error).__name__}: {error}", ""
    pixels = _said_pixels(data) if meter.megabytes > 50 else 0.0
    return Cost(name, len(data), became, said, meter.seconds, meter.megabytes - pixels)


def _said_pixels(data: bytes) -> float:
    """Megabytes of the pixels that a picture's header speaks of, where they are few enough to be begun."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            width, height = Image.open(io.BytesIO(data)).size
    except Exception:
        return 0.0
    return width * height * 4 / 2**20 if width * height <= images.MAX_MEGAPIXELS * 10**6 else 0.0


def decode(name: str, data: bytes) -> None:
    """As for a score."""
    images.cropped(data, _CROP, name)


def open_archive(name: str, data: bytes) -> None:
    """As for a score: the listing, and the first few pictures."""
    from jepa_core.datasets import registry

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name.replace("/", "_")
        path.write_bytes(data)
        dataset = registry.get_dataset(str(path))
        for position in range(min(5, len(dataset))):
            item = dataset.item(position)
            try:
                images.cropped(item.read(), _CROP, item.name)
            except JepaError:
                continue


# --- many inputs ------------------------------------------------------------------------------------------------------


def archives() -> ModuleType | None:
    """The module of archives' cases; None where it is not there."""
    if importlib.util.find_spec("hostile_archives") is None:
        return None
    import hostile_archives

    return hostile_archives


def one(seed: int, share: float) -> Cost:
    """The input of a seed, tried."""
    rng = random.Random(seed)
    if rng.random() < share:
        name, data = archives().mutated(np.random.default_rng(seed))
        cost = _costs(name, data, open_archive)
    else:
        name, data = hostile_pictures.mutated(rng)
        cost = _costs(name, data, decode)
    cost.name = f"{cost.name} (seed {seed})"
    return cost


def block(seeds: range, share: float) -> Found:
    """The inputs of some seeds."""
    os.environ.setdefault("JEPA_CACHE", tempfile.mkdtemp())
    images.decode(hostile_pictures.saved(hostile_pictures.Image.new("RGB", (8, 8)), "PNG"))  # so that one is started
    found = Found()
    for seed in seeds:
        found.add(one(seed, share))
    return found


def bomb(name: str, data: bytes, is_archive: bool) -> Cost:
    """One bomb, in a process of its own."""
    os.environ.setdefault("JEPA_CACHE", tempfile.mkdtemp())
    images.decode(hostile_pictures.saved(hostile_pictures.Image.new("RGB", (8, 8)), "PNG"))
    return _costs(name, data, open_archive if is_archive else decode)


def show_bombs(only: str) -> bool:
    """A line for each bomb; whether all kept the limits."""
    every = [(name, data, False) for name, data in hostile_pictures.bombs()] if only != "archives" else []
    if only != "pictures" and archives():
        every += [(name, data, True) for name, data in archives().bombs()]
    print(f"\n| bomb | bytes | CPU s | MB above its pixels | what was said |\n|{'---|' * 5}")
    kept = True
    for name, data, is_archive in every:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            cost = pool.submit(bomb, name, data, is_archive).result()
        kept &= cost.seconds <= SECONDS and cost.megabytes <= MEGABYTES and cost.became in ("accepted", "refused")
        told = cost.said or cost.became
        print(f"| {name} | {cost.size:,} | {cost.seconds:.2f} | {cost.megabytes:.0f} | {told} |", flush=True)
    return kept


def main() -> None:
    """Try all, and say what was found; exit status 1 where a limit was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", choices=["pictures", "archives"], default="")
    parser.add_argument("--no-bombs", action="store_true")
    parser.add_argument("--again", type=int, help="only the input of this seed")
    args = parser.parse_args()
    share = {"pictures": 0.0, "archives": 1.0}.get(args.only, ARCHIVES)
    if archives() is None:
        print("benchmarks/hostile_archives.py is not there; pictures are tried alone.")
        share = 0.0
    if args.again is not None:
        print(one(args.again, share))
        return
    start, found = time.monotonic(), Found()
    blocks = [
        range(at, min(at + _BLOCK, args.seed + args.count)) for at in range(args.seed, args.seed + args.count, _BLOCK)
    ]
    with ProcessPoolExecutor(args.workers, multiprocessing.get_context("spawn")) as pool:
        for first in range(0, len(blocks), 4 * args.workers):
            some = blocks[first : first + 4 * args.workers]
            for part in pool.map(block, some, [share] * len(some)):
                found.join(part)
            print(f"\r{sum(found.became.values())} tried ...", end="", file=sys.stderr, flush=True)
            if time.monotonic() - start > args.seconds:
                break
    told = ", ".join(f"{found.became[kind]} {kind}" for kind in ("accepted", "refused", "foreign"))
    print(f"{sum(found.became.values())} mutated inputs in {time.monotonic() - start:.0f} s: {told}.")
    for cost in found.foreign[:20]:
        print(f"FOREIGN: {cost.name}: {cost.became}")
    kept = not found.foreign
    if found.slowest and found.largest:
        print(f"Most CPU: {found.slowest.seconds:.2f} s, {found.slowest.name}: {found.slowest.said[:150]}")
        large = found.largest
        print(f"Most memory above its pixels: {large.megabytes:.0f} MB, {large.name}: {large.said[:150]}")
        kept &= found.slowest.seconds <= SECONDS and found.largest.megabytes <= MEGABYTES
    if not args.no_bombs:
        kept &= show_bombs(args.only)
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
