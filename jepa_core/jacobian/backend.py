"""The two ways to the products of a Jacobian have one face."""

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from jepa_core.jacobian.batch_plan import BatchPlan, Sizes


class Rows(NamedTuple):
    """Products of the Jacobians of some images, and what came with the forward pass."""

    rows: Float[Tensor, "batch r numbers"]
    embedding: Float[Tensor, "batch k"]
    features: Float[Tensor, "batch features"]


@runtime_checkable
class Backend(Protocol):
    """A way to D J: r directions D (r x K) times the Jacobian J (K x CHW) of each image.

    `name` says which way it is, in a table or a test.
    """

    name: str

    def plan(self, sizes: Sizes, rows: int, device: torch.device, budget: int) -> BatchPlan:
        """How much to compute together where an image is asked for so many rows, in a budget of bytes."""

    def rows(
        self,
        images: Float[Tensor, "batch channel height width"],
        directions: Float[Tensor, "r k"],
        plan: BatchPlan,
        *,
        pixels: bool,
    ) -> Rows:
        """D J of at most `plan.images` images, with pixels flattened (CHW).

        Where `pixels` is False, rows of fewer numbers may come in their place that have the same products R R^T.
        """

    def forward(
        self, images: Float[Tensor, "batch channel height width"], plan: BatchPlan
    ) -> tuple[Float[Tensor, "batch k"], Float[Tensor, "batch features"]]:
        """The embedding and the features of at most `plan.images` images, without a product."""

    def forget(self) -> None:
        """Give back the memory of what is kept for the next call."""
