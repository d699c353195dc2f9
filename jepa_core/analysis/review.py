"""Which images of a set deserve a look, and why: an order of all of them, with reasons that a person can see.

Nothing is judged here. An order puts first what is unlike its class (`review_orders`), beside it stand copies
(`duplicates`) and flaws (`picture_flaws`), and a person decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy import ndarray

from jepa_core.analysis import picture_flaws, review_orders
from jepa_core.analysis.curation import paths_of
from jepa_core.analysis.duplicates import Duplicate, Duplicates
from jepa_core.analysis.review_evidence import Evidence
from jepa_core.analysis.review_orders import ORDERS
from jepa_core.confounds.image_stats import MEASURES
from jepa_core.errors import JepaError
from jepa_core.store.records import Member
from jepa_core.wording import counted

UNLIKE = 3.0
"""Deviations (standardised by median and median absolute deviation) from which on an order's reason is told."""
CENTRAL = (0.01, 0.99)
"""Quantiles of a class that a measure has to be beyond to be told."""
MOST_OTHERS = 0.8
"""Share of the nearest neighbours with another class from which on it is told."""
_MOST_COPIES = 3  # pictures of which one picture is said to be a copy

_COPY = {
    "same file": "the same file as {}",
    "same pixels": "the same pixels as {}",
    "near": "a near duplicate of {}",
    "mirrored": "a mirror image of {}",
}
_UNLIKE = {
    "sizes": "layers' sizes unlike those of {share} % of its class",
    "embedding": "in the embedding farther out than {share} % of its class",
    "spectrum": "singular values spread unlike those of {share} % of its class",
}


@dataclass(frozen=True, eq=False)
class Review:
    """A set in an order, the first to be looked at first.

    `table`: name, label, digest, position, path, unlike (the order's number; missing where the order has none for an
    image), reasons (the sentence, "" for none), duplicate_of (the name of the picture that it is a copy of, or "").
    `notes` are sentences on how it was made.
    """

    table: pd.DataFrame
    notes: list[str]


@dataclass(frozen=True, eq=False)
class Across:
    """The copies of another set's pictures: that set's title, its pictures, and the pairs."""

    title: str
    members: Sequence[Member]
    copies: Duplicates


def review(evidence: Evidence, dataset: str, order: str, copies: Duplicates, across: Across | None = None) -> Review:
    """Put the images of a dataset into an order of `ORDERS`, with reasons.

    `copies` are `duplicates.find` of their facts, and those of another set's pictures come `across`. Raises
    `JepaError` for an order of full scores where there are none.
    """
    chosen = ORDERS[order]
    if chosen.needs and not evidence.scored.any():
        raise JepaError(
            f"The order {order!r} was asked for, which is made of full scores, and none of the {len(evidence)} images "
            "has one; score the set first, or choose another order."
        )
    values = chosen.of(evidence)
    copied = copies_in_words(evidence.members, copies.pairs)
    first = {pair.second: evidence.members[pair.first].name for pair in reversed(copies.pairs)}
    if across:
        elsewhere = copies_in_words(across.members, across.copies.pairs, f" of {across.title}")
        copied = {place: copied.get(place, []) + elsewhere.get(place, []) for place in {*copied, *elsewhere}}
        named = {pair.second: across.members[pair.first].name for pair in reversed(across.copies.pairs)}
        first = named | first
    reasons = reasons_of(evidence, order, values, copied)
    places = review_orders.ranked(values)
    rows = [evidence.members[place] for place in places]
    table = pd.DataFrame(
        {
            "name": [member.name for member in rows],
            "label": [member.label for member in rows],
            "digest": [member.digest for member in rows],
            "position": [member.position for member in rows],
            "path": paths_of(dataset, [member.name for member in rows]),
            "unlike": values[places],
            "reasons": ["; ".join(reasons[place]) for place in places],
            "duplicate_of": [first.get(int(place), "") for place in places],
        }
    )
    return Review(table, _notes(evidence, copies))


def _notes(evidence: Evidence, copies: Duplicates) -> list[str]:
    said = [review_orders.small_in_words(evidence)]
    if copies.untold:
        said.append(
            f"{counted(copies.untold, 'picture')} {'is' if copies.untold == 1 else 'are'} too small, too plain or too "
            "much of one kind for a hash to tell a near duplicate; of them only equal pixels are found."
        )
    return [sentence for sentence in said if sentence]


