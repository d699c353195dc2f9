"""The least and most likely images of an estimated dataset: scored fully until no estimate may belong among them."""

import numpy as np
import pandas as pd

from jepa_core.scoring import estimation
from jepa_core.scoring.run import ScoringRun
from jepa_core.scoring.stored import stored_scores

WIDER = 1.6
"""How much wider than their 90 % intervals estimates are taken here, about 99 %: one in ten may not be missed."""
_AT_A_TIME, _MOST_AT_A_TIME = 8, 32


def open_extremes(table: pd.DataFrame, shown: int) -> list[str]:
    """The names of estimates whose interval reaches into the `shown` lowest or highest scores of a table.

    Those that reach farthest come first: their full scores may show that the others do not belong there.
    """
    if table.empty:
        return []
    scores = np.sort(table["jepa_score"].to_numpy())
    shown = min(shown, len(scores))
    middle, half = table["jepa_score"], WIDER * (table["high"] - table["low"]) / 2
    far = np.maximum(scores[shown - 1] - (middle - half), middle + half - scores[-shown])
    reaching = far[(far >= 0) & table["estimated"]].sort_values(ascending=False, kind="stable")
    return table.loc[reaching.index, "name"].tolist()


def verify_extremes(run: ScoringRun, shown: int, label: str | None = None) -> set[str]:
    """Score fully every image of a run (of a class) that may be among the `shown` lowest or highest, till none is left.

    Returns the names that stay open: those whose scoring failed, and what was left when it was cancelled.
    """
    tried: set[str] = set()
    if run.method.name == "estimate":
        estimation.check(run)
    while True:
        table = stored_scores(run.store, run.output, run.dataset, run.method)
        names = open_extremes(table if label is None else table[table["label"] == label], shown)
        left = [name for name in names if name not in tried]
        if run.cancelled() or not left:
            return set(names)
        chosen = set(left[: min(max(_AT_A_TIME, len(left) // 4), _MOST_AT_A_TIME)])
        run.restricted_to(chosen).score()
        tried |= chosen
        if run.method.name == "estimate":  # what stands at an end has taught something of what stands beside it
            estimation.refresh(run)
