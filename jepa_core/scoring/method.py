"""How scores are made: each image fully, or estimated towards a goal; in one precision, which may be left open."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from jepa_core.datasets.spec import DatasetSpec

if TYPE_CHECKING:
    from jepa_core.jacobian.engine import Precision

METHODS = {"exact": "Exact", "balanced": "Balanced", "quick": "Quick look"}
"""The methods by name, with their titles."""
ALIASES = {"sketch": "balanced"}
"""What earlier versions called them."""
PRECISIONS = ("fp32", "auto", "bf16", "tf32")
LEAST_IMAGES = 16
"""Full scores that estimates are made from, at least."""
FIDELITY = 0.98
"""What a balanced run aims at."""


@dataclass(frozen=True)
class Goal:
    """How far estimates go; with none of the three they are a quick look.

    Attributes:
        fidelity: Spearman's correlation with full scores, by full scores that were left out.
        seconds: how long the run may take.
        rows: products that each image gets whatever they gain.
    """

    fidelity: float | None = None
    seconds: float | None = None
    rows: int | None = None

    @property
    def quick(self) -> bool:
        """Whether one forward pass over the images is all that it is about."""
        return self == Goal()


@dataclass(frozen=True)
class ScoringMethod:
    """Fully, or estimated towards a goal. A precision of "auto" is open until images of a dataset have decided.

    How far estimates got is kept with them, so that methods which only differ in their goals share them.
    """

    name: Literal["exact", "estimate"] = "exact"
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "fp32"
    goal: Goal = field(default_factory=Goal)

    @classmethod
    def named(cls, name: str, precision: Literal["auto", "fp32", "tf32", "bf16"] = "fp32") -> "ScoringMethod":
        """The method that a person chose by its name in `METHODS` or `ALIASES`."""
        name = ALIASES.get(name, name)
        if name == "exact":
            return cls("exact", precision)
        return cls("estimate", precision, Goal() if name == "quick" else Goal(fidelity=FIDELITY))

    @property
    def title_key(self) -> str:
        """The method's name in `METHODS`; of one with a goal of its own, the nearest."""
        if self.name == "exact":
            return "exact"
        return "quick" if self.goal.quick else "balanced"

    @property
    def decided(self) -> "Precision":
        """The precision of a method that leaves nothing open."""
        assert self.precision != "auto"
        return self.precision

    def for_dataset(self, dataset: DatasetSpec) -> "ScoringMethod":
        """The method for a dataset: one too small for estimates is scored fully, a listed one was scored long ago."""
        if dataset.listed:
            return ScoringMethod()
        return self if len(dataset) >= 2 * LEAST_IMAGES else replace(self, name="exact", goal=Goal())
