"""Does a larger training set make foreign images less likely? Pairs of encoders that differ in nothing else.

Balestriero, Ballas, Rabbat, LeCun (arXiv 2510.05949, figure 3) report that images foreign to the training set, such as
handwritten digits and galaxies for an encoder of photos, are the less likely the larger the training set was.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pandas as pd

from jepa_core.analysis.agreement import differing, joined, recipe_of
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.stats.bootstrap import interval
from jepa_core.stats.conformal import percentile
from jepa_core.stats.metrics import auroc, resampled
from jepa_core.wording import listed, per_cent

# What each field of a recipe is where an older card lacks it.
_WHOLE = {"share": 1.0}


@dataclass(frozen=True)
class Pair:
    """Two encoders whose recipes are equal but for the share (0 to 1) of the training images that each has seen."""

    smaller: EncoderSpec
    larger: EncoderSpec
    smaller_share: float
    larger_share: float


def pairs(specs: Iterable[EncoderSpec]) -> list[Pair]:
    """All such pairs among encoders. Raises `EncoderError` for a damaged card."""
    recipes = [(spec, _WHOLE | recipe) for spec in specs if (recipe := recipe_of(spec))]
    return [
        Pair(small, large, one["share"], other["share"])
        for (small, one), (large, other) in permutations(recipes, 2)
        if one["share"] < other["share"] and differing(one, other) == {"share"}
    ]


def compare(smaller: Mapping[str, pd.DataFrame], larger: Mapping[str, pd.DataFrame], reference: str) -> pd.DataFrame:
    """What the larger training set changed, one line a domain of which both encoders have scored the same images.

    `smaller` and `larger` are each encoder's score tables by domain, those of the reference among them; only images
    that are in both are compared. Columns: domain, images; percentile_smaller and percentile_larger, those of the
    domain's median in the encoder's own scores of the reference; auroc_smaller and auroc_larger, the domain's images
    being the outliers (higher: less likely beside the reference); and change, what the AUROC gained, with its paired
    bootstrap interval in change_low and change_high. Raises `NotEnoughData` where they share no image of the reference.
    """
    inliers = joined(smaller[reference], larger[reference])
    lines = []
    for name in smaller:
        if name == reference or name not in larger:
            continue
        outliers = joined(smaller[name], larger[name])
        if outliers.empty:
            continue
        line: dict[str, object] = {"domain": name, "images": len(outliers)}
        areas, draws = [], []
        for column, which in (("first", "smaller"), ("second", "larger")):
            normal, foreign = inliers[column].to_numpy(), outliers[column].to_numpy()
            areas.append(auroc(-normal, -foreign))
            draws.append(resampled(-normal, -foreign)["auroc"])
            line[f"auroc_{which}"] = areas[-1]
            line[f"percentile_{which}"] = percentile(np.array([np.median(foreign)]), normal)[0]
        low, high = interval(draws[1] - draws[0])
        lines.append(line | {"change": areas[1] - areas[0], "change_low": low, "change_high": high})
    return pd.DataFrame(lines)


def in_words(table: pd.DataFrame, pair: Pair, reference: str) -> str:
    """A comparison in plain sentences: on which domains the claim holds, on which it fails, on which nothing is clear.

    It is said to hold on a domain where the whole interval of the change is above 0, and to fail where it is below.
    """
    words = (
        f"{pair.larger.name} was trained on {_share_in_words(pair.larger_share)} of the training images, "
        f"{pair.smaller.name} on {_share_in_words(pair.smaller_share)} of them, and all else in their recipes is equal."
    )
    if table.empty:
        return f"{words} They have scored no common images but those of {reference}."
    rises, falls = table["change_low"] > 0, table["change_high"] < 0
    kinds = (
        (rises, f"The larger training set made {{}} less likely beside {reference}, as the claim says."),
        (falls, f"It made {{}} more likely beside {reference}, against the claim."),
        (~rises & ~falls, "Nothing sure changed on {}."),
    )
    unit = ("AUROC ", "percentile ")  # said once
    sentences = []
    for mask, sentence in kinds:
        if mask.any():
            named = []
            for line in table[mask].itertuples():
                named.append(
                    f"{line.domain} ({unit[0]}{line.auroc_smaller:.2f} to {line.auroc_larger:.2f}, "
                    f"{unit[1]}{line.percentile_smaller:.0f} to {line.percentile_larger:.0f})"
                )
                unit = ("", "")
            sentences.append(sentence.format(listed(named)))
    found = " ".join(sentences)
    if found.startswith("It"):
        found = found.replace("It", "The larger training set", 1)
    return (
        f"{words} The claim holds on {rises.sum()} of {len(table)} sets, is wrong on {falls.sum()} and open on "
        f"{(~rises & ~falls).sum()}. {found}"
    )


def _share_in_words(share: float) -> str:
    return "all" if share == 1 else per_cent(share)
