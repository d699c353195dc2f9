"""Which tests reach which function: a run of the suite over a copy of the project whose functions say so.

Each function of the chosen packages gets one line more, which writes the test that runs (pytest names it in the
environment, so the programs that a test starts say it, too) and the function to a file. What a fixture of a whole
session or module reaches counts for every test that uses it. The processor time of every test is written beside it.
"""

import ast
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

REACHED, TIMES, USES, FAILED = "reached.tsv", "times.tsv", "uses.tsv", "failed.tsv"  # in the folder $JEPA_REACH

RECORDER = """
import os
seen = set()
fixture = []


def hit(function):
    by = fixture[-1] if fixture else os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" (")[0]
    if (by, function) in seen:
        return
    seen.add((by, function))
    try:
        with open({path!r}, "a") as file:
            file.write(by + "\\t" + function + "\\n")
    except Exception:  # a process that may open nothing, or is about to end
        pass
"""


def _instrumented(text: str, file: str) -> str:
    """The text with a line at the beginning of each function that tells the recorder."""
    lines = text.splitlines(keepends=True)
    places = []

    def look(node: ast.AST, name: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                own = f"{name}.{child.name}".lstrip(".")
                if not isinstance(child, ast.ClassDef):
                    docstring = isinstance(child.body[0], ast.Expr) and isinstance(child.body[0].value, ast.Constant)
                    if not (docstring and len(child.body) == 1):
                        first = child.body[1] if docstring else child.body[0]
                        decorators = getattr(first, "decorator_list", [])
                        at = min([first.lineno, *(one.lineno for one in decorators)])
                        places.append((at - 1, first.col_offset, own))
                look(child, own)
            else:
                look(child, name)

    look(ast.parse(text), "")
    for at, column, own in sorted(places, reverse=True):
        lines.insert(at, f'{" " * column}__import__("jepa_core._reach", fromlist=["hit"]).hit("{file}:{own}")\n')
    return "".join(lines)


def copy(root: Path, tests: Path, to: Path) -> None:
    """The project at `root` with the folder `tests` as its tests, in a new folder."""
    shutil.copytree(root, to, ignore=shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "tests"))
    shutil.copytree(tests, to / "tests", ignore=shutil.ignore_patterns("__pycache__"))


def record(root: Path, tests: Path, packages: Sequence[str], to: Path, workers: int, more: Sequence[str] = ()) -> int:
    """Run the suite once over an instrumented copy; what it reached lies in the folder `to` afterwards."""
    tree = to / "tree"
    copy(root, tests, tree)
    for package in packages:
        for path in (tree / "jepa_core" / package).glob("*.py"):
            path.write_text(_instrumented(path.read_text(), path.relative_to(tree).as_posix()))
    (tree / "jepa_core" / "_reach.py").write_text(RECORDER.format(path=str(to / REACHED)))
    (to / "plugin").mkdir()
    shutil.copy(__file__, to / "plugin")  # alone: other files here have names that libraries import
    environment = os.environ | {"JEPA_REACH": str(to), "PYTHONPATH": str(to / "plugin")}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "reach",
        "-n",
        str(workers),
        "-m",
        "not browser and not ray",
        *more,
    ]
    return subprocess.run(command, cwd=tree, env=environment, check=False).returncode


def _rows(path: Path) -> Iterator[list[str]]:
    return (line.split("\t") for line in path.read_text().splitlines()) if path.exists() else iter(())


def read_all(folders: Sequence[Path]) -> tuple[dict[str, set[str]], dict[str, float]]:
    """`read` of several runs together, each of a part of the suite."""
    reached, seconds = defaultdict(set), {}
    for folder in folders:
        ours, spent = read(folder)
        seconds |= spent
        for function, tests in ours.items():
            reached[function] |= tests
    return dict(reached), seconds


def read(folder: Path) -> tuple[dict[str, set[str]], dict[str, float]]:
    """(function -> the tests that reach it, test -> its seconds of processor time) of a recorded run."""
    users, seconds, reached = defaultdict(set), defaultdict(float), defaultdict(set)
    for test, fixture in _rows(folder / USES):
        users[fixture].add(test)
    for test, spent in _rows(folder / TIMES):
        seconds[test] += float(spent)
    for (test,) in _rows(folder / FAILED):
        seconds.pop(test, None)  # what fails without a mutant kills none
    for by, function in _rows(folder / REACHED):
        reached[function] |= (users[by] if by.startswith("fixture ") else {by}) & seconds.keys()
    return dict(reached), dict(seconds)


def _append(name: str, *row: object) -> None:
    with (Path(os.environ["JEPA_REACH"]) / name).open("a") as file:
        file.write("\t".join(map(str, row)) + "\n")


def _spent() -> float:
    """Processor seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note a test that fails."""
    if report.failed and "JEPA_REACH" in os.environ:
        _append(FAILED, report.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note what a test costs."""
    before = _spent()
    result = yield
    _append(TIMES, item.nodeid, round(_spent() - before, 3))
    return result


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef) -> Iterator[None]:
    """While a fixture that lasts is set up, what is reached is its own."""
    from jepa_core import _reach

    lasting = fixturedef.scope != "function"
    if lasting:
        _reach.fixture.append(f"fixture {fixturedef.baseid}::{fixturedef.argname}")
    began = time.process_time()
    try:
        return (yield)
    finally:
        if lasting:
            _append("fixtures.tsv", _reach.fixture.pop(), round(time.process_time() - began, 3))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Note which lasting fixtures a test uses."""
    result = yield
    if isinstance(item, pytest.Function):
        for name, definitions in item._fixtureinfo.name2fixturedefs.items():
            if definitions[-1].scope != "function":
                _append(USES, item.nodeid, f"fixture {definitions[-1].baseid}::{name}")
    return result
