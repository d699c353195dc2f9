"""Percentiles of a table's images among themselves, and of one score in several sets."""

import pandas as pd

from jepa_core.analysis.percentiles import places_in_sets, with_percentiles
from jepa_core.stats.conformal import Reference


def table(*scores: float) -> pd.DataFrame:
    return pd.DataFrame({"jepa_score": scores}, dtype=float)


def test_percentiles_are_among_the_table_itself_and_equal_scores_share_one() -> None:
    given = table(5.0, 1.0, 5.0, 9.0)
    assert with_percentiles(given)["percentile"].tolist() == [50.0, 12.5, 50.0, 87.5]
    assert "percentile" not in given, "pages share the table"


def test_an_empty_table_has_no_percentiles() -> None:
    assert with_percentiles(table()).columns.tolist() == ["jepa_score", "percentile"]


def test_a_score_is_placed_in_each_set_of_two_images_or_more() -> None:
    wide = table(*range(30))
    found = places_in_sets(3.0, {"wide": wide, "one": table(1.0), "none": table()})
    assert list(found) == ["wide"]
    assert found["wide"] == Reference("wide", wide["jepa_score"].to_numpy()).place(3.0)
