"""Which archives a pattern names: "shard-{000..003}.tar", as WebDataset writes it, or "shards/*.tar"."""

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from braceexpand import braceexpand

from jepa_core import files
from jepa_core.datasets import folders
from jepa_core.errors import DatasetError

MOST_SHARDS = 10_000  # archives
_ENDING = re.compile(r"\.[^/]*(zip|cb[zt]|tar|tgz|tbz|txz|tzst)", re.IGNORECASE)  # which may stand in braces
_MAGIC = re.compile(r"[{*?\[]")
_RANGE = re.compile(r"\{(-?\d+)\.\.(-?\d+)")


def is_pattern(name: str) -> bool:
    """Whether a name stands for several archives: such names need no ending where they are those of a path."""
    last = name.rpartition(os.sep)[2]
    has_ending = "." in _RANGE.sub("", last) or os.sep not in name
    return bool(_MAGIC.search(name)) and (bool(_ENDING.search(last)) or not has_ending)


def expand(pattern: str) -> list[Path]:
    """The archives that a pattern names, in order.

    Raises `DatasetError` for a pattern that cannot be read as one or names no archive, too many, one that is not there,
    or one that this server may not read.
    """
    if any(abs(int(last) - int(first)) >= MOST_SHARDS for first, last in _RANGE.findall(pattern)):
        raise _too_many(pattern)
    try:
        found = list(islice(_found(pattern), MOST_SHARDS + 1))
    except ValueError as error:  # braceexpand's word for it
        raise DatasetError(
            f"The braces of {pattern!r} do not match; a pattern such as shard-{{000..003}}.tar is accepted; mend them."
        ) from error
    if len(found) > MOST_SHARDS:
        raise _too_many(pattern)
    if not found:
        raise DatasetError(
            f"There is no archive that {pattern!r} names; a pattern of ZIPs or tars that are there is accepted; check "
            "the spelling."
        )
    return found


def _found(pattern: str) -> Iterator[Path]:
    # Backslashes are the separators of Windows.
    for number, given in enumerate(braceexpand(pattern, escape=False)):
        if number == MOST_SHARDS:  # else two ranges with a star behind them would look into a folder a million times
            raise _too_many(pattern)
        whole = folders.resolve(given)
        if whole is None:
            continue
        fixed = whole
        while _MAGIC.search(str(fixed)):
            fixed = fixed.parent
        folders.check_allowed(fixed, pattern)  # before anything is said of what is there
        if fixed == whole:
            if not files.is_file(whole):
                raise DatasetError(
                    f"The shard {given} is not there, which {pattern!r} names; a pattern of shards that are all there "
                    "is accepted; download it, or name the others."
                )
            yield folders.as_named(whole)
            continue
        for name in sorted(fixed.glob(str(whole.relative_to(fixed)))):
            path = folders.resolve(str(name))
            if path is not None and files.is_file(path) and not folders.is_hidden(name.name):
                folders.check_allowed(path, pattern)
                yield folders.as_named(path)


def _too_many(pattern: str) -> DatasetError:
    return DatasetError(
        f"{pattern!r} names more than {MOST_SHARDS} archives; up to {MOST_SHARDS} are accepted; name fewer."
    )
