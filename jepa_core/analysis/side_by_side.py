"""The same sets of images by several encoders, each on its own scale.

Scores of two encoders are not on one scale, so each encoder's are measured by its own scores of one reference: from the
reference's median, in units of its spread. What may be compared are places beside the reference, and how well each
encoder tells a set from it.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from jepa_core.errors import NotEnoughData
from jepa_core.stats.metrics import separation
from jepa_core.wording import listed, with_interval

NORMAL_IQR = 1.349
"""The interquartile range of a normal distribution, in standard deviations."""


def in_spreads(scores: Float[ndarray, "n"], reference: Float[ndarray, "m"]) -> Float[ndarray, "n"]:
    """Scores from the reference's median, in units of its spread: the interquartile range / `NORMAL_IQR`.

    Of a normal reference that is its standard deviation, and unlike it, a few odd images do not move it. Raises
    `NotEnoughData` where the middle half of the reference has one score.

    >>> in_spreads(np.array([0.0, 3.0, 3.0 + 2.698]), np.array([0.0, 2.0, 3.0, 4.0, 9.0])).round(2).tolist()
    [-2.02, 0.0, 1.82]
    """
    if not reference.size:
        raise NotEnoughData("The reference has no scored images; spreads need some; score the reference first.")
    low, median, high = np.quantile(reference, [0.25, 0.5, 0.75])
    if not high > low:
        raise NotEnoughData(
            f"Half of the reference's {reference.size} images have one score; a spread above 0 is needed; choose "
            "another reference."
        )
    return (scores - median) / ((high - low) / NORMAL_IQR)


def line(encoder: str, domain: str, table: pd.DataFrame, reference: pd.DataFrame) -> dict[str, object]:
    """How one encoder places one set beside the reference, from its score tables of both.

    Columns: encoder, domain, images, median, q25 and q75 (in spreads of the reference), auroc and fpr95, each with its
    interval in _low and _high. As in `separation.domain_table` the set's images are the outliers, and one that is in
    the reference too is none. Without an image that is not in it, there is no AUROC: NaN.
    """
    scores, normal = table["jepa_score"].to_numpy(), reference["jepa_score"].to_numpy()
    found: dict[str, object] = {"encoder": encoder, "domain": domain, "images": len(scores)}
    quartiles = np.quantile(in_spreads(scores, normal), [0.25, 0.5, 0.75])
    found |= dict(zip(("q25", "median", "q75"), quartiles.tolist(), strict=True))
    foreign = ~table["digest"].isin(set(reference["digest"])).to_numpy(dtype=bool)
    names = [f"{metric}{end}" for metric in ("auroc", "fpr95") for end in ("", "_low", "_high")]
    if not foreign.any():
        return found | dict.fromkeys(names, np.nan)
    apart = separation(-normal, -scores[foreign])
    return found | {name: apart[name] for name in names}


def in_words(table: pd.DataFrame, reference: str) -> str:
    """What several encoders agree on, and where they contradict each other, of a table of `line`s.

    An encoder finds a set less likely than the reference where the whole interval of its AUROC is above 0.5, and
    likelier where it is below.
    """
    judged = table[table["auroc"].notna()]
    sides: dict[str, list[int]] = {}
    for domain, lines in judged.groupby("domain", sort=False):
        sides[str(domain)] = [
            int(low > 0.5) - int(high < 0.5) for low, high in zip(lines["auroc_low"], lines["auroc_high"], strict=True)
        ]
    several = {domain: found for domain, found in sides.items() if len(found) > 1}
    if not several:
        return f"No other set has scores by more than one encoder, so there is nothing to compare beside {reference}."
    unlikely = [domain for domain, found in several.items() if set(found) == {1}]
    likely = [domain for domain, found in several.items() if set(found) == {-1}]
    against = [domain for domain, found in several.items() if {1, -1} <= set(found)]
    rest = [domain for domain in several if domain not in (*unlikely, *likely, *against)]
    sentences = [
        f"All encoders find {listed(names)} {side} {reference}."
        for names, side in ((unlikely, "less likely than"), (likely, "likelier than"))
        if names
    ]
    if against:
        sentences.append(
            f"They contradict each other on {listed(against)}: less likely than {reference} for some, likelier for "
            "others."
        )
    if rest:
        sentences.append(f"On {listed(rest)} some see no difference.")
    return " ".join(sentences)


def by_encoder(table: pd.DataFrame, metric: str, encoders: Sequence[str]) -> dict[str, list[str | None]]:
    """A metric (auroc, fpr95) of a table of `line`s as text, a column for each encoder and a row for each set.

    "0.57 (0.53 to 0.61)"; None where there is no value.
    """
    return _pivoted(table, encoders, (metric, f"{metric}_low", f"{metric}_high"), 2)


def middles(table: pd.DataFrame, encoders: Sequence[str]) -> dict[str, list[str | None]]:
    """The median and the middle half of each set by each encoder as text, in spreads: "-1.5 (-2.0 to -0.9)"."""
    return _pivoted(table, encoders, ("median", "q25", "q75"), 1)


def _pivoted(
    table: pd.DataFrame, encoders: Sequence[str], columns: Sequence[str], digits: int
) -> dict[str, list[str | None]]:
    said = {}
    for encoder, domain, value, low, high in table[["encoder", "domain", *columns]].itertuples(index=False):
        said[encoder, domain] = with_interval(value, low, high, digits)
    domains = dict.fromkeys(table["domain"])
    return {encoder: [said.get((encoder, domain)) for domain in domains] for encoder in encoders}
