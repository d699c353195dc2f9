"""The reason a person can see: by which visible measures a picture is beyond the references, and how it was disturbed.

Only shares of the references are named, never a measure's value: a number in a unit that nobody knows explains nothing.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from jepa_core.confounds.visible import VISIBLE, Visible
from jepa_core.wording import percentile

EXTREME = 0.99
"""The share of the references that a picture has to be beyond before that is named."""

_STRIKING = (
    "brightness",
    "colourfulness",
    "contrast",
    "border",
    "detail",
    "noise",
    "colour noise",
    "blocks",
    "even area",
    "complexity",
)

AS_DISTURBED = {
    "no colour": "without its colours",
    "dark": "made darker",
    "bright": "made brighter",
    "low contrast": "with its contrast taken away",
    "border": "put in a border",
    "blur": "blurred",
    "noise": "with noise over it",
    "JPEG": "packed hard as a JPEG",
    "watermark": "with writing over it",
}
"""How one of the references looks after each of `jepa_core.datasets.disturbances.KINDS`."""


@dataclass(frozen=True)
class Reason:
    """A visible measure by which a picture is beyond a `share` (0 to 1) of the references, on its high or low side."""

    measure: Visible
    high: bool
    share: float

    @property
    def words(self) -> str:
        """What a person sees: "is darker than 99.7 % of them"."""
        said = self.measure.high if self.high else self.measure.low
        return said.format("all of them" if self.share == 1 else f"{percentile(100 * self.share)} % of them")


def reasons(values: Float[ndarray, "visible"], references: Float[ndarray, "n visible"]) -> list[Reason]:
    """By which of `VISIBLE` a picture is beyond `EXTREME` of the references, what strikes the eye first.

    A difference that a person could not see is none, however rare it is among the references.
    """
    found = []
    known = references[~np.isnan(references).any(axis=1)]
    if not len(known) or np.isnan(values).any():
        return []
    for measure in sorted(VISIBLE, key=lambda one: _STRIKING.index(one.name)):
        column = VISIBLE.index(measure)
        others = known[:, column]
        low, high = np.quantile(others, [1 - EXTREME, EXTREME])
        above, below = float((others < values[column]).mean()), float((others > values[column]).mean())
        if measure.high and above >= EXTREME and values[column] - high >= measure.least:
            found.append(Reason(measure, True, above))
        elif measure.low and below >= EXTREME and low - values[column] >= measure.least:
            found.append(Reason(measure, False, below))
    return found
