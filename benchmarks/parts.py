"""Parts of a run against one process: the same rows, after kill -9 at random moments too, and what it costs.

    python benchmarks/parts.py [--count 1000] [--of 16] [--kills 10] [--ray] [--seed 0]

Drawn pictures are scored by the program itself, in processes of one thread: once as a whole, then in parts two at a
time, then as one part that is killed again and again; with --ray (which needs pip install 'ray[data]') also by Ray's
workers here, of which one, or the program that asked, or all processes of the cluster are killed. The exit status is 1
where a row of the merged store is missing, doubled or another one than of the whole.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jepa_core.datasets.registry import get_dataset

_UNKNOWN = 100_000  # from here on no shipped table has the score of a drawn picture
ROOT = Path(__file__).resolve().parent.parent
TABLES = {
    "members": "dataset, name, position, label, digest",
    "results": "digest, spectrum, squared_norm, device",  # seconds are another each time
    "embeddings": "space, digest, vector",
    "measures": "space, digest, vector",
    "ranks": "space, rank, reason",
}


def draw(folder: Path, count: int) -> None:
    """Write drawn pictures as files, a folder a class."""
    shapes = get_dataset("shapes")
    for position in range(_UNKNOWN, _UNKNOWN + count):
        path = folder / shapes.label_of(position) / f"{position}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(shapes.reader_of(position)())


class Bench:
    """One folder with the pictures, and a cache folder for each way."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        self.folder, self.pictures, self.dice = folder, folder / "pictures", dice

    def start(self, way: str, *words: str) -> subprocess.Popen:
        """The program with some arguments, in the cache folder of a way, in a session of its own."""
        paths = {"JEPA_CACHE": str(self.folder / way / "cache"), "PYTHONPATH": str(ROOT)}
        settings = {"OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled", "RAY_raylet_start_wait_time_s": "120"}
        log = (self.folder / f"{way}.log").open("ab")
        command = [sys.executable, "-m", "jepa_core", *words]
        return subprocess.Popen(
            command, env=os.environ | settings | paths, stdout=log, stderr=log, start_new_session=True, cwd=ROOT
        )

    def run(self, way: str, *words: str) -> float:
        """Have it come to its end; how many seconds it took."""
        began = time.perf_counter()
        if status := self.start(way, *words).wait():
            log = (self.folder / f"{way}.log").read_text(errors="replace")
            sys.exit(f"{way} ended with {status}:\n{log[-3000:]}")
        return time.perf_counter() - began

    def score(self, *words: str) -> tuple[str, ...]:
        """The words that score the pictures."""
        return ("score", "--encoder", "digits", "--device", "cpu", "--data", str(self.pictures), "--json", *words)

    def rows(self, way: str) -> dict[str, list[tuple]]:
        """What the store of a way has of the pictures, without seconds."""
        found = sqlite3.connect(self.folder / way / "cache" / "store.sqlite")
        name = f"folder:{self.pictures}"
        mine = f"digest IN (SELECT digest FROM members WHERE dataset = '{name}')"
        where = {"members": f"dataset = '{name}'", "ranks": "1"}
        try:
            return {
                table: sorted(found.execute(f"SELECT {columns} FROM {table} WHERE {where.get(table, mine)}").fetchall())
                for table, columns in TABLES.items()
            }
        finally:
            found.close()

    def say_whether_equal(self, way: str) -> bool:
        """Compare the store of a way with that of the whole."""
        here, whole = self.rows(way), self.rows("whole")
        equal = here == whole
        counts = ", ".join(f"{len(rows)} {table}" for table, rows in here.items())
        print(f"  {way}: {counts}; {'the same, bit for bit' if equal else 'NOT THE SAME as of the whole'}", flush=True)
        return equal

    def in_parts(self, of: int) -> float:
        """All parts, two processes at a time, and the merge; seconds."""
        began, running, left = time.perf_counter(), [], list(range(1, of + 1))
        at = str(self.folder / "parts" / "files")
        while left or running:
            while left and len(running) < 2:
                running.append(self.start("parts", *self.score("--part", f"{left.pop(0)}/{of}", "--parts", at)))
            if running.pop(0).wait():
                sys.exit((self.folder / "parts.log").read_text(errors="replace")[-3000:])
        print(f"  merge: {self.run('parts', 'merge', at):.1f} s")
        return time.perf_counter() - began

    def killed(self, way: str, words: tuple[str, ...], seconds: float, kills: int, kill: Callable[[int], int]) -> None:
        """Start the program, and kill -9 what `kill` chooses at a random moment, so many times; then let it end."""
        done = met = 0
        while done < kills:
            process = self.start(way, *words)
            deadline = time.monotonic() + self.dice.uniform(0, seconds)
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            if process.poll() is None and (found := kill(process.pid)):
                done, met = done + 1, met + found
                process.wait()
            elif not process.wait() and Path(words[-1]).exists():  # it came to its end: from the beginning
                shutil.rmtree(words[-1])
        again = self.run(way, *words)
        print(f"  {way}: {kills} kills of {met} processes, then {again:.1f} s to the end", flush=True)


