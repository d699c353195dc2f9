"""What is known of the orders of a review: figures of `bench curation` that ship with the explorer, in words."""

import csv
from dataclasses import dataclass
from functools import cache

from jepa_core.config import ASSETS

PATH = ASSETS / "curation.csv"
COMMAND = "jepa-score bench curation --out assets/curation.csv"
"""What made the file."""

_PLANTED = {
    "foreign": "the foreign pictures",
    "disturbed": "the disturbed ones (dark, blurred, framed and the like)",
    "wrong class": "the images with a wrong class",
}
_KINDS = {"foreign": "all mixed"}


@dataclass(frozen=True)
class Figure:
    """How much of what was planted an order had among as many first ones, with the middle 90 % of the draws."""

    where: str  # the set
    encoder: str
    planted: str
    precision: float
    low: float
    high: float


@cache
def _rows() -> tuple[dict[str, str], ...]:
    if not PATH.exists():
        return ()
    with PATH.open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def figures(order: str) -> list[Figure]:
    """The shipped figures of an order: foreign pictures of all kinds, disturbed ones, wrong classes."""
    return [
        Figure(
            row["set"],
            row["encoder"],
            row["planted"],
            *(float(row[f"precision{end}"]) for end in ("", "_low", "_high")),
        )
        for row in _rows()
        if row["order"] == order
        and row["planted"] in _PLANTED
        and row["kind"] == _KINDS.get(row["planted"], row["kind"])
    ]


def in_words(order: str) -> str:
    """One sentence on what an order found where it was measured; "" where it was not."""
    found = figures(order)
    if not found:
        return ""
    parts = [
        f"{100 * one.precision:.0f} % ({100 * one.low:.0f} to {100 * one.high:.0f}) of {_PLANTED[one.planted]}"
        for one in found
    ]
    listed = ", ".join(parts[:-1]) + f" and {parts[-1]}" if len(parts) > 1 else parts[0]
    where = f"{found[0].where} (encoder {found[0].encoder})"
    return f"Where pictures were planted into {where}, its first images, as many as were planted, had {listed}."
