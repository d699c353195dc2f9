"""Small smooth encoders R^D -> R^K, several of the same shape side by side, with their Jacobians.

f(x) = x A + b + g(x), with A the identity at first and g a two-layer perceptron with GELUs whose last layer is 0 at
first. So an encoder starts as a one-to-one map and is bent from there: a network that starts at random folds the space
already, and the change of variables needs a single preimage.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor, nn


class Encoders(nn.Module):
    """`count` encoders that share nothing but their shape; one matrix product serves all.

    Inputs are centred and divided by one number (`shift`, `scale`) for each encoder. With `sphere` the output is scaled
    to length sqrt(K), the radius on which Gaussian vectors concentrate.
    """

    def __init__(
        self, count: int, dim: int, k: int, *, width: int, depth: int, sphere: bool, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.k, self.sphere = k, sphere
        self.register_buffer("shift", torch.zeros(count, 1, dim))
        self.register_buffer("scale", torch.ones(count, 1, 1))
        sizes = [dim] + [width] * depth
        self.weights = nn.ParameterList(
            torch.randn(count, before, after, generator=generator) * (2 / before) ** 0.5
            for before, after in pairwise(sizes)
        )
        self.biases = nn.ParameterList(torch.randn(count, 1, width, generator=generator) / 2 for _ in range(depth))
        self.last = nn.Parameter(torch.zeros(count, width, k))
        self.straight = nn.Parameter(torch.eye(dim, k).repeat(count, 1, 1))
        self.offset = nn.Parameter(torch.zeros(count, 1, k))

    def fit_scale(self, samples: Float[Tensor, "count n dim"]) -> None:
        """Take `shift` and `scale` from the training samples; nothing of their shape is used."""
        self.shift = samples.mean(dim=1, keepdim=True)
        self.scale = (samples - self.shift).square().mean(dim=(1, 2), keepdim=True).sqrt()

    def forward(self, points: Float[Tensor, "count n dim"]) -> Float[Tensor, "count n k"]:
        """The embeddings of each encoder's own points."""
        inputs = (points - self.shift) / self.scale
        hidden = inputs
        for weight, bias in zip(self.weights, self.biases, strict=True):
            hidden = nn.functional.gelu(torch.baddbmm(bias, hidden, weight))
        embedded = torch.baddbmm(self.offset, hidden, self.last) + inputs @ self.straight
        return self.k**0.5 * nn.functional.normalize(embedded, dim=-1) if self.sphere else embedded

    def with_jacobians(
        self, points: Float[Tensor, "count n dim"]
    ) -> tuple[Float[Tensor, "count n k"], Float[Tensor, "count n dim k"]]:
        """The embeddings and their derivatives by the inputs (input first), which can be differentiated again.

        All D tangents go through the layers together: d gelu(a) = (Phi(a) + a phi(a)) da.
        """
        count, n, dim = points.shape
        inputs = (points - self.shift) / self.scale
        tangents = torch.eye(dim, dtype=points.dtype).expand(count, n, dim, dim) / self.scale[..., None]
        hidden, moved = inputs, tangents
        for weight, bias in zip(self.weights, self.biases, strict=True):
            before = torch.baddbmm(bias, hidden, weight)
            normal = torch.distributions.Normal(0.0, 1.0)
            slope = normal.cdf(before) + before * normal.log_prob(before).exp()
            hidden = nn.functional.gelu(before)
            moved = (moved @ weight[:, None]) * slope[:, :, None]
        embedded = torch.baddbmm(self.offset, hidden, self.last) + inputs @ self.straight
        jacobian = moved @ self.last[:, None] + tangents @ self.straight[:, None]
        if not self.sphere:
            return embedded, jacobian
        length = embedded.norm(dim=-1, keepdim=True)
        unit = embedded / length
        radial = (jacobian * unit[:, :, None]).sum(dim=-1, keepdim=True) * unit[:, :, None]
        return self.k**0.5 * unit, self.k**0.5 * (jacobian - radial) / length[:, :, None]


def log_volumes(jacobian: Float[Tensor, "*batch dim k"], rank: int) -> Float[Tensor, "*batch"]:
    """The JEPA-SCORE of each Jacobian, sum of the logs of its `rank` largest singular values (Eq. 5), in float64.

    Where all count (of D <= K), it is half the log-determinant of the D x D Gram, which is much quicker.
    """
    wide = jacobian.double()
    if rank == wide.shape[-2]:
        return torch.linalg.slogdet(wide @ wide.mT).logabsdet / 2
    return torch.linalg.svdvals(wide)[..., :rank].log().sum(dim=-1)


def folded_share(jacobian: Float[Tensor, "n dim dim"]) -> float:
    """The share of points at which det J has the sign of the minority: 0 for a map that folds nowhere among them."""
    negative = (torch.linalg.det(jacobian.double()) < 0).double().mean().item()
    return min(negative, 1 - negative)


def stacked(samples: Sequence[Float[ndarray, "n dim"]]) -> Float[Tensor, "count n dim"]:
    """Samples of several encoders as one tensor of float32."""
    return torch.stack([torch.as_tensor(one, dtype=torch.float32) for one in samples])
