"""Every method's outlier scores of a set of images, side by side: variants of the score, and detectors on embeddings.

The Domains and Check pages and `bench ood` all take their methods from here, and so they agree on what may be judged: a
detector is fitted on one set of images and never judges an image of it, in whatever set that turns up.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from jepa_core.detectors import DETECTORS, Detector
from jepa_core.jacobian.score_variants import VARIANTS
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ScoringMethod
from jepa_core.scoring.stored import stored_scores
from jepa_core.store.results import Store

METHODS = {name: variant.title for name, variant in VARIANTS.items()} | {
    name: make().title for name, make in DETECTORS.items()
}
"""The titles of all methods, by name: the variants of the score, then the detectors."""

COMPARED = ("jepa", "gaussian", *DETECTORS)
"""The methods that the pages show. The other variants read the same spectrum again: `bench ood` has them."""

LEAST_FIT = max(make().least for make in DETECTORS.values())
"""Images that detectors need to be fitted on."""


@dataclass(frozen=True, eq=False)
class Domain:
    """The stored scores of a domain: `name`, its score table, and its embeddings (n, K)."""

    name: str
    table: pd.DataFrame
    embeddings: ndarray

    def only(self, mask: ndarray) -> "Domain":
        """The images where `mask` (n) is true."""
        return Domain(self.name, self.table[mask], self.embeddings[mask])

    def among(self, digests: set[str]) -> ndarray:
        """Which of its images are among others, by their digests."""
        # pandas' isin makes an array of all `digests` at each call, and there may be thousands of them.
        return np.array([digest in digests for digest in self.table["digest"].tolist()], dtype=bool)


def load_domain(store: Store, output: EncoderOutput, name: str, method: ScoringMethod | None = None) -> Domain:
    """What the store holds of a domain by a method, full float32 scores for None; empty if nothing."""
    table = stored_scores(store, output, name, method)
    return Domain(name, table, store.embeddings(output.space, table["digest"].tolist()))


class FittedMethods:
    """The methods that can judge, after fitting detectors on `training`.

    Without it, or with fewer than `LEAST_FIT` images in it, only the variants and the detectors that need no fit are
    left. `methods` are their names, and `seen` the digests of the images that were fitted on.
    """

    def __init__(self, training: Domain | None) -> None:
        enough = training is not None and len(training.table) >= LEAST_FIT
        self.seen: set[str] = set(training.table["digest"]) if enough and training else set()
        self._detectors: dict[str, Detector] = {}
        for name, make in DETECTORS.items():
            detector = make()
            if detector.least == 0:
                self._detectors[name] = detector
            elif enough and training:
                self._detectors[name] = detector.fit(training.embeddings)
        self.methods = tuple(name for name in METHODS if name in VARIANTS or name in self._detectors)

    def outlying(self, method: str, domain: Domain) -> Float[ndarray, "n"]:
        """A method's outlier score of each image, larger being more outlying.

        NaN where it may not judge (a detector, an image it was fitted on) or cannot (a part of a spectrum that was only
        estimated).
        """
        if method in VARIANTS:
            return -domain.table[f"{method}_score"].to_numpy(dtype=np.float64)
        detector = self._detectors[method]
        found = np.full(len(domain.table), np.nan)
        judged = ~domain.among(self.seen) if detector.least else np.full(len(domain.table), True)
        if judged.any():
            found[judged] = detector.score(domain.embeddings[judged])
        return found