def copies_in_words(members: Sequence[Member], pairs: Sequence[Duplicate], of: str = "") -> dict[int, list[str]]:
    """What each picture that is a copy is a copy of, by its place; `members` are those that it is a copy of."""
    found: dict[int, list[str]] = {}
    for pair in pairs:
        told = found.setdefault(pair.second, [])
        if len(told) < _MOST_COPIES:
            told.append(_COPY[pair.kind].format(f"{members[pair.first].name}{of}"))
    return found


def reasons_of(evidence: Evidence, order: str, values: ndarray, copied: dict[int, list[str]]) -> list[list[str]]:
    """The reasons to look at each image: copies and flaws, then what the order found, then the class of neighbours."""
    found = [copied.get(place, []) + flawed for place, flawed in enumerate(picture_flaws.flaws(evidence.facts))]
    if order in ("all", "measures"):
        for place, words in enumerate(_by_measures(evidence)):
            found[place] += [words] if words and not _is_told(found[place], words) else []
    for name in ("sizes", "embedding") if order == "all" else (order,):
        if name in _UNLIKE:
            unlike = values if name == order else ORDERS[name].of(evidence)
            _add_unlike(found, evidence, unlike, _UNLIKE[name])
    if order in ("score", "score-ends"):
        _add_scores(found, evidence, values)
    if order in ("all", "class"):
        shares, named = review_orders.other_class(evidence)
        for place in np.flatnonzero(shares >= MOST_OTHERS).tolist():
            count = round(review_orders.NEIGHBOURS * shares[place])
            found[place].append(
                f"{count} of its {review_orders.NEIGHBOURS} nearest are of other classes, most of class {named[place]}"
            )
    return found


def _is_told(reasons: list[str], words: str) -> bool:
    """Whether a flaw says the same already: a picture that is called dark need not be called dark again."""
    return any(reason.split(" (")[0] == words.split(" (")[0] for reason in reasons)


def _add_unlike(found: list[list[str]], evidence: Evidence, unlike: ndarray, words: str) -> None:
    for judged, among in zip(*review_orders.groups(evidence.labels)[:2], strict=True):
        ordered = np.sort(unlike[among])
        for place in judged[unlike[judged] >= UNLIKE].tolist():
            share = int(100 * np.searchsorted(ordered, unlike[place]) / len(among))
            found[place].append(words.format(share=share))


def _add_scores(found: list[list[str]], evidence: Evidence, values: ndarray) -> None:
    for judged, among in zip(*review_orders.groups(evidence.labels)[:2], strict=True):
        known = among[evidence.scored[among]]
        ordered = np.sort(evidence.scores[known])
        for place in judged[np.nan_to_num(values[judged]) >= UNLIKE].tolist():
            score = evidence.scores[place]
            below, above = (int(100 * np.mean(side)) for side in (ordered < score, ordered > score))
            words = f"less likely than {above} %" if above >= below else f"more likely than {below} %"
            found[place].append(f"{words} of its class (score {score:.1f})")


def _by_measures(evidence: Evidence) -> list[str]:
    """Of each image the plain measure that is farthest out of its class, in words; "" where none is beyond it."""
    found = [""] * len(evidence)
    kinds = list(MEASURES.values())
    for judged, among in zip(*review_orders.groups(evidence.labels)[:2], strict=True):
        rows = evidence.measures[among].astype(np.float64)
        low, high = np.quantile(rows, CENTRAL, axis=0)
        away = review_orders.deviations(evidence.measures[judged].astype(np.float64), rows)
        beyond = (evidence.measures[judged] < low) | (evidence.measures[judged] > high)
        away = np.where(beyond & (np.abs(away) >= UNLIKE), away, 0.0)
        for row, place in zip(away, judged.tolist(), strict=True):
            column = int(np.abs(row).argmax())
            if row[column]:
                kind = kinds[column]
                value, ends = evidence.measures[place, column], (low[column], high[column])
                found[place] = _measure_in_words(kind.title, kind.high if row[column] > 0 else kind.low, value, ends)
    return found


def _measure_in_words(title: str, what: str, value: float, ends: tuple[float, float]) -> str:
    """The measure with its value, unless rounding would put that within the range it is said to leave."""
    told, low, high = (float(f"{number:.3g}") for number in (value, *ends))
    if low <= told <= high:
        return what
    return f"{what} ({title} {told:g}; 98 % of its class have {low:g} to {high:g})"
