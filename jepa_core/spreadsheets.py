r"""Tables as CSV that a spreadsheet shows and does not run.

Names of files and classes are anyone's text, and a spreadsheet takes a cell that begins with "=", "+", "-" or "@" (or
with a tab or a new line before such) for a formula, which can fetch an address or start a program. Such a cell is
written with an apostrophe before it, and so is one that had an apostrophe there already, which makes it exact to read
back. Numbers stay as they are, -3.2 too.

See OWASP, "CSV Injection": https://owasp.org/www-community/attacks/CSV_Injection
"""

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # listing datasets reads names with this module, and is not to wait for pandas
    import pandas as pd

_RUN = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last are full-width
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
TEXT = ("dataset", "domain", "name", "label", "digest", "path", "decision", "method", "precision", "device", "verdict")
"""Columns whose cells are text, also where all of them look like numbers, as classes may."""


def guarded(cell: str) -> str:
    """A cell as it is written.

    >>> guarded("=1+1"), guarded("-3.2"), guarded("'=1"), guarded("cat")
    ("'=1+1", '-3.2', "''=1", 'cat')
    """
    return f"'{cell}" if cell.startswith((*_RUN, "'")) and not _NUMBER.fullmatch(cell) else cell


def original(cell: str) -> str:
    """A cell as it was before `guarded`; one that was written without it stays as it is.

    >>> original("'=1+1"), original("''=1"), original("'tis")
    ('=1+1', "'=1", "'tis")
    """
    return cell[1:] if cell.startswith("'") and cell[1:].startswith((*_RUN, "'")) else cell


def csv_text(frame: "pd.DataFrame") -> str:
    """A table as CSV, without its index."""
    written = frame.map(lambda cell: guarded(cell) if isinstance(cell, str) else cell)
    # What separates lines elsewhere is not put into quotes by itself, and a reader would see two lines.
    returns = any(isinstance(cell, str) and "\r" in cell for column in frame for cell in frame[column])
    quoting = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    return written.rename(columns=guarded).to_csv(index=False, quoting=quoting, lineterminator="\n")


def read_csv(path: Path) -> "pd.DataFrame":
    """A table that `csv_text` wrote: the columns of `TEXT` as they were, others as numbers or truths if all cells are.

    An empty cell is no number (NaN), or a text without letters.
    """
    import pandas as pd

    with path.open(encoding="utf-8", newline="") as lines:
        names, *rows = csv.reader(lines)
    columns = [original(name) for name in names]
    cells = {name: [row[place] for row in rows] for place, name in enumerate(columns)}
    return pd.DataFrame({name: _typed(name, found) for name, found in cells.items()}, columns=columns)


def _typed(name: str, cells: list[str]) -> "pd.Series":
    import pandas as pd

    if name in TEXT:
        return pd.Series([original(cell) for cell in cells], dtype=object)
    if cells and set(cells) <= {"True", "False"}:
        return pd.Series([cell == "True" for cell in cells])
    try:
        numbers = [int(cell) for cell in cells]
    except ValueError:
        try:
            return pd.Series([float(cell or "nan") for cell in cells], dtype=float)
        except ValueError:
            return pd.Series([original(cell) for cell in cells], dtype=object)
    return pd.Series(numbers)
