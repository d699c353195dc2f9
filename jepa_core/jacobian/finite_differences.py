"""Which of two derivatives is right: directional derivatives by central differences in float64, which nothing shares.

A graph that was traced wrongly and a kernel of PyTorch that is wrong look the same from outside: the two ways to the
Jacobian disagree. Differences of embeddings need no derivative at all, so they settle it.
"""

import copy
import logging
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from jepa_core.errors import EncoderError
from jepa_core.jacobian.encoder_protocol import Embed

_log = logging.getLogger(__name__)

# Lengths of the step, of normalised pixels. Long ones step over bends (a ReLU's); behind a layer that computes in
# float32 whatever it is given, short ones drown in its rounding. Two neighbours that agree are good.
_STEPS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
_ALIKE = 1e-5
# Random directions an image: with two images there are four numbers, which do not all vanish by chance.
_DIRECTIONS = 2


def settle(f: Embed, images: Tensor, cotangent: Tensor, ways: dict[str, Tensor | None], tolerance: float) -> str:
    """The name of the way whose products are the right ones, of `ways` that disagree or of the only one there is.

    Raises `EncoderError` where none is within `tolerance`. Where `f` cannot compute in float64 the last is believed.
    """
    found = {name: rows for name, rows in ways.items() if rows is not None}
    try:
        off = dict(zip(found, errors(f, images, cotangent, [*found.values()]), strict=True))
    except Exception as error:  # a network that cannot compute in float64 may say so in any way
        _log.warning("The encoder's derivative could not be compared with finite differences (%s).", error)
        return [*found][-1]
    best = min(off, key=lambda name: off[name] if math.isfinite(off[name]) else math.inf)
    if not off[best] <= tolerance:
        shares = " and ".join(f"the {name} one is {100 * share:.2g} % off" for name, share in off.items())
        raise EncoderError(
            f"The encoder's derivative cannot be computed: of finite differences {shares}; a network whose output is "
            "a smooth and repeatable function of each image is accepted; choose another."
        )
    return best


def in_float64(f: Embed) -> Embed:
    """The same function in float64 on the CPU, with weights of its own; what is no module is left as it is."""
    return copy.deepcopy(f).cpu().double() if isinstance(f, nn.Module) else f


def errors(f: Embed, images: Tensor, cotangent: Float[Tensor, "1 k"], found: Sequence[Tensor]) -> list[float]:
    """How far products `found` (B, 1, CHW) of a cotangent are from central differences, as a share of their length.

    Each image is embedded alone. Raises whatever `f` raises where it cannot compute in float64.
    """
    wide, points = in_float64(f), images.detach().cpu().double()
    generator = torch.Generator().manual_seed(2)
    steps = torch.randn(_DIRECTIONS, *images.shape, generator=generator, dtype=torch.float64)
    truth = _slopes(wide, points, cotangent.detach().cpu().double()[0], steps)
    length = truth.square().mean().sqrt()
    shares = []
    for rows in found:
        slopes = torch.einsum("sbp,bp->sb", steps.flatten(2), rows.detach().cpu().double()[:, 0])
        off = (slopes - truth).square().mean().sqrt()
        shares.append(float(off / length) if length > 0 else float(off))
    return shares


def _slopes(f: Embed, points: Tensor, cotangent: Tensor, steps: Tensor) -> Float[Tensor, "steps images"]:
    """Slopes of cotangent . f at each point along each step, with the length of step that is least in doubt."""
    best, doubt = torch.zeros(steps.shape[:2]), math.inf
    before: Tensor | None = None
    for size in _STEPS:
        found = torch.stack([_central(f, points, cotangent, size * step) for step in steps]) / (2 * size)
        if before is not None:
            apart = float((found - before).norm() / found.norm().clamp_min(1e-300))
            if apart < doubt:
                best, doubt = found, apart
            if doubt <= _ALIKE:
                break
        before = found
    return best


@torch.no_grad()
def _central(f: Embed, points: Tensor, cotangent: Tensor, step: Tensor) -> Float[Tensor, "images"]:
    return torch.stack(
        [
            (f((point + moved)[None])[0] - f((point - moved)[None])[0]).double() @ cotangent
            for point, moved in zip(points, step, strict=True)
        ]
    )
