"""Does the suite find faults? Seeded mutants of the core, and how many of them the tests kill.

    python benchmarks/mutants.py choose mutants.csv [--each 28] [--seed 20] [--also CHECKOUT]
    python benchmarks/mutants.py record FOLDER [--tests tests] [-- tests/stats ...]
    python benchmarks/mutants.py run mutants.csv killed.csv FOLDER... [--tests tests]
    python benchmarks/mutants.py table mutants.csv old.csv new.csv

`choose` draws the mutants; `record` runs the suite once and writes which tests reach which function; `run` lets the
tests that reach a mutant loose on it, one mutant after the other, in a copy of the project and stopping at the first
failure; `table` says how many were killed, by package, and names the survivors. The same list can be run with two
folders of tests, so that a suite that was made quicker can be held against what it was. A run that was stopped goes on
where it stopped.
"""

import argparse
import contextlib
import csv
import importlib
import itertools
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a fork takes no threads along
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each child would compile the whole project anew

import mutation
import reach

sys.dont_write_bytecode = False

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("jacobian", "stats", "store", "scoring", "check")
HERE, ELSEWHERE = 30.0, 15.0  # processor seconds of tests of its own package, and of others, that are tried on a mutant
MEMORY = 16 * 2**30


def tests_of(mutant: mutation.Mutant, reached: dict[str, set[str]], seconds: dict[str, float]) -> list[str]:
    """The tests that reach the mutant's function, its package's first and quick ones first.

    A mutant outside of any function is reached by all that reach its file.
    """
    own = {test for place, tests in reached.items() if place.startswith(f"{mutant.file}:") for test in tests}
    function = mutant.function
    while function and f"{mutant.file}:{function}" not in reached:
        function = function.rpartition(".")[0]  # a function inside of one that is never entered, or a class
    found = reached[f"{mutant.file}:{function}"] if function else own
    here = {test for test in found if test.startswith(f"tests/{mutant.package}/")}
    return _quickest(here, seconds, HERE) + _quickest(found - here, seconds, ELSEWHERE)


def _quickest(tests: set[str], seconds: dict[str, float], limit: float) -> list[str]:
    """The quick ones first, until they take longer than this together; one at least."""
    ordered = sorted(tests, key=lambda test: (seconds[test], test))
    together = list(itertools.accumulate(seconds[test] for test in ordered))
    return [test for test, until in zip(ordered, together, strict=True) if until <= limit] or ordered[:1]


