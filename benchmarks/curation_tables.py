"""The tables of docs/curation.md, from what `jepa-score bench curation --out` wrote into docs/curation.

python benchmarks/curation_tables.py
"""

import sys
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jepa_core.analysis.review_orders import ORDERS

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "curation"


def orders(table: pd.DataFrame) -> str:
    """A row for what was planted, a column for each order: precision / recall, of "all together" with the interval."""
    rows = [
        "| planted | " + " | ".join(order.title for order in ORDERS.values()) + " |",
        "|---" * (len(ORDERS) + 1) + "|",
    ]
    for (planted, kind), part in table[table["planted"] != "copies"].groupby(["planted", "kind"], sort=False):
        found = {row.order: _cell(row) for row in part.itertuples()}
        rows.append(f"| {planted}: {kind} | " + " | ".join(found.get(name, "") for name in ORDERS) + " |")
    return "\n".join(rows)


def _cell(row: Any) -> str:
    interval = f" ({row.precision_low:.2f} to {row.precision_high:.2f})" if row.order == "all" else ""
    return f"{row.precision:.2f}{interval} / {row.recall:.2f}"


def copies(tables: dict[str, pd.DataFrame]) -> str:
    """A row for each kind of copy, a column for each set: precision / recall with its interval."""
    found = {name: table[table["planted"] == "copies"].set_index("kind") for name, table in tables.items()}
    kinds = next(iter(found.values())).index
    rows = ["| copies | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
    for kind in kinds:
        cells = []
        for table in found.values():
            row = table.loc[kind]
            interval = f"{row['recall_low']:.2f} to {row['recall_high']:.2f}"
            cells.append(f"{row['precision']:.2f} / {row['recall']:.2f} ({interval})")
        rows.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def tables() -> dict[str, pd.DataFrame]:
    """The tables by the sets' titles."""
    read = [pd.read_csv(FOLDER / f"{name}.csv") for name in ("scenes", "digits", "imagenette")]
    return {table["set"][0]: table for table in read}


if __name__ == "__main__":
    for title, table in tables().items():
        print(f"\n{title}\n\n{orders(table)}")
    print(f"\n{copies({title: table for title, table in tables().items() if not title.startswith('Digits')})}")
