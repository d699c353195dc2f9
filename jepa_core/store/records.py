"""What the store keeps, as plain records: a config, a result, an image's place in a dataset, many results at once."""

from dataclasses import astuple, dataclass, field

import numpy as np
from numpy import ndarray

from jepa_core.keys import make_key


@dataclass(frozen=True)
class ResultConfig:
    """Everything but the image that makes a result what it is.

    `transform` is the canonical JSON of the data config; `method` is "exact" or "estimate:" and the key of a dataset;
    `precision` is the one that was used, never "auto".
    """

    weights: str
    transform: str
    output: str
    method: str = "exact"
    precision: str = "fp32"
    view: str = "none"

    @property
    def key(self) -> str:
        """The key of the config."""
        return make_key(*astuple(self))

    @property
    def space(self) -> str:
        """The key of the embedding space: weights, transform and output, however the score was computed."""
        return make_key(self.weights, self.transform, self.output)


def _nothing() -> ndarray:
    return np.empty(0, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Result:
    """One scored image: all K singular values (float32, largest first), the embedding, and how it was made.

    `sizes` and `pivots` are as of `Look`; they are kept apart, and empty in what the store gives back.
    """

    digest: str
    spectrum: ndarray
    embedding: ndarray
    squared_norm: float
    seconds: float
    device: str
    sizes: ndarray = field(default_factory=_nothing)
    pivots: ndarray = field(default_factory=_nothing)


@dataclass(frozen=True, eq=False)
class Look:
    """What is known of an image without a full score.

    The embedding and the `sizes` of the layers come with one forward pass (`jepa_core.jacobian.linearize`); `pivots`,
    empty where there are none, with a few products (`jepa_core.jacobian.sketch`).
    """

    digest: str
    embedding: ndarray
    sizes: ndarray
    pivots: ndarray
    seconds: float


@dataclass(frozen=True, eq=False)
class Estimate:
    """An estimated score, its 90 % interval, and whether the image is unlike all that are scored fully (`far`)."""

    digest: str
    score: float
    low: float
    high: float
    far: bool
    squared_norm: float
    seconds: float
    device: str


@dataclass(frozen=True)
class Member:
    """An image's place in a dataset."""

    name: str
    position: int
    label: str
    digest: str


@dataclass(frozen=True, eq=False)
class Rows:
    """Stored results of a dataset in the order of its items: column by column, spectra as (n, K)."""

    members: list[Member]
    spectra: ndarray
    squared_norm: ndarray
    seconds: ndarray
    device: list[str]
