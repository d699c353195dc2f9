"""SIGReg: how far a batch of embeddings is from N(0, I), as one differentiable number.

A distribution on R^K is N(0, I) exactly when its projection on every unit direction is N(0, 1) (Cramer and Wold). So
draw random directions, measure each one-dimensional projection with the Epps-Pulley statistic, and average.

Sources: Balestriero and LeCun, LeJEPA, arXiv 2511.08544; Epps and Pulley, Biometrika 70 (1983) 723-726.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

_T_MAX = 5.0
_POINTS = 17

GAUSSIAN_EXPECTATION = math.sqrt(2 * math.pi) * (1 - 1 / math.sqrt(3))
"""The statistic's mean over N(0, 1) samples of any size, 1.06: integral of (1 - exp(-t^2)) exp(-t^2/2) dt."""


def epps_pulley(samples: Float[Tensor, "n *columns"]) -> Float[Tensor, "*columns"]:
    """The Epps-Pulley statistic of each column of `samples` against N(0, 1), without standardisation.

    n * integral over [-5, 5] of |phi_n(t) - exp(-t^2/2)|^2 exp(-t^2/2) dt, with phi_n(t) = mean_i exp(i t x_i) the
    empirical characteristic function, by the trapezoid rule on 17 points. The integrand is even, so the 9 points with
    t >= 0 are computed and those with t > 0 counted twice. Its gradient is bounded, unlike that of a test on moments.

    Args:
        samples: n values along the first axis; the other axes are kept.

    Returns:
        One statistic a column, about `GAUSSIAN_EXPECTATION` for Gaussian samples and of order n for others.
    """
    half = _POINTS // 2 + 1
    t = torch.linspace(0, _T_MAX, half, dtype=samples.dtype, device=samples.device)
    gaussian = torch.exp(-t.square() / 2)
    widths = torch.full_like(t, 2 * _T_MAX / (half - 1))
    widths[[0, -1]] /= 2
    angles = samples[..., None] * t
    distance = (angles.cos().mean(dim=0) - gaussian).square() + angles.sin().mean(dim=0).square()
    return samples.shape[0] * (distance @ (widths * gaussian))


def sigreg(
    embeddings: Float[Tensor, "views batch k"], directions: int, generator: torch.Generator
) -> Float[Tensor, ""]:
    """The mean Epps-Pulley statistic over `directions` random unit directions and over the views.

    Each view is a sample of its own: views of one image are alike, and pooling them would count them as independent.

    Args:
        embeddings: V views of a batch of B images, K numbers each.
        directions: how many, fresh at every call, so that over many steps none is left out.
        generator: the source of the directions, on the embeddings' device.
    """
    k = embeddings.shape[-1]
    drawn = torch.randn(k, directions, generator=generator, device=embeddings.device, dtype=embeddings.dtype)
    projections = embeddings @ (drawn / drawn.norm(dim=0))
    return epps_pulley(projections.transpose(0, 1)).mean()