def kill_program(pid: int) -> int:
    """Kill the program itself."""
    os.kill(pid, signal.SIGKILL)
    return 1


def kill_worker(pid: int) -> int:
    """Kill one of Ray's workers, at random; the program goes on."""
    workers = [one for one, command in descendants(pid).items() if "ray::" in command]
    return sum(map(_kill, random.sample(workers, min(1, len(workers)))))


def kill_cluster(pid: int) -> int:
    """Kill the program and all that it started: Ray's servers and workers."""
    return sum(map(_kill, [*descendants(pid), pid]))


def _kill(pid: int) -> int:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:  # it ended by itself
        return 0
    return 1


def descendants(pid: int) -> dict[int, str]:
    """The processes that a process started, and those that these did, with their command lines, by /proc (Linux)."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            children.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    found, waiting = {}, [pid]
    while waiting:
        for one in children.get(waiting.pop(), []):
            with contextlib.suppress(OSError):
                found[one] = Path(f"/proc/{one}/cmdline").read_text(errors="replace").replace("\0", " ")
            waiting.append(one)
    return found


def main() -> None:
    """Compare the ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--of", type=int, default=16)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    random.seed(args.seed)
    with tempfile.TemporaryDirectory(prefix="jepa-parts-") as made:
        bench = Bench(Path(made), random.Random(args.seed))
        draw(bench.pictures, args.count)
        whole = bench.run("whole", *bench.score())
        print(f"{args.count} pictures, one process of one thread: {whole:.1f} s", flush=True)
        print(f"{args.of} parts, two processes at a time: {bench.in_parts(args.of):.1f} s", flush=True)
        ways = ["parts"]
        one = ("--part", "1/1", "--parts", str(bench.folder / "killed" / "files"))
        bench.killed("killed", bench.score(*one), whole, args.kills, kill_program)
        bench.run("killed", "merge", one[-1])
        ways.append("killed")
        if args.ray:
            on = ("--on", "ray", "--parts")
            seconds = bench.run("ray", *bench.score(*on, str(bench.folder / "ray" / "files")))
            print(f"Ray, {os.cpu_count()} workers of one thread, with its start: {seconds:.1f} s", flush=True)
            for name, kill in (("worker", kill_worker), ("driver", kill_program), ("cluster", kill_cluster)):
                words = bench.score(*on, str(bench.folder / name / "files"))
                bench.killed(name, words, seconds, args.kills, kill)
            ways += ["ray", "worker", "driver", "cluster"]
        print("Against the store of the whole:")
        equal = [bench.say_whether_equal(way) for way in ways]
        if not all(equal):
            sys.exit(1)


if __name__ == "__main__":
    main()
