"""What the experiments share: settings in, results out step by step, each finished part kept on disk.

An experiment is a generator: it yields a `Step` with all that is known so far, so that a page can draw it while it is
computed, and its last step is the result. A full run is a list of settings (its cells); each finished cell is a file in
the cache, so a run that was stopped goes on where it was, and a page that is opened again shows what was computed.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from jepa_core.config import ASSETS, cache_dir
from jepa_core.errors import JepaError, TableError
from jepa_core.files import replace_file
from jepa_core.keys import make_key
from jepa_core.progress import Cancelled, never

_log = logging.getLogger(__name__)

Result = dict[str, Any]
"""Plain numbers, strings, lists and dicts, as JSON has them."""


@dataclass(frozen=True)
class Step:
    """How far an experiment is, and what it has found so far."""

    done: int
    total: int
    result: Result


@dataclass(frozen=True)
class Cell:
    """A part of a full result: the settings and what they gave."""

    settings: Any
    result: Result


@dataclass(frozen=True)
class Experiment:
    """One controlled experiment. Another `version` makes what was kept of an older one count for nothing."""

    name: str
    title: str
    look_for: str  # a few sentences
    version: int
    settings: type  # a frozen dataclass of numbers, strings and tuples of them
    run: Callable[[Any], Iterator[Step]]
    cells: Sequence[Any]
    table: Callable[[Sequence[Cell]], pd.DataFrame]

    def read(self, settings: dict[str, Any]) -> Any:
        """Settings from JSON, in which a tuple is a list."""
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
        return self.settings(**values)


def _path(experiment: Experiment, settings: Any) -> Path:
    key = make_key("theory", experiment.name, experiment.version, json.dumps(asdict(settings), sort_keys=True))
    return cache_dir() / "theory" / experiment.name / f"{key[:24]}.json"


def kept(experiment: Experiment, settings: Any) -> Result | None:
    """The result of these settings if it was computed here before; a file that cannot be read counts as none."""
    path = _path(experiment, settings)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["result"]
        experiment.table([Cell(settings, found)])  # it must have what is read off it
        return found
    except FileNotFoundError:
        return None
    except Exception as error:  # whatever comes of reading a damaged file as a result
        _log.warning("The result %s cannot be read (%s); it is computed again.", path, error)
        return None


def compute(
    experiment: Experiment,
    settings: Any,
    show: Callable[[Step], None] = lambda _step: None,
    cancelled: Cancelled = never,
) -> Result | None:
    """The result of these settings, from the cache or computed and kept; None if it was cancelled before its end."""
    found = kept(experiment, settings)
    if found is not None:
        return found
    start = time.process_time()
    result: Result = {}
    for step in experiment.run(settings):
        result = step.result
        show(step)
        if cancelled() and step.done < step.total:
            return None
    result = result | {"seconds": round(time.process_time() - start, 2)}
    path = _path(experiment, settings)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda partial: _write(partial, {"settings": asdict(settings), "result": result}))
    except OSError as error:
        _log.warning("The result could not be kept (%s).", error)
    return result


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, separators=(",", ":"), allow_nan=False), encoding="utf-8")


def at_hand(experiment: Experiment) -> list[Cell]:
    """The cells of the full run that were computed here so far."""
    found = ((settings, kept(experiment, settings)) for settings in experiment.cells)
    return [Cell(settings, result) for settings, result in found if result is not None]


def write(experiment: Experiment, path: Path) -> None:
    """Write the cells that were computed here to one file, such as the shipped one."""
    cells = [{"settings": asdict(cell.settings), "result": cell.result} for cell in at_hand(experiment)]
    content = {"experiment": experiment.name, "command": command(experiment), "cells": cells}
    try:
        replace_file(path, lambda partial: _write(partial, content))
    except OSError as error:
        raise JepaError(
            f"The results cannot be written to {path} ({error.strerror}); a file in a folder that exists and may be "
            "written is accepted; choose another with --out."
        ) from error


def command(experiment: Experiment) -> str:
    """What makes the shipped result again."""
    return f"python -m jepa_core theory {experiment.name} --out {shipped_path(experiment).relative_to(ASSETS.parent)}"


def shipped_path(experiment: Experiment) -> Path:
    """Where the full result that ships with the project lies."""
    return ASSETS / "theory" / f"{experiment.name}.json"


def shipped(experiment: Experiment) -> list[Cell]:
    """The shipped full result. Raises `TableError` where it is missing or damaged."""
    path = shipped_path(experiment)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        cells = [Cell(experiment.read(cell["settings"]), cell["result"]) for cell in content["cells"]]
        experiment.table(cells)  # they must have what is read off them
        return cells
    except Exception as error:  # whatever comes of reading a damaged file as results
        raise TableError(
            f"The shipped result {path.name} cannot be read ({type(error).__name__}); a file written by "
            f"'{command(experiment)}' is accepted; make it again."
        ) from error


def rounded(values: Any, digits: int = 4) -> Any:
    """Numbers of an array or a list to so many significant digits, as a list: files stay small and can be read."""
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, list | tuple):
        return [rounded(value, digits) for value in values]
    return float(f"{values:.{digits}g}")
