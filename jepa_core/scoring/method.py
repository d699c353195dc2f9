"""How scores are made: each image fully, or by a sketch with its settings; in one precision, which may be left open."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from jepa_core.datasets.spec import DatasetSpec

if TYPE_CHECKING:
    from jepa_core.jacobian.engine import Precision

METHODS = ("exact", "sketch")
PRECISIONS = ("fp32", "auto", "bf16", "tf32")
SKETCH_IMAGES = 144
"""Images that a sketch is calibrated on unless told otherwise."""
SHARE = 12
"""Products a sketch takes unless told otherwise: one for every so many numbers of the embedding."""


@dataclass(frozen=True)
class SketchSettings:
    """How a sketch is made: `rows` products an image (K / SHARE for None), calibrated on `images`, drawn by `seed`."""

    rows: int | None = None
    images: int = SKETCH_IMAGES
    seed: int = 0

    @property
    def least(self) -> int:
        """Images that a dataset needs for a sketch to gain anything."""
        return 2 * self.images

    def rows_for(self, k: int) -> int:
        """Products an image for an embedding of K numbers."""
        return self.rows or max(1, round(k / SHARE))


@dataclass(frozen=True)
class ScoringMethod:
    """A method by its name, and its settings. A precision of "auto" is open until images of a dataset have decided."""

    name: Literal["exact", "sketch"] = "exact"
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "fp32"
    sketch: SketchSettings = field(default_factory=SketchSettings)

    @property
    def decided(self) -> "Precision":
        """The precision of a method that leaves nothing open."""
        assert self.precision != "auto"
        return self.precision

    def for_dataset(self, dataset: DatasetSpec) -> "ScoringMethod":
        """The method for a dataset: one too small for a sketch is scored fully, a listed one was scored long ago."""
        if dataset.listed:
            return ScoringMethod()
        return self if len(dataset) >= self.sketch.least else replace(self, name="exact")
