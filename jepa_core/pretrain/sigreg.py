"""SIGReg: how far a batch of embeddings is from N(0, I), as one differentiable number.

A distribution on R^K is N(0, I) exactly when its projection on every unit direction is N(0, 1) (Cramer and Wold). So
draw random directions, measure each one-dimensional projection with the Epps-Pulley statistic, and average.

Sources: Balestriero and LeCun, LeJEPA, arXiv 2511.08544; Epps and Pulley, Biometrika 70 (1983) 723-726.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

_T_MAX = 5.0
_POINTS = 17
_HALF = _POINTS // 2
_STEP = _T_MAX / _HALF

GAUSSIAN_EXPECTATION = math.sqrt(2 * math.pi) * (1 - 1 / math.sqrt(3))
"""The statistic's mean over N(0, 1) samples of any size, 1.06: integral of (1 - exp(-t^2)) exp(-t^2/2) dt."""


def epps_pulley(samples: Float[Tensor, "n *columns"]) -> Float[Tensor, "*columns"]:
    """The Epps-Pulley statistic of each column of `samples` against N(0, 1), without standardisation.

    n * integral over [-5, 5] of |phi_n(t) - exp(-t^2/2)|^2 exp(-t^2/2) dt, with phi_n(t) = mean_i exp(i t x_i) the
    empirical characteristic function, by the trapezoid rule on 17 points. The integrand is even, so the 8 points with
    t > 0 count twice; it is 0 at t = 0. Its gradient is bounded, unlike that of a test on moments.

    Args:
        samples: n values along the first axis; the other axes are kept.

    Returns:
        One statistic a column, about `GAUSSIAN_EXPECTATION` for Gaussian samples and of order n for others.
    """
    return _EppsPulley.apply(samples)


class _EppsPulley(torch.autograd.Function):
    """The statistic and its slope in one pass: autograd would take the sine and cosine of every t, twice.

    cos(k a) and sin(k a) follow from those of (k - 1) a and a, and the slope of each term from the same two.
    """

    @staticmethod
    def forward(ctx: Any, samples: Tensor) -> Tensor:
        cos_1, sin_1 = (samples * _STEP).cos(), (samples * _STEP).sin()
        cos, sin = cos_1, sin_1
        distance = torch.zeros_like(samples[0])
        slope = torch.zeros_like(samples)
        for k in range(1, _HALF + 1):
            t = k * _STEP
            gaussian = math.exp(-t * t / 2)
            weight = gaussian * _STEP * (1 if k == _HALF else 2)
            real, imaginary = cos.mean(dim=0) - gaussian, sin.mean(dim=0)
            distance += weight * (real.square() + imaginary.square())
            slope.addcmul_(cos, 2 * weight * t * imaginary).addcmul_(sin, -2 * weight * t * real)
            cos, sin = (
                torch.addcmul(cos * cos_1, sin, sin_1, value=-1),
                torch.addcmul(sin * cos_1, cos, sin_1),
            )
        ctx.save_for_backward(slope)
        return samples.shape[0] * distance

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * ctx.saved_tensors[0]


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
