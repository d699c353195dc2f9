"""What an `Explanation` says, in plain sentences and as a table."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from jepa_core.confounds.matching import FOLLOWS, LEAST_SEPARATION, Confound, Explanation, Kind
from jepa_core.wording import counted, listed, with_interval

_NAMED = 3  # measures at most in a list


def in_words(found: Explanation) -> str:
    """The conclusion, the figures behind it, and what cannot be ruled out."""
    sets, chief = f"{found.domain} from {found.reference}", found.chief
    if chief is None:
        return f"The score hardly tells {sets} (AUROC {found.auroc:.2f}), so there is nothing to explain."
    title = chief.measure.title
    match found.kind:
        case Kind.MOST:
            return f"{_first_up(title)} explains most of what tells {sets}. {_matched(found, chief)}"
        case Kind.PART:
            words = f"{_first_up(title)} explains part of what tells {sets}. {_matched(found, chief)}"
        case Kind.NOT:
            return f"No measure explains what tells {sets}. Most goes away with {title}. {_matched(found, chief)}"
        case _:
            words = f"What tells {sets} cannot be said."
    return f"{words}{_left_open(found)}"


def _matched(found: Explanation, one: Confound) -> str:
    words = (
        f"{one.matched} of the {found.images} images of {found.domain} have equals in {found.reference} by their "
        f"{one.measure.title}. The AUROC of these is {one.before:.2f} against all of {found.reference}, and "
        f"{with_interval(one.after, one.after_low, one.after_high)} against their equals, which count like "
        f"{one.equals:.0f} images."
    )
    if abs(one.spearman) >= FOLLOWS:
        way = "rises" if one.spearman > 0 else "falls"
        words += f" Within {found.reference} the score {way} with {one.measure.title} (Spearman {one.spearman:.2f})."
    if one.share > 1 and abs(one.after - 0.5) >= LEAST_SEPARATION:
        words += " Among equals the score tells the two apart the other way round."
    return words


def _left_open(found: Explanation) -> str:
    """What the measures of which nothing can be said may have to do with it, and why nothing can."""
    unknown = sorted((one for one in found.confounds if one.kind is Kind.UNKNOWN), key=lambda one: -one.strength)
    apart = [one for one in unknown if not one.comparable]
    words = ""
    if apart:
        named, others = apart[:_NAMED], len(apart) - _NAMED
        titles = [one.measure.title for one in named]
        titles += [counted(others, "other measure")] if others > 0 else []
        few = "too few" if any(one.matched for one in apart) else "no"
        ends = list(dict.fromkeys(one.end for one in named))
        words += (
            f" The score cannot be told apart from {listed(titles)}: {few} images of {found.reference} are as "
            f"{listed(ends, 'or')} as those of {found.domain}. {_trend(found, apart)}"
        )
    unsure = [one for one in unknown if one.comparable]
    if unsure:
        names = listed([one.measure.title for one in unsure])
        words += f" For {names} the images that have equals are too few, or not those that stand out."
    return words


def _trend(found: Explanation, apart: Sequence[Confound]) -> str:
    """What the reference alone says of measures in which the sets cannot be matched."""
    sign = np.sign(found.auroc - 0.5)
    same = sorted(
        (one for one in apart if abs(one.spearman) >= FOLLOWS and one.push * sign > 0),
        key=lambda one: -abs(one.spearman),
    )[:_NAMED]
    if same:
        named = listed([f"{one.measure.title} (Spearman {one.spearman:.2f})" for one in same])
        return f"Within {found.reference} it does follow {named} in that direction, so this may be the reason."
    if all(np.isnan(one.spearman) for one in apart):
        return f"All of {found.reference} is alike in this, so it does not say whether the score follows it."
    return f"Within {found.reference} it follows nothing of this in that direction, which speaks against it."


def _first_up(text: str) -> str:
    return text[:1].upper() + text[1:]


def as_table(found: Explanation) -> pd.DataFrame:
    """A line for each measure: the fields of `Confound` as columns, the measure's title."""
    return pd.DataFrame(
        [{**vars(one), "measure": _first_up(one.measure.title), "kind": str(one.kind)} for one in found.confounds]
    )
