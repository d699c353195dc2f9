"""How unlike a set of pictures one is by plain measures: complexity, brightness, colours. No encoder is asked.

Outlier score: the distance of a picture's `confounds.MEASURES` to its 10th nearest among one half of the measured
pictures, after whitening by that half's covariance (of Ledoit and Wolf); the other half is the reference for it. How
much a picture was enlarged is left out: that is the size of its file, and the blur that comes with it is measured as
fine detail.

Chosen on training photos against digits and noise drawn for that: the Mahalanobis distance, neighbours without
whitening and the largest deviation of one measure call less of the noise unusual.

An encoder is trained to overlook such things and may call a blank page ordinary, while the size of a PNG gives it away
(Serra et al., ICLR 2020, arXiv 1909.11480).
"""

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from sklearn.covariance import LedoitWolf

from jepa_core.confounds.image_stats import MEASURES, Measure
from jepa_core.confounds.matching import Measured
from jepa_core.detectors.knn import KNN
from jepa_core.stats.conformal import Place, Reference, percentile

_COLUMNS = [column for column, name in enumerate(MEASURES) if name != "upscaling"]


class PlainMeasures:
    """Fitted on `measured` pictures, at least `PlainMeasures.LEAST` of them; places others among them."""

    LEAST = 2 * KNN().k

    def __init__(self, measured: Measured) -> None:
        self.measured = measured
        values = measured.values[:, _COLUMNS].astype(np.float64)
        fitted, judged = values[::2], values[1::2]  # whatever order they come in, it says nothing of what they show
        self._center, spread = fitted.mean(axis=0), fitted.std(axis=0)
        # Where all are alike, any other value is unlike them.
        self._spread = np.where(spread > 0, spread, 1e-6)
        self._whitener = np.linalg.cholesky(LedoitWolf().fit(self._standard(fitted)).precision_)
        self._detector = KNN().fit(self._white(fitted))
        self.reference = Reference(measured.name, -self._detector.score(self._white(judged)))

    def place(self, values: Float[ndarray, "measures"]) -> Place:
        """Where a picture with these `MEASURES` falls; a low percentile is unlike the others."""
        return self.reference.place(-float(self._detector.score(self._white(values[None, _COLUMNS]))[0]))

    def strangest(self, values: Float[ndarray, "measures"]) -> tuple[Measure, float, float, float]:
        """The measure by which it is farthest from the middle, its value, and the least and largest of the others'."""
        apart = np.abs(self._standard(values[None, _COLUMNS])[0])
        column = _COLUMNS[int(np.argmax(apart))]
        others = self.measured.values[:, column]
        return list(MEASURES.values())[column], float(values[column]), float(others.min()), float(others.max())

    def table(self, values: Float[ndarray, "measures"]) -> pd.DataFrame:
        """A picture's `MEASURES` among the others', one line each.

        Columns: measure (its title), unit, value, percentile among the others, and low to high, the middle nine in ten
        of them.
        """
        others = self.measured.values
        low, high = np.quantile(others, [0.05, 0.95], axis=0)
        return pd.DataFrame(
            {
                "measure": [measure.title for measure in MEASURES.values()],
                "unit": [measure.unit for measure in MEASURES.values()],
                "value": values,
                "percentile": [percentile(values[[k]], others[:, k])[0] for k in range(len(MEASURES))],
                "low": low,
                "high": high,
            }
        )

    def _white(self, values: Float[ndarray, "n columns"]) -> Float[ndarray, "n columns"]:
        return self._standard(values) @ self._whitener

    def _standard(self, values: Float[ndarray, "n columns"]) -> Float[ndarray, "n columns"]:
        return (values - self._center) / self._spread
