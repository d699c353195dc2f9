"""A few encoders on the same images: their orders beside each other, and the images that they dispute.

A score has no unit, and its scale depends on the encoder's weights and on how many numbers its embedding has. So
nothing here looks at a score but for its place among the scores of the same encoder: percentiles and ranks alone are
compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from jepa_core.analysis.agreement import SHARE, Agreement, of_orders
from jepa_core.errors import NotEnoughData
from jepa_core.stats.conformal import percentile

FEWEST_ENCODERS, MOST_ENCODERS = 2, 4
"""How many encoders may be compared at once."""

DISPUTED = 5
"""Images of each way of a dispute that are shown."""

_MEMBER = ["name", "position", "label", "digest"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Encoders on the images that all of them have scored, row by row.

    `images` says which they are (name, position, label, digest); `percentiles` has a column for each encoder, of each
    image among these images: 0 to 100, low is unlikely.
    """

    images: pd.DataFrame
    percentiles: pd.DataFrame

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every two encoders, in the order in which they were given."""
        return list(combinations(self.percentiles.columns, 2))


def compare(tables: Mapping[str, pd.DataFrame]) -> Comparison:
    """Bring score tables together, by encoder; an image is known by its digest and counts once.

    Raises `NotEnoughData` for other than `FEWEST_ENCODERS` to `MOST_ENCODERS` tables, and where not even two
    images are in all of them.
    """
    if not FEWEST_ENCODERS <= len(tables) <= MOST_ENCODERS:
        raise NotEnoughData(
            f"A comparison was asked of {len(tables)} {'encoder' if len(tables) == 1 else 'encoders'}; "
            f"{FEWEST_ENCODERS} to {MOST_ENCODERS} different ones are accepted; choose some more or fewer."
        )
    known = {name: table.drop_duplicates("digest").set_index("digest", drop=False) for name, table in tables.items()}
    scores = pd.concat({name: table["jepa_score"] for name, table in known.items()}, axis=1, join="inner")
    if len(scores) < 2:
        raise NotEnoughData(
            f"A comparison was asked for {len(scores)} images that {', '.join(tables)} have all scored; at least 2 are "
            "needed; score the same images with each."
        )
    first = next(iter(known.values()))
    percentiles = {name: percentile(column.to_numpy(), column.to_numpy()) for name, column in scores.items()}
    return Comparison(first.loc[scores.index, _MEMBER].reset_index(drop=True), pd.DataFrame(percentiles))


def agreements(found: Comparison, share: float = SHARE) -> dict[tuple[str, str], Agreement]:
    """What the orders of every two encoders share, with `share` of the images at each end, by pair.

    Raises `NotEnoughData` for too few images.
    """
    columns = {name: column.to_numpy() for name, column in found.percentiles.items()}
    return {(first, second): of_orders(columns[first], columns[second], share) for first, second in found.pairs}


def pair_table(found: Mapping[tuple[str, str], Agreement]) -> pd.DataFrame:
    """A line for every two encoders: Spearman's rho with its interval, and the overlaps of the ends.

    Columns: first, second, images, spearman, spearman_low, spearman_high; end, how many images an end has; least and
    most, the shares (0 to 1) of it that both find least and most likely; chance, what unrelated orders share on
    average, and chance_low to chance_high, where they mostly lie.
    """
    return pd.DataFrame([_line(first, second, one) for (first, second), one in found.items()])


def _line(first: str, second: str, one: Agreement) -> dict[str, object]:
    return {
        "first": first,
        "second": second,
        "images": one.images,
        "spearman": one.rho,
        "spearman_low": one.low,
        "spearman_high": one.high,
        "end": one.least.size,
        "least": one.least.share,
        "most": one.most.share,
        "chance": one.least.chance,  # that of the most likely is the same
        "chance_low": one.least.low,
        "chance_high": one.least.high,
    }


def disputed(found: Comparison, first: str, second: str, count: int = DISPUTED) -> pd.DataFrame:
    """The images whose percentiles differ most, `count` of each way, the largest difference first.

    Columns: first, second (the encoders), likelier (which of the two finds the image likelier), percentile_first,
    percentile_second, difference (always positive), and the image's name, position, label and digest. An image that
    both place alike is disputed in neither way. The index is the image's row in the comparison.
    """
    one, other = found.percentiles[first], found.percentiles[second]
    parts = []
    for likelier, difference in ((first, one - other), (second, other - one)):
        rows = difference[difference > 0].sort_values(ascending=False, kind="stable").index[:count]
        facts = pd.DataFrame(
            {
                "first": first,
                "second": second,
                "likelier": likelier,
                "percentile_first": one[rows],
                "percentile_second": other[rows],
                "difference": difference[rows],
            }
        )
        parts.append(facts.join(found.images))
    return pd.concat(parts)


def most_apart_first(found: Comparison, first: str, second: str, rows: Sequence[int]) -> list[int]:
    """Rows of a comparison in the order of how differently two encoders place them, the largest difference first."""
    difference = (found.percentiles[first] - found.percentiles[second]).abs().iloc[list(rows)]
    return difference.sort_values(ascending=False, kind="stable").index.tolist()
