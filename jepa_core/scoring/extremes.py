"""The least and most likely images of a sketched dataset: scored fully until no estimate may belong among them."""

import numpy as np
import pandas as pd

from jepa_core.scoring.run import ScoringRun
from jepa_core.scoring.stored import stored_scores


def open_extremes(table: pd.DataFrame, shown: int) -> set[str]:
    """The names of estimates whose interval reaches into the `shown` lowest or highest scores of a table."""
    if table.empty:
        return set()
    scores = np.sort(table["jepa_score"].to_numpy())
    shown = min(shown, len(scores))
    reaches = (table["low"] <= scores[shown - 1]) | (table["high"] >= scores[-shown])
    return set(table.loc[reaches & table["estimated"], "name"])


def verify_extremes(run: ScoringRun, shown: int, label: str | None = None) -> set[str]:
    """Score fully every image of a run (of a class) that may be among the `shown` lowest or highest, till none is left.

    Returns the names that stay open: those whose scoring failed, and what was left when it was cancelled.
    """
    tried: set[str] = set()
    while True:
        table = stored_scores(run.store, run.output, run.dataset, run.method)
        names = open_extremes(table if label is None else table[table["label"] == label], shown)
        if run.cancelled() or names <= tried:
            return names
        run.restricted_to(names - tried).score()
        tried |= names
