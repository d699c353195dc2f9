"""How unlike a set of pictures one is by plain measures: complexity, brightness, colours. No encoder is asked.

Outlier score: the Mahalanobis distance of a picture's `confounds.MEASURES`, each in units of its spread, to one half of
the measured pictures; the other half is the reference for it. How much a picture was enlarged is left out: that is the
size of its file, and the blur that comes with it is measured as fine detail.

An encoder is trained to overlook such things and may call a blank page ordinary, while the size of a PNG gives it away
(Serra et al., ICLR 2020, arXiv 1909.11480).
"""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from jepa_core.confounding import Measured
from jepa_core.confounds import MEASURES, Measure
from jepa_core.detectors.mahalanobis import Mahalanobis
from jepa_core.reference import Place, Reference

_COLUMNS = [column for column, name in enumerate(MEASURES) if name != "upscaling"]


class PlainMeasures:
    """Fitted on `measured` pictures, at least four of them; places others among them."""

    def __init__(self, measured: Measured) -> None:
        self.measured = measured
        values = measured.values[:, _COLUMNS].astype(np.float64)
        fitted, judged = values[::2], values[1::2]  # whatever order they come in, it says nothing of what they show
        self._center, spread = fitted.mean(axis=0), fitted.std(axis=0)
        # Where all are alike, any other value is unlike them.
        self._spread = np.where(spread > 0, spread, 1e-6)
        self._detector = Mahalanobis().fit(self._standard(fitted))
        self.reference = Reference(measured.name, -self._detector.score(self._standard(judged)))

    def place(self, values: Float[ndarray, "measures"]) -> Place:
        """Where a picture with these `MEASURES` falls; a low percentile is unlike the others."""
        return self.reference.place(-float(self._detector.score(self._standard(values[None, _COLUMNS]))[0]))

    def strangest(self, values: Float[ndarray, "measures"]) -> tuple[Measure, float, float, float]:
        """The measure by which it is farthest from the middle, its value, and the least and largest of the others'."""
        apart = np.abs(self._standard(values[None, _COLUMNS])[0])
        column = _COLUMNS[int(np.argmax(apart))]
        others = self.measured.values[:, column]
        return list(MEASURES.values())[column], float(values[column]), float(others.min()), float(others.max())

    def _standard(self, values: Float[ndarray, "n columns"]) -> Float[ndarray, "n columns"]:
        return (values - self._center) / self._spread