class _First:
    """Tells the parent which test failed first."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe

    def pytest_runtest_logreport(self, report: object) -> None:
        if report.failed:
            os.write(self.pipe, report.nodeid.encode()[:4000] + b"\n")

    def pytest_collectreport(self, report: object) -> None:
        if report.failed:
            os.write(self.pipe, f"collecting {report.nodeid}".encode()[:4000] + b"\n")


def _child(tree: Path, tests: Sequence[str], limit: int, pipe: int, log: Path) -> None:
    os.setsid()
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # what is imported already cannot be a plugin any more
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.chdir(tree)
    sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))  # a busy machine must not look like an endless loop
    sys.path[0] = str(tree)
    import pytest

    code = pytest.main(["-x", "--tb=line", f"--basetemp={tree}/.tmp", *tests], [_First(pipe)])
    os._exit(int(code))


def run_tests(tree: Path, tests: Sequence[str], limit: float, log: Path) -> tuple[str, str]:
    """("killed", the first test that failed), ("survived", ""), or ("killed", "time") beyond the limit.

    The limit is in processor seconds; what only waits is given thirty times as long.
    """
    if not tests:
        return "survived", "no test reaches it"
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _child(tree, tests, round(limit), theirs, log)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(70)
    os.close(theirs)
    end, status = time.monotonic() + 30 * limit, None
    while time.monotonic() < end:
        done, code = os.waitpid(pid, os.WNOHANG)
        if done:
            status = os.waitstatus_to_exitcode(code)
            break
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    if status is None:
        os.waitpid(pid, 0)
    with os.fdopen(ours) as answers:
        first = answers.readline().strip()
    if status == 0:
        return "survived", ""
    if status is None:
        return "killed", first or "time"
    if status > 2:  # of pytest: 1 is a failure and 2 a file that cannot be imported; below 0 is a crash
        raise SystemExit(f"The tests could not be run (exit status {status}); see {log}.")
    return "killed", first or f"exit status {status}"


class _Collected:
    def __init__(self) -> None:
        self.names: list[str] = []

    def pytest_collection_finish(self, session: object) -> None:
        self.names = [item.nodeid for item in session.items]


def preload(tree: Path, tests: Sequence[str]) -> set[str]:
    """Import what the tests import of other projects, so that no child has to; returns the tests that exist."""
    import pytest

    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        os.chdir(tree)
        sys.path[0] = str(tree)
        files = sorted({test.partition("::")[0] for test in tests})
        there = [file for file in files if Path(file).exists()]
        collected = _Collected()
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123
            pytest.main(["--collect-only", *there], [collected])
        modules = [
            name for name, one in sys.modules.items() if "site-packages" in (getattr(one, "__file__", None) or "")
        ]
        with os.fdopen(theirs, "w") as answers:
            json.dump([collected.names, modules], answers)
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as answers:
        names, modules = json.load(answers)
    os.waitpid(pid, 0)
    if not names:
        raise SystemExit("No recorded test is in this folder of tests; record its suite first.")
    for module in modules:
        if not module.startswith(("_pytest", "pytest")):
            with contextlib.suppress(Exception):
                importlib.import_module(module)
    return set(names)


def run(arguments: argparse.Namespace) -> None:
    """Try the tests on every mutant that has no result yet."""
    reached, seconds = reach.read_all(arguments.recorded)
    done = {int(row["number"]) for row in _results(arguments.results)}
    killers = {int(row["number"]): row["by"] for row in _results(arguments.first)} if arguments.first else {}
    mutants = [one for one in mutation.read(arguments.mutants) if one.number not in done]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder) / "tree"
        reach.copy(ROOT, arguments.tests.resolve(), tree)
        there = preload(tree, sorted(seconds))
        for place in reached:
            reached[place] &= there
        turns = {package: itertools.count() for package in PACKAGES}
        in_turns = sorted(mutants, key=lambda one: (not killers.get(one.number), next(turns[one.package])))
        for number, mutant in enumerate(in_turns, start=1):
            if arguments.packages and mutant.package not in arguments.packages:
                continue
            tests = tests_of(mutant, reached, seconds)
            likely = killers.get(mutant.number)
            if likely in tests:
                tests = [likely, *(test for test in tests if test != likely)]
            path = tree / mutant.file
            text = path.read_text()
            began = time.monotonic()
            try:
                _write(path, mutation.mutated(text, mutant), number * 2)
                limit = 60 + 4 * sum(seconds[test] for test in tests)
                result, by = run_tests(tree, tests, limit, Path(f"{arguments.results}.log"))
            except LookupError as error:
                result, by = "stale", str(error)
            finally:
                _write(path, text, number * 2 + 1)
                shutil.rmtree(tree / ".tmp", ignore_errors=True)
            row = (mutant.number, result, by, len(tests), round(time.monotonic() - began, 1))
            with arguments.results.open("a", newline="") as file:
                csv.writer(file, lineterminator="\n").writerow(row)


def _write(path: Path, text: str, count: int) -> None:
    path.write_text(text)
    os.utime(path, (2_000_000_000 + count,) * 2)  # bytecode is kept by whole seconds: no two texts may share one


def _results(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file, ["number", "result", "by", "tests", "seconds"]))


def table(arguments: argparse.Namespace) -> None:
    """Print, as Markdown, the mutants killed by each run, by package, and those that survive."""
    mutants = mutation.read(arguments.mutants)
    runs = [{int(row["number"]) for row in _results(path) if row["result"] == "killed"} for path in arguments.results]
    print("| package | mutants |" + "".join(f" killed, {path.stem} |" for path in arguments.results))
    print("|---|---|" + "---|" * len(runs))
    for package in (*PACKAGES, "all"):
        numbers = {one.number for one in mutants if package in (one.package, "all")}
        print(f"| {package} | {len(numbers)} |" + "".join(f" {len(numbers & run)} |" for run in runs))
    print()
    for one in mutants:
        if not all(one.number in run for run in runs):
            by = ", ".join(
                path.stem for path, run in zip(arguments.results, runs, strict=True) if one.number not in run
            )
            change = f"`{' '.join(one.before.split())}` -> `{one.after}`"
            print(f"- {one.number}: {one.file}:{one.line} {one.function}: {change} (survives {by})")


def main() -> None:
    """Read the command line."""
    sys.dont_write_bytecode = False  # was read from the environment when Python started
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    choosing = commands.add_parser("choose")
    choosing.add_argument("mutants", type=Path)
    choosing.add_argument("--each", type=int, default=28, help="mutants of each package")
    choosing.add_argument("--seed", type=int, default=20)
    choosing.add_argument("--also", type=Path, help="a checkout of another state, which has the chosen lines, too")
    recording = commands.add_parser("record")
    recording.add_argument("recorded", type=Path)
    recording.add_argument("--tests", type=Path, default=ROOT / "tests")
    recording.add_argument("--workers", type=int, default=2)
    recording.add_argument("pytest", nargs="*")
    running = commands.add_parser("run")
    running.add_argument("mutants", type=Path)
    running.add_argument("results", type=Path)
    running.add_argument("recorded", type=Path, nargs="+")
    running.add_argument("--tests", type=Path, default=ROOT / "tests")
    running.add_argument("--first", type=Path, help="the results of another run, whose killing tests are tried first")
    running.add_argument("--packages", nargs="*", choices=PACKAGES)
    showing = commands.add_parser("table")
    showing.add_argument("mutants", type=Path)
    showing.add_argument("results", type=Path, nargs="+")
    arguments = parser.parse_args()
    if arguments.command == "choose":
        chosen = mutation.choose(ROOT, PACKAGES, arguments.each, arguments.seed, arguments.also)
        mutation.write(arguments.mutants, chosen)
    elif arguments.command == "record":
        arguments.recorded.mkdir(parents=True)
        more = (arguments.workers, arguments.pytest)
        sys.exit(reach.record(ROOT, arguments.tests, PACKAGES, arguments.recorded, *more))
    elif arguments.command == "run":
        run(arguments)
    else:
        table(arguments)


if __name__ == "__main__":
    main()
