"""Every method's outlier scores of a set of images, side by side: variants of the score, and detectors on fingerprints.

The Domains and Check pages and `bench ood` all take their methods from here, and so they agree on what may be judged: a
detector is fitted on one set of images and never judges an image of it, in whatever set that turns up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from jepa_core.confounds import visible
from jepa_core.detectors import DETECTORS, Detector
from jepa_core.detectors.fingerprints import Fingerprint
from jepa_core.jacobian.score_variants import VARIANTS
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.looks import sizes_space
from jepa_core.scoring.method import ScoringMethod
from jepa_core.scoring.precision import resolved
from jepa_core.scoring.stored import stored_scores
from jepa_core.store.results import Store

METHODS = {name: variant.title for name, variant in VARIANTS.items()} | {
    name: make().title for name, make in DETECTORS.items()
}
"""The titles of all methods, by name: the variants of the score, then the detectors."""

COMPARED = ("jepa", "gaussian", "knn", "mahalanobis", "norm", "spectrum_knn", "sizes_mahalanobis", "joint")
"""The methods that the pages show: `bench ood` has the others, which read the same again, and plain measures."""

LEAST_FIT = max(DETECTORS[name]().least for name in COMPARED if name in DETECTORS)
"""Images that the detectors of the pages need to be fitted on."""


@dataclass(frozen=True, eq=False)
class Domain:
    """The stored scores of a domain: `name`, its score table, its embeddings (n, K), and its `others`.

    These are its other fingerprints as far as they are known, each (n, d), with NaN in the row of an image without it.
    """

    name: str
    table: pd.DataFrame
    embeddings: ndarray
    others: Mapping[Fingerprint, ndarray] = field(default_factory=dict)

    def only(self, mask: ndarray) -> "Domain":
        """The images where `mask` (n) is true."""
        others = {name: values[mask] for name, values in self.others.items()}
        return Domain(self.name, self.table[mask], self.embeddings[mask], others)

    def among(self, digests: set[str]) -> ndarray:
        """Which of its images are among others, by their digests."""
        # pandas' isin makes an array of all `digests` at each call, and there may be thousands of them.
        return np.array([digest in digests for digest in self.table["digest"].tolist()], dtype=bool)

    def fingerprints(self, reads: Fingerprint) -> Float[ndarray, "n d"]:
        """One fingerprint of its images; rows of NaN where it is not known."""
        if reads == "embedding":
            return self.embeddings
        if reads == "joint":
            return np.hstack([self.fingerprints("sizes"), self.embeddings])
        if reads == "scored":
            return np.column_stack([self.table["jepa_score"].to_numpy(dtype=np.float64), self.fingerprints("visible")])
        return self.others.get(reads, np.full((len(self.table), 1), np.nan))


def load_domain(store: Store, output: EncoderOutput, name: str, method: ScoringMethod | None = None) -> Domain:
    """What the store holds of a domain by a method, full float32 scores for None; empty if nothing."""
    method = resolved(store, output, name, method or ScoringMethod())
    return domain_of(store, output, name, stored_scores(store, output, name, method), method.decided)


def domain_of(store: Store, output: EncoderOutput, name: str, table: pd.DataFrame, precision: str = "fp32") -> Domain:
    """The domain of a table of `stored_scores` in a precision, with the fingerprints that the store has of its images.

    An image that was only estimated has no spectrum.
    """
    digests = table["digest"].tolist()
    spectra = store.spectra(output.config(precision), digests)
    found: dict[Fingerprint, Mapping[str, ndarray]] = {
        "spectrum": {digest: log_spectrum(sigma, output.rank.rank) for digest, sigma in spectra.items()},
        "sizes": store.measures(sizes_space(output), digests),
        "visible": store.measures(visible.space_of(output.spec.transform), digests),
    }
    others = {name: _matrix(known, digests) for name, known in found.items() if known}
    return Domain(name, table, store.embeddings(output.space, digests), others)


def log_spectrum(sigma: Float[ndarray, "k"], rank: int) -> Float[ndarray, "rank"]:
    """The log of the singular values up to the rank, float32; values below float32's least are that."""
    return np.log(np.maximum(sigma[:rank], np.finfo(np.float32).tiny))


def _matrix(known: Mapping[str, ndarray], digests: Sequence[str]) -> ndarray:
    none = np.full(len(next(iter(known.values()))), np.nan, dtype=np.float32)
    return np.stack([known.get(digest, none) for digest in digests])


class FittedMethods:
    """The methods that can judge, after fitting detectors on `training`.

    A detector is fitted on the images that have what it reads, and left out where these are too few for it. So
    without `training` only the variants and the detectors that need no fit are left. `methods` are their names, and
    `seen` the digests of the images that were fitted on.
    """

    def __init__(self, training: Domain | None) -> None:
        enough = training is not None and len(training.table) >= LEAST_FIT
        self.seen: set[str] = set(training.table["digest"]) if enough and training else set()
        self.detectors: dict[str, Detector] = {}
        for name, make in DETECTORS.items():
            detector = make()
            if detector.least == 0:
                self.detectors[name] = detector
            elif enough and training:
                given = training.fingerprints(detector.reads)
                there = ~np.isnan(given).any(axis=1)
                if there.sum() >= max(LEAST_FIT, detector.least):
                    self.detectors[name] = detector.fit(given[there])
        self.methods = tuple(name for name in METHODS if name in VARIANTS or name in self.detectors)

    def outlying(self, method: str, domain: Domain) -> Float[ndarray, "n"]:
        """A method's outlier score of each image, larger being more outlying.

        NaN where it may not judge (a detector, an image it was fitted on) or cannot (an image without what it reads,
        such as a spectrum that was only estimated).
        """
        if method in VARIANTS:
            return -domain.table[f"{method}_score"].to_numpy(dtype=np.float64)
        detector = self.detectors[method]
        found = np.full(len(domain.table), np.nan)
        given = domain.fingerprints(detector.reads)
        judged = ~np.isnan(given).any(axis=1)
        if detector.least:
            judged &= ~domain.among(self.seen)
        if judged.any():
            found[judged] = detector.score(given[judged])
        return found
