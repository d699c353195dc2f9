"""Flaws of pictures that their pixels show: blank, dark, bright, blurred, without colour, of an odd size or shape.

What a flaw is depends on the set: where all pictures are grey, as scans are, none is odd for it. So only blank pictures
are told by themselves; everything else is told where nearly all of the set are otherwise.
"""

from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from jepa_core.analysis.picture_facts import Facts

BLANK = 2.0
"""Grey levels of contrast (standard deviation) below which there is nothing in a picture."""
DARK, BRIGHT = 90.0, 165.0
"""Grey levels: nearly all (99 %) of a dark picture is below, of a bright one above."""
UNCOLOURED, COLOURED = 3.0, 8.0
"""Colourfulness of a picture without colour, at most, and of one with colour, at least (`image_stats`)."""
NEARLY_ALL = 0.9
"""Share of a set that has to be otherwise before a picture is told to be dark, bright or without colour."""
BLURRED = 0.5
"""Powers of ten by which a blurred picture has less fine detail than the lowest twentieth of its set."""
ODD_SIZE, ODD_SHAPE = 2.5, 1.8
"""Factors by which the longer side, or the ratio of the sides, is beyond the middle half of its set."""

FLAWS = ("blank", "dark", "bright", "blurred", "no colour", "odd size", "odd shape")


def flaws(facts: Sequence[Facts]) -> list[list[str]]:
    """The flaws of each picture of a set, in the order of `FLAWS`, each as words that say what was found."""
    found: list[list[str]] = [[] for _one in facts]
    if not facts:
        return found
    measure = {name: np.array([one.measures[name] for one in facts]) for name in facts[0].measures}
    blank = measure["contrast"] < BLANK
    darkest, brightest = (np.array([getattr(one, name) for one in facts]) for name in ("darkest", "brightest"))
    size = np.array([max(one.width, one.height) for one in facts], dtype=np.float64)
    shape = np.array([one.width / one.height for one in facts])

    def tell(mask: ndarray, words: str) -> None:
        for place in np.flatnonzero(mask).tolist():
            one = facts[place]
            found[place].append(words.format(one=one, low=f"{one.darkest:.0f}", high=f"{one.brightest:.0f}"))

    tell(blank, "blank")
    tell(_rare(~blank & (brightest < DARK)), "dark (99 % of it below grey level {high})")
    tell(_rare(~blank & (darkest > BRIGHT)), "bright (99 % of it above grey level {low})")
    tell(~blank & _blurred(measure["fine_detail"], blank), "blurred")
    tell(~blank & _uncoloured(measure["colourfulness"]), "no colour, in a set with colours")
    tell(_beyond(size, ODD_SIZE), "odd size ({one.width} x {one.height} pixels)")
    tell(_beyond(shape, ODD_SHAPE), "odd shape ({one.width} x {one.height} pixels)")
    return found


def _rare(mask: ndarray) -> ndarray:
    return mask & (mask.mean() <= 1 - NEARLY_ALL)


def _blurred(detail: ndarray, blank: ndarray) -> ndarray:
    if blank.all():
        return blank
    return detail < np.quantile(detail[~blank], 0.05) - BLURRED


def _uncoloured(colour: ndarray) -> ndarray:
    return (colour < UNCOLOURED) & (np.mean(colour > COLOURED) >= NEARLY_ALL)


def _beyond(values: ndarray, factor: float) -> ndarray:
    low, high = np.quantile(values, [0.25, 0.75])
    return (values < low / factor) | (values > high * factor)
