"""What a person sees at once in the least and the most likely images: the plain measure that sets them apart."""

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from jepa_core.confounds import measure as measuring
from jepa_core.confounds.image_stats import MEASURES, Measure
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import JepaError
from jepa_core.stats.metrics import auroc
from jepa_core.store.results import Store

APART = 0.9
"""AUROC from which a measure is said to set the two ends apart."""
SEEN = {
    "png_size": 1.0,
    "gradient_energy": 0.3,
    "entropy": 1.0,
    "brightness": 20.0,
    "contrast": 15.0,
    "colourfulness": 15.0,
    "fine_detail": 0.3,
}
"""The measures that a person sees, and from which difference of two means on; 0.3 in a log10 is a factor of two."""
_FEWEST = 4  # images of each end: of fewer, some measure always is


def in_words(least: Float[ndarray, "n measures"], most: Float[ndarray, "m measures"]) -> str:
    """The measure that sets the two ends apart most, as a sentence; "" where none does, or there are too few images.

    Of measures that do so equally well, by their AUROC, it is the one whose means lie furthest apart in standard
    deviations of all.

    >>> rows = np.arange(10.0)[:, None] + np.zeros(len(MEASURES))
    >>> in_words(rows[:5], rows[5:])
    'The two ends differ at sight in PNG size: the least likely are simple (2.0), the most likely complex (7.0).'
    """
    if min(len(least), len(most)) < _FEWEST:
        return ""
    found = []
    for place, measure in enumerate(MEASURES.values()):
        low, high = least[:, place].astype(np.float64), most[:, place].astype(np.float64)
        difference, spread = abs(high.mean() - low.mean()), float(np.std(np.concatenate([low, high])))
        if spread > 0 and difference >= SEEN.get(measure.name, np.inf):
            separation = auroc(high, low)
            found.append(
                (max(separation, 1 - separation), difference / spread, -place, measure, low.mean(), high.mean())
            )
    if not found or max(found)[0] < APART:
        return ""
    _separation, _distance, _place, apart, at_least, at_most = max(found)
    words = (apart.low, apart.high) if at_least < at_most else (apart.high, apart.low)
    return (
        f"The two ends differ at sight in {apart.title}: the least likely are {words[0]}{_mean(apart, at_least)}, the "
        f"most likely {words[1]}{_mean(apart, at_most)}."
    )


def of_images(store: Store, spec: EncoderSpec, dataset: DatasetSpec, least: pd.DataFrame, most: pd.DataFrame) -> str:
    """`in_words` of the rows of a score table at both ends, whose pictures are measured if they never were.

    "" also where they cannot be: a picture that is gone, or a store that takes nothing more.
    """
    try:
        measuring.measure_missing(store, spec, dataset, pd.concat([least, most]))
        found = store.measures(measuring.space_of(spec.transform), [*least["digest"], *most["digest"]])
    except JepaError:
        return ""
    ends = [[found[digest] for digest in rows["digest"] if digest in found] for rows in (least, most)]
    return in_words(np.stack(ends[0]), np.stack(ends[1])) if all(ends) else ""


def _mean(measure: Measure, value: float) -> str:
    """A mean in brackets; none of a logarithm, which nobody reads."""
    if measure.unit.startswith("log"):
        return ""
    return f" ({value:.0f})" if abs(value) >= 10 else f" ({value:.1f})"
