"""The general way to a Jacobian: the image is repeated, a copy for each cotangent, and autograd does the rest.

It takes any network. Nothing is shared between cotangents, so each costs a backward pass of its own.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from jepa_core.jacobian.backend import Rows
from jepa_core.jacobian.batch_plan import BatchPlan, Sizes, plan_autograd
from jepa_core.jacobian.encoder_protocol import Embed
from jepa_core.jacobian.precision import Precision, arithmetic


class AutogradBackend:
    """D J of `f` by one forward pass over copies of the image, and a backward pass for each chunk of directions."""

    name = "autograd"

    def __init__(self, f: Embed, precision: Precision = "fp32") -> None:
        self._f = f
        self._precision = precision

    def plan(self, sizes: Sizes, rows: int, device: torch.device, budget: int) -> BatchPlan:
        """As of `Backend`."""
        return plan_autograd(sizes, rows, device, budget)

    def rows(
        self,
        images: Float[Tensor, "batch channel height width"],
        directions: Float[Tensor, "r k"],
        plan: BatchPlan,
        *,
        pixels: bool,  # noqa: ARG002 (no other rows are cheaper here)
    ) -> Rows:
        """As of `Backend`; the rows are always those of pixels.

        Autograd gets two images or more: for a batch of one PyTorch's batch-norm can be wrong on a CPU (2.15,
        cotangents that lie channels last).
        """
        batch, half = len(images), self._precision == "bf16"
        count = plan.cotangents if batch > 1 else max(plan.cotangents, 2)
        # MATH: fused attention would compute its map again in each backward pass.
        with torch.enable_grad(), arithmetic(self._precision), sdpa_kernel(SDPBackend.MATH):
            replicas = images.repeat_interleave(count, dim=0).requires_grad_()
            with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
                embeddings = self._f(replicas)
            rows = images.new_empty(batch, len(directions), images[0].numel())
            for first in range(0, len(directions), count):
                chunk = directions[first : first + count].to(embeddings)
                padded = chunk.new_zeros(batch, count, chunk.shape[1])
                padded[:, : len(chunk)] = chunk
                (gradient,) = torch.autograd.grad(
                    embeddings, replicas, padded.flatten(0, 1), retain_graph=first + count < len(directions)
                )
                rows[:, first : first + count] = gradient.reshape(batch, count, -1)[:, : len(chunk)]
        with torch.no_grad():
            embedding = self._f(images) if half else embeddings.view(batch, count, -1)[:, 0].clone()
        return Rows(rows, embedding, embedding)

    def forward(
        self,
        images: Float[Tensor, "batch channel height width"],
        plan: BatchPlan,  # noqa: ARG002 (any number fits)
    ) -> tuple[Float[Tensor, "batch k"], Float[Tensor, "batch features"]]:
        """As of `Backend`; the features are the embedding."""
        with torch.no_grad():
            embedding = self._f(images)
        return embedding, embedding

    def forget(self) -> None:
        """Nothing is kept."""
