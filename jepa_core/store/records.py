"""What the store keeps, as plain records: a config, a result, an image's place in a dataset, many results at once."""

from dataclasses import astuple, dataclass

from numpy import ndarray

from jepa_core.keys import make_key


@dataclass(frozen=True)
class ResultConfig:
    """Everything but the image that makes a result what it is.

    `transform` is the canonical JSON of the data config; `method` is "exact" or "sketch:" and a calibration's id;
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


@dataclass(frozen=True, eq=False)
class Result:
    """One scored image: all K singular values (float32, largest first), the embedding, and how it was made."""

    digest: str
    spectrum: ndarray
    embedding: ndarray
    squared_norm: float
    seconds: float
    device: str


@dataclass(frozen=True, eq=False)
class Estimate:
    """One sketched image: the estimated score, its 90 % interval, and whether it is far from the calibration images."""

    digest: str
    score: float
    low: float
    high: float
    far: bool
    embedding: ndarray
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
