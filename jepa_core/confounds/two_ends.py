"""What a person sees at once in the least and the most likely images: the plain measure that sets them apart."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from jepa_core.confounds.image_stats import MEASURES
from jepa_core.stats.metrics import auroc

APART = 0.9
"""AUROC from which a measure is said to set the two ends apart."""
_FEWEST = 4  # images of each end: of fewer, some measure always is


def in_words(least: Float[ndarray, "n measures"], most: Float[ndarray, "m measures"]) -> str:
    """The measure that sets the two ends apart most, as a sentence; "" where none does, or there are too few images.

    Of measures that do so equally well, by their AUROC, it is the one whose means lie furthest apart in standard
    deviations of all.

    >>> rows = np.arange(10.0)[:, None] + np.zeros(len(MEASURES))
    >>> in_words(rows[:5], rows[5:]).partition(":")[0]
    'The two ends differ at sight in PNG size'
    """
    if min(len(least), len(most)) < _FEWEST:
        return ""
    found = []
    for place, measure in enumerate(MEASURES.values()):
        low, high = least[:, place].astype(np.float64), most[:, place].astype(np.float64)
        spread = float(np.std(np.concatenate([low, high])))
        if spread > 0:
            separation = auroc(high, low)
            distance = abs(high.mean() - low.mean()) / spread
            found.append((max(separation, 1 - separation), distance, -place, measure, low.mean(), high.mean()))
    if not found or max(found)[0] < APART:
        return ""
    _separation, _distance, _place, apart, at_least, at_most = max(found)
    words = (apart.low, apart.high) if at_least < at_most else (apart.high, apart.low)
    return (
        f"The two ends differ at sight in {apart.title}: the least likely are {words[0]} ({at_least:.1f} on "
        f"average), the most likely {words[1]} ({at_most:.1f})."
    )
