"""Do two encoders agree on which images are likely? Overlaps of the ends, and the rank correlation.

Balestriero, Ballas, Rabbat, LeCun (arXiv 2510.05949, figure 1) report that different encoders find the same images
least and most likely. Scores of two encoders are not on one scale, so only their orders are compared.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import hypergeom

from jepa_core import notices
from jepa_core.config import ASSETS
from jepa_core.encoders.card import load_card
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import NotEnoughData
from jepa_core.stats.bootstrap import LEVEL
from jepa_core.stats.rank_correlation import spearman_with_interval
from jepa_core.wording import per_cent, with_interval

SHARE = 0.05  # of the images, at each end, unless another share is asked for

TWINS = ASSETS / "twins.json"
"""Agreements with encoders that are not bundled themselves, written by `benchmarks/seeds.py`."""

# Fields of a recipe that name and describe an encoder, and change none of its weights.
_LABELS = {"name", "description", "limits"}


@dataclass(frozen=True)
class Overlap:
    """How many of the `size` images at one end of two orders are the same, as shares (0 to 1) of `size`.

    `chance` is what two unrelated orders share on average, `low` to `high` where they lie `LEVEL` of the time.
    """

    size: int
    share: float
    chance: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """The share against chance, in words."""
        if self.share > self.high:
            return "more than chance"
        return "less than chance" if self.share < self.low else "no more than chance"


@dataclass(frozen=True)
class Agreement:
    """Two orders of the same `images`: overlaps of the least and of the most likely, and Spearman's rho.

    `low` to `high` is rho's interval. All three are NaN where an encoder gives all images one score, which is no order.
    """

    images: int
    least: Overlap
    most: Overlap
    rho: float
    low: float
    high: float


def joined(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """The JEPA-SCOREs of the images in both score tables, by digest: columns first and second.

    An image that is in a table twice counts once.
    """
    one, other = (table.drop_duplicates("digest").set_index("digest")["jepa_score"] for table in (first, second))
    return pd.concat({"first": one, "second": other}, axis=1, join="inner")


def agreement(first: pd.DataFrame, second: pd.DataFrame) -> Agreement:
    """Compare two score tables of the same images, joined by digest. Raises `NotEnoughData` as `of_orders` does."""
    both = joined(first, second)
    return of_orders(both["first"].to_numpy(), both["second"].to_numpy())


def of_orders(first: Float[ndarray, "n"], second: Float[ndarray, "n"], share: float = SHARE) -> Agreement:
    """Compare two columns of one set of images, of which only the orders count; larger is more likely.

    Of n images the k = `share` n at an end are compared. Two unrelated orders share a hypergeometric number of them:
    k of n are marked, k are drawn, and k^2 / n marked ones are expected. Raises `NotEnoughData` for fewer images than
    give an end of one.
    """
    needed = round(1 / share)
    if len(first) < needed:
        raise NotEnoughData(
            f"Agreement was asked for {len(first)} images that both encoders have scored; at least {needed} are "
            "needed; score the same dataset with both."
        )
    least, most = overlap(first, second, share), overlap(-first, -second, share)
    return Agreement(len(first), least, most, *spearman_with_interval(first, second))


def overlap(first: Float[ndarray, "n"], second: Float[ndarray, "n"], share: float = SHARE) -> Overlap:
    """The overlap of the `share` smallest values of two columns.

    Where images tie for the last places of an end, each has them with the probability of a random choice among the
    tied: with p_i and q_i the probabilities of image i, the overlap is `sum p_i q_i`, the mean over all such choices.
    """
    n = len(first)
    size = round(share * n)
    # Rounded, so that a sum of thirds that is a whole number is not called more than it.
    shared = round(float(_chance_of_a_place(first, size) @ _chance_of_a_place(second, size)), 9)
    unrelated = hypergeom(n, size, size)
    low, high = unrelated.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2]) / size
    return Overlap(size, shared / size, size / n, float(low), float(high))


def _chance_of_a_place(values: ndarray, size: int) -> ndarray:
    """The probability of each image to be among the `size` smallest if ties are broken at random; they add to size."""
    last = np.partition(values, size - 1)[size - 1]
    before, tied = values < last, values == last
    return before + tied * ((size - before.sum()) / tied.sum())


def in_words(found: Agreement, first: str, second: str) -> str:
    """An agreement in plain sentences with its figures; in brackets stands rho's interval."""
    least, most = found.least, found.most
    rho = with_interval(found.rho, found.low, found.high)
    orders = f"Their orders of all {found.images} images have Spearman's rho {rho}."
    if rho is None:
        orders = f"One of them gives all {found.images} images the same score, which is no order."
    return (
        f"{first} and {second} share {per_cent(least.share)} of the {least.size} least likely images "
        f"({least.verdict}) and {per_cent(most.share)} of the {most.size} most likely ({most.verdict}); chance gives "
        f"{per_cent(least.chance)}, mostly {per_cent(least.low)} to {per_cent(least.high)}. {orders}"
    )


def all_in_words(found: Sequence[Agreement]) -> str:
    """How many of several encoders agree with one on its ends by more than chance, in one sentence."""
    least = sum(one.least.share > one.least.high for one in found)
    most = sum(one.most.share > one.most.high for one in found)
    return (
        f"By more than chance, {least} of {len(found)} other encoders agree with this one on the least likely images, "
        f"and {most} on the most likely."
    )


def recipe_of(spec: EncoderSpec) -> dict[str, Any]:
    """The recipe in an encoder's model card; empty where it has none. Raises `EncoderError` for a damaged card."""
    return load_card(spec).get("recipe", {}) if spec.source == "bundled" else {}


def differing(first: dict[str, Any], second: dict[str, Any]) -> set[str]:
    """The fields in which two recipes differ, without those that only name and describe the encoder."""
    return {field for field in first.keys() | second.keys() if first.get(field) != second.get(field)} - _LABELS


def relation(first: EncoderSpec, second: EncoderSpec) -> str:
    """How two encoders were trained, compared: "same recipe, another seed" or "another recipe"."""
    one, other = recipe_of(first), recipe_of(second)
    return "same recipe, another seed" if one and other and differing(one, other) == {"seed"} else "another recipe"


@dataclass(frozen=True)
class Twin:
    """How far an encoder agrees, on the images of a dataset, with one of the same recipe and another seed."""

    encoder: str
    output: str
    dataset: str
    name: str
    made: str
    agreement: Agreement


def write_twins(twins: Sequence[Twin], path: Path = TWINS) -> None:
    """Write agreements for `twin_of` to find."""
    path.write_text(json.dumps([asdict(twin) for twin in twins], indent=1) + "\n", encoding="utf-8")


def twin_of(encoder: str, output: str, dataset: str, path: Path = TWINS) -> Twin | None:
    """The twin of an encoder that was compared with it on a dataset before; None where there is none."""
    asked = (encoder, output, dataset)
    return next((twin for twin in _twins(path) if (twin.encoder, twin.output, twin.dataset) == asked), None)


def _twins(path: Path) -> list[Twin]:
    if not path.exists():
        return []
    try:
        return [_twin(found) for found in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        notices.say(
            "twins",
            f"The agreements in {path.name} cannot be read ({type(error).__name__}); a file written by "
            "'benchmarks/seeds.py' is accepted; restore it. Until then they are left out.",
        )
        return []


def _twin(found: Mapping[str, Any]) -> Twin:
    said = found["agreement"]
    ends = {end: Overlap(**said[end]) for end in ("least", "most")}
    return Twin(**{**found, "agreement": Agreement(**{**said, **ends})})
