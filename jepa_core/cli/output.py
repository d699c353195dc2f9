r"""What a terminal is given: tables, sentences, progress, and of libraries no more than a line.

Names are anyone's text. A terminal obeys what it is sent, so characters that move its cursor, turn its writing around
or change its title are written out, as in "\x1b[2J"; so is what its encoding lacks. In `--json` they are escaped, and
files hold them as they are.
"""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from jepa_core.errors import JepaError
from jepa_core.files import replace_file
from jepa_core.redaction import visible

if TYPE_CHECKING:
    import pandas as pd


def lines(text: str) -> str:
    """`visible`, for text that may have several lines."""
    return "\n".join(visible(line) for line in text.split("\n"))


def say(text: str) -> None:
    """Lines on standard output."""
    print(lines(text))


def show(frame: "pd.DataFrame", as_json: bool) -> None:
    """A table on standard output."""
    if as_json:
        print(frame.to_json(orient="records", indent=2))
    elif not frame.empty:
        seen = frame.rename(columns=visible).map(lambda cell: visible(cell) if isinstance(cell, str) else cell)
        print(seen.to_string(index=False, float_format="{:.4f}".format))


def show_rows(rows: Sequence[dict[str, object]], as_json: bool) -> None:
    """A table of texts and whole numbers as `show` writes it, without pandas, which takes a second to import."""
    if as_json:
        print(json.dumps(rows, indent=2))
    elif rows:
        # pandas keeps a place for a sign before the name of a column of numbers
        names = [f" {visible(name)}" if isinstance(cell, int) else visible(name) for name, cell in rows[0].items()]
        cells = [names, *([visible(str(cell)) for cell in row.values()] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for line in cells:
            print(" ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def show_facts(facts: dict[str, object], as_json: bool) -> None:
    """One thing's facts on standard output, a line each."""
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        print("\n".join(f"{name:<30}{visible(str(value))}" for name, value in facts.items() if value))


def note(sentence: str) -> None:
    """A sentence on standard error."""
    tqdm.write(lines(sentence), file=sys.stderr)  # on a line of its own, also while a progress bar is shown


def fail(sentence: str) -> None:
    """The sentence that a command ends with: one line, whatever is in it."""
    tqdm.write(f"error: {visible(sentence)}", file=sys.stderr)


def save(write: Callable[[Path], object], path: Path) -> None:
    """Have a result written to a file, whole or not at all, and say so."""
    try:
        replace_file(path, write)
    except OSError as error:
        raise JepaError(f"{path} cannot be written ({error.strerror}); choose a folder with room.") from error
    note(f"Wrote {path}.")


class Bar:
    """A progress bar on standard error, made when the first total is known, and anew for each part of the work."""

    def __init__(self, title: str, unit: str = "image") -> None:
        self._title, self._unit = visible(title), unit
        self._bar: tqdm | None = None

    def __call__(self, done: int, total: int) -> None:
        """Show how far the work is."""
        if self._bar is None or self._bar.total != total:  # another part of the work
            if self._bar is not None:
                self._bar.close()
            self._bar = tqdm(total=total, desc=self._title, unit=self._unit, unit_scale=self._unit == "B", leave=False)
        self._bar.update(done - self._bar.n)
        if done >= total:
            self._bar.close()


def be_ready(streams: Iterable[object] | None = None) -> None:
    """Have output never fail at a letter that the terminal's encoding lacks, and libraries speak in single lines."""
    for stream in (sys.stdout, sys.stderr) if streams is None else streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.basicConfig(level=logging.WARNING, handlers=[_OneLine()])


class _OneLine(logging.Handler):
    """Warnings of our own modules as sentences, errors of others as one line each; nothing else, and no traces."""

    def emit(self, record: logging.LogRecord) -> None:
        own = record.name.startswith("jepa_core")
        if own or record.levelno >= logging.ERROR:
            said = (record.getMessage().splitlines() or [""])[0]
            tqdm.write(visible(said if own else f"{record.name}: {said}"), file=sys.stderr)
