"""kill -9 at random moments of what writes: score, export, copy, import and the writing of shipped tables.

    python benchmarks/kills.py [--count 200] [--seed 0]

Each kill is in a folder of its own. A child that was forked from this process, once everything is imported, does the
work; the parent reads the store as another program would, kills the child, and looks at what it left. Then the same
work is done to its end, and must come to what it comes to undisturbed. The exit status is 1 where anything was lost,
doubled, changed or left behind.
"""

import argparse
import contextlib
import gc
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a fork takes no threads along
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pandas as pd
import torch  # noqa: F401 (imported once, for all children)
from left_behind import partial_files, rows, rows_after, scores_of

from jepa_core import images
from jepa_core.cli import parser as cli_parser
from jepa_core.datasets.registry import get_dataset
from jepa_core.encoders import registry
from jepa_core.errors import StoreError
from jepa_core.scoring import verify
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import Goal, ScoringMethod
from jepa_core.scoring.run import ScoringRun
from jepa_core.store import maintenance, merge, shipped
from jepa_core.store.results import Store

ENCODER, OUTPUT = "digits", "projector"
AGREE = 1e-3  # of scores that were computed in other batches
OLD = b"what was there before"


@dataclass
class Place:
    """The folder of one kill: the cache folder, the pictures that all share, and where files are written."""

    folder: Path
    pictures: Path
    theirs: Path

    @property
    def cache(self) -> Path:
        """The cache folder."""
        return self.folder / "cache"

    @property
    def out(self) -> Path:
        """Where the command writes a file."""
        return self.folder / "out"


@dataclass(frozen=True)
class Work:
    """One command: what is done before (undisturbed), what is killed, and the file that it writes, if it does."""

    name: str
    do: Callable[[Place], None]
    before: Callable[[Place], None] = lambda _place: None
    file: str = ""


@dataclass
class Tally:
    """What became of the kills of one command."""

    kills: int = 0
    unbegun: int = 0  # nothing was written yet
    between: int = 0
    finished: int = 0
    lost: int = 0
    doubled: int = 0
    changed: int = 0
    left: int = 0
    damaged: int = 0
    seconds: float = 0.0  # undisturbed
    faults: list[str] = field(default_factory=list)

    @property
    def bad(self) -> int:
        """How much went wrong."""
        return self.lost + self.doubled + self.changed + self.left + self.damaged


# --- the commands -----------------------------------------------------------------------------------------------------


def command(*words: object) -> None:
    """One command of the terminal, which must succeed."""
    if cli_parser.main([str(word) for word in words]):
        raise SystemExit(1)


def score(place: Place) -> None:
    """Full scores, from the terminal, into a new store: the shipped table is read in first."""
    command("score", *_asked(place), "--out", place.out / "scores.csv")


def _asked(place: Place) -> list[object]:
    return ["--encoder", ENCODER, "--output", OUTPUT, "--data", place.pictures]


def estimate(place: Place) -> None:
    """Estimates, as small as they may be."""
    store, encoder = Store(), registry.load_encoder(ENCODER, "cpu")
    dataset = get_dataset(str(place.pictures))
    method = ScoringMethod("estimate", goal=Goal(fidelity=0.99, rows=1))
    ScoringRun(store, EncoderOutput.of(encoder, OUTPUT), dataset.name, list(dataset.items()), method).score()


def export(place: Place) -> None:
    """Stored scores into a table, from the terminal."""
    command("export", *_asked(place), "--out", place.out / "table.csv")


def copy(place: Place) -> None:
    """The whole store into one file."""
    maintenance.export(Store(), place.out / "copy.sqlite")


def take(place: Place) -> None:
    """Another store into a new one."""
    merge.merge(Store(), place.theirs)


def ship(place: Place) -> None:
    """A shipped table of one dataset."""
    shipped.ASSETS = place.out
    dataset = get_dataset(str(place.pictures))
    encoder = registry.load_encoder(ENCODER, "cpu")
    verify.write_tables(Store(), encoder, OUTPUT, [dataset], lambda _title: lambda _done, _all: None)


def filled(place: Place) -> None:
    """The store with everything scored, and an older file where one is written."""
    shutil.copy(place.theirs, place.cache / "store.sqlite")
    for name in ("table.csv", "copy.sqlite", "scores.csv"):
        (place.out / name).write_bytes(OLD)


def old_table(place: Place) -> None:
    """A store, and a shipped table of before."""
    filled(place)
    path = place.out / "scores" / f"{ENCODER}-{OUTPUT}.parquet"
    path.parent.mkdir()
    path.write_bytes(OLD)


