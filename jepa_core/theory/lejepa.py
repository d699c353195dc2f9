"""LeJEPA training of the small encoders on points: two noisy views of each, invariance and SIGReg.

Source: Balestriero and LeCun, LeJEPA, arXiv 2511.08544; SIGReg is that of `jepa_core.pretrain.sigreg`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from jepa_core.pretrain.sigreg import sigreg
from jepa_core.theory.networks import Encoders


@dataclass(frozen=True)
class Recipe:
    """How the encoders are trained; the defaults were chosen on mixtures that are not reported (docs/theory.md).

    `noise` is the standard deviation of a view's noise in each coordinate, in units of the data's own. At first it is
    so large that the noise of a view is as long as sqrt(2) of them in any dimension, and falls to `noise` over the
    first 70 % of the steps: the encoder learns the coarse shape before the fine one, and folds less.
    """

    steps: int = 1000
    noise: float = 0.03
    first_noise: float = 2**0.5
    weight: float = 0.5  # lambda, the share of SIGReg in the loss
    views: int = 2
    batch: int = 512
    directions: int = 16
    rate: float = 3e-3
    width: int = 64
    depth: int = 2


_WARM_UP = 100  # steps
_FALLS = 0.7  # share of the steps over which the noise falls


def train(
    samples: Float[Tensor, "count n dim"], recipe: Recipe, *, k: int, sphere: bool = False, seed: int = 0
) -> Iterator[tuple[int, Encoders, float]]:
    """Train one encoder on each of `samples`, and yield (steps done, the encoders, SIGReg of the batch) at each step.

    loss = (1 - lambda) |mean of views - view|^2 + lambda SIGReg, AdamW with warm-up and a cosine. The encoders that are
    yielded are those in training: look at them before the next step.
    """
    generator = torch.Generator().manual_seed(seed)
    count, n, dim = samples.shape
    encoders = Encoders(count, dim, k, width=recipe.width, depth=recipe.depth, sphere=sphere, generator=generator)
    encoders.fit_scale(samples)
    optimiser = torch.optim.AdamW(encoders.parameters(), lr=recipe.rate, weight_decay=1e-4, fused=True)
    batch = min(recipe.batch, n)
    for step in range(recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = _rate(recipe, step)
        chosen = torch.stack([torch.randint(n, (batch,), generator=generator) for _ in range(count)])
        points = samples.gather(1, chosen[..., None].expand(-1, -1, dim))
        drawn = torch.randn(count, recipe.views, batch, dim, generator=generator)
        views = points[:, None] + _noise(recipe, step, dim) * encoders.scale[:, None] * drawn
        embedded = encoders(views.flatten(1, 2)).unflatten(1, (recipe.views, batch))
        invariance = (embedded.mean(dim=1, keepdim=True) - embedded).square().sum(dim=-1).mean(dim=(1, 2)).sum()
        regular = sigreg(embedded.flatten(0, 1), recipe.directions, generator)
        optimiser.zero_grad(set_to_none=True)
        # The encoders share no parameter: a sum of their losses trains each as if it were alone.
        ((1 - recipe.weight) * invariance + recipe.weight * count * regular).backward()
        optimiser.step()
        yield step + 1, encoders, regular.item()


def _rate(recipe: Recipe, step: int) -> float:
    return recipe.rate * min(1.0, (step + 1) / _WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))


def _noise(recipe: Recipe, step: int, dim: int) -> float:
    first = max(recipe.noise, recipe.first_noise / dim**0.5)
    return recipe.noise * (first / recipe.noise) ** max(0.0, 1 - step / (_FALLS * recipe.steps))
