"""Percentiles of the images of a score table among themselves, and of one score in several sets."""

from collections.abc import Mapping

import pandas as pd

from jepa_core.stats.conformal import Place, Reference, percentile


def with_percentiles(table: pd.DataFrame) -> pd.DataFrame:
    """A score table with the column `percentile`: the place of each `jepa_score` among all of the table, 0 to 100.

    >>> with_percentiles(pd.DataFrame({"jepa_score": [3.0, 1.0]}))["percentile"].tolist()
    [75.0, 25.0]
    """
    scores = table["jepa_score"].to_numpy()
    return table.assign(percentile=percentile(scores, scores) if len(scores) else scores)


def places_in_sets(score: float, tables: Mapping[str, pd.DataFrame]) -> dict[str, Place]:
    """Where a score falls in each of some score tables; one of fewer than two images says nothing and is left out."""
    return {
        name: Reference(name, table["jepa_score"].to_numpy()).place(score)
        for name, table in tables.items()
        if len(table) > 1
    }