WORKS = (
    Work("score", score, lambda place: (place.out / "scores.csv").write_bytes(OLD) and None, "scores.csv"),
    Work("estimate", estimate),
    Work("export", export, filled, "table.csv"),
    Work("copy", copy, filled, "copy.sqlite"),
    Work("import", take),
    Work("verify --write", ship, old_table, f"scores/{ENCODER}-{OUTPUT}.parquet"),
)


# --- one kill ---------------------------------------------------------------------------------------------------------


def child(work: Callable[[Place], None], place: Place) -> int:
    """Do the work in a process of its own; its id."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.environ["JEPA_CACHE"] = str(place.cache)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        log = os.open(place.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 2)
        work(place)
        gc.collect()  # as an ordinary end does, with what is still open
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def ended(process: int, seconds: float | None = None) -> bool:
    """Wait for a child (so long); whether it has ended well."""
    deadline = time.monotonic() + seconds if seconds is not None else None
    while deadline is None or time.monotonic() < deadline:
        found, status = os.waitpid(process, 0 if deadline is None else os.WNOHANG)
        if found:
            return status == 0
        time.sleep(0.001)
    return False


def kill_once(work: Work, place: Place, after: float, whole: dict[tuple, tuple], file: bytes, tally: Tally) -> None:
    """Kill the work after so many seconds, and look."""
    work.before(place)
    process = child(work.do, place)
    done = ended(process, after)
    store = place.cache / "store.sqlite"
    told = rows(store)
    if not done:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process, 0)
    tally.kills += 1
    there = rows_after(store)
    tally.lost += _lost(told, there)
    if store.exists():
        _look(store, tally)
    _look_at_file(work, place, file, tally)
    written = len(there) if work.before is not filled else bool(partial_files(place.out))
    if done or (len(there) == len(whole) and not work.file):
        tally.finished += 1
    elif written or partial_files(place.folder):
        tally.between += 1
    else:
        tally.unbegun += 1
    if not ended(child(work.do, place)):
        tally.damaged += 1
        tally.faults.append(f"{work.name}: the next run failed: {(place.folder / 'log').read_text()[-300:]}")
        return
    left = partial_files(place.folder)  # before anybody opens the store again
    tally.left += len(left)
    tally.faults += [f"{work.name}: left {name}" for name in left]
    end = rows(store)
    tally.lost += _lost(there, end) + len(whole.keys() - end.keys())
    tally.doubled += len(end.keys() - whole.keys())
    before, after_all = scores_of(whole), scores_of(end)
    tally.changed += sum(abs(before[key] - after_all.get(key, np.inf)) > AGREE for key in before)
    _look_at_file(work, place, file, tally, finished=True)


def _lost(before: dict[tuple, tuple], after: dict[tuple, tuple]) -> int:
    """Rows that are no longer there, or are others; estimates are sharpened in their place."""
    return sum(key not in after or (key[0] != "estimates" and after[key] != row) for key, row in before.items())


def _look(path: Path, tally: Tally) -> None:
    """Whether the store opens and is whole."""
    try:
        opened = Store(path)
        opened.check()
        sound = opened.notice is None and opened.select("PRAGMA integrity_check") == [("ok",)]
        opened.close()
    except StoreError as error:
        sound = False
        tally.faults.append(str(error))
    tally.damaged += not sound


def _look_at_file(work: Work, place: Place, whole: bytes, tally: Tally, *, finished: bool = False) -> None:
    """A written file is the old one, absent or complete; complete once the work has ended."""
    if not work.file:
        return
    path = place.out / work.file
    found = path.read_bytes() if path.exists() else b""
    good = (found == OLD and not finished) or (not found and not finished) or _same_file(path, whole)
    if not good:
        tally.damaged += 1
        tally.faults.append(f"{work.name}: {path.name} is neither old nor complete ({len(found)} bytes)")


def _same_file(path: Path, whole: bytes) -> bool:
    if path.suffix == ".sqlite":
        return bool(rows(path)) and len(rows(path)) == int(whole)
    if path.suffix == ".csv":
        other = path.with_name("whole" + path.suffix)
        other.write_bytes(whole)
        one, two = pd.read_csv(path), pd.read_csv(other)
        other.unlink()
        same = one["name"].tolist() == two["name"].tolist()
        return same and bool(np.allclose(one["jepa_score"], two["jepa_score"], atol=AGREE, rtol=0))
    return len(shipped.read_shipped(path).results) == int(whole)


# --- all of them ------------------------------------------------------------------------------------------------------


def make_place(root: Path, name: str) -> Place:
    """A fresh folder."""
    place = Place(root / name, root / "pictures", root / "theirs")
    place.cache.mkdir(parents=True)
    place.out.mkdir()
    return place


def prepare(root: Path, count: int, works: Sequence[Callable[[Place], None]] = (estimate, score)) -> None:
    """The pictures, a store in which they are scored and estimated, one shipped table, and the encoder."""
    _share_the_encoder()
    _ship_a_part(root)
    chance = np.random.default_rng(0)
    (root / "pictures").mkdir()
    for position, item in enumerate(list(get_dataset("digits-test").items())[:count]):
        image = images.decode(item.read()).image
        image.putpixel((0, 0), tuple(int(value) for value in chance.integers(0, 255, 3)))  # so that none is shipped
        (root / "pictures" / f"{position:03}.png").write_bytes(images.to_png(image))
    place = make_place(root, "prepared")
    for work in works:
        if not ended(child(work, place)):
            raise SystemExit((place.folder / "log").read_text())
    store = Store(place.cache / "store.sqlite")
    maintenance.copy(store, root / "theirs")
    store.close()


def _ship_a_part(root: Path) -> None:
    """One dataset of a shipped table, to be read in by every new store: all of them take longer than what is killed."""
    spec = registry.get_spec(ENCODER)
    store = Store(root / "shipped.sqlite")
    shipped.load_shipped(store, shipped.shipped_path(spec, OUTPUT))
    shipped.ASSETS = root / "assets"
    shipped.ship(store, EncoderOutput.of(spec, OUTPUT).config(), ["digits-test"], shipped.shipped_path(spec, OUTPUT))
    store.close()


def _share_the_encoder() -> None:
    """Load it here, once: no kill is to hit that, which writes nothing. Autograd, once used, allows no fork."""
    loaded = registry.load_encoder(ENCODER, "cpu")
    registry.load_encoder = lambda *_args, **_options: loaded


def undisturbed(work: Work, place: Place) -> tuple[float, dict[tuple, tuple], bytes]:
    """Seconds, the rows of the store, and what tells the file complete."""
    work.before(place)
    start = time.perf_counter()
    if not ended(child(work.do, place)):
        raise SystemExit((place.folder / "log").read_text())
    seconds = time.perf_counter() - start
    whole = rows(place.cache / "store.sqlite")
    path = place.out / work.file
    if not work.file:
        return seconds, whole, b""
    if path.suffix == ".sqlite":
        return seconds, whole, str(len(rows(path))).encode()
    if path.suffix == ".parquet":
        return seconds, whole, str(len(shipped.read_shipped(path).results)).encode()
    return seconds, whole, path.read_bytes()


def run(count: int, seed: int, pictures: int = 48, works: tuple[Work, ...] = WORKS) -> dict[str, Tally]:
    """`count` kills, by turns of each command."""
    chance = np.random.default_rng(seed)
    found = {work.name: Tally() for work in works}
    with tempfile.TemporaryDirectory(prefix="jepa-kills-") as made:
        root = Path(made)
        prepare(root, pictures, [estimate, score] if any(work.do is estimate for work in works) else [score])
        expected = {}
        for work in works:
            expected[work.name] = undisturbed(work, make_place(root, f"whole {work.name}"))
            found[work.name].seconds = expected[work.name][0]
        for number in range(count):
            work = works[number % len(works)]
            seconds, whole, file = expected[work.name]
            place = make_place(root, f"{number}")
            kill_once(work, place, chance.uniform(0, seconds), whole, file, found[work.name])
            shutil.rmtree(place.folder)
            one = found[work.name]
            print(f"{number + 1} of {count}: {work.name}, {one.kills} kills, {one.bad} faults", file=sys.stderr)
    return found


def main() -> None:
    """Print one line for each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="kills")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    args = parser.parse_args()
    found = run(args.count, args.seed)
    print(
        "| command | seconds | kills | before it wrote | in between | at its end | lost | doubled | changed | "
        "damaged | left behind |\n|---|---|---|---|---|---|---|---|---|---|---|"
    )
    for name, one in found.items():
        counts = (one.kills, one.unbegun, one.between, one.finished, one.lost, one.doubled, one.changed, one.damaged)
        print(f"| {name} | {one.seconds:.1f} | {' | '.join(map(str, counts))} | {one.left} |")
    for fault in [fault for one in found.values() for fault in one.faults]:
        print(fault)
    if any(one.bad for one in found.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
