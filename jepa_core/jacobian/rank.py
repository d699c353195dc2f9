"""How many singular values the layers at the end of an encoder allow.

This is the architecture's side, and what every score is summed over; `jepa_core.jacobian.spectrum.confirmed` says
whether calibration images show it.

Why a LayerNorm costs directions: its output u (before the affine part) always has sum(u) = 0 and sum(u^2) = K, up to
eps. So it cannot move along the constant vector (one direction, exactly) nor along u itself (one more, up to eps).
As the last step it leaves K - 2. Averaging several normalised tokens keeps the first constraint alone: K - 1. An
RMSNorm has only the second constraint, and timm's SimpleNorm, which divides by the standard deviation, one like it:
K - 1. A projection afterwards mixes the directions and is limited by its own width, and by what reaches it: K numbers
made of fewer are confined to as many directions (`jepa_core.jacobian.last_layers`).
"""

import timm.layers
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from jepa_core.jacobian import last_layers
from jepa_core.jacobian.spectrum import Rank

# Norms that divide by a size and subtract nothing, by the name a person knows them by. timm's derive from nn.Module.
_SCALING_NORMS: dict[str, tuple[type[nn.Module], ...]] = {
    "RMSNorm": (
        nn.RMSNorm,
        timm.layers.RmsNorm,
        timm.layers.RmsNormFp32,
        timm.layers.RmsNorm2d,
        timm.layers.RmsNorm2dFp32,
    ),
    "SimpleNorm": (
        timm.layers.SimpleNorm,
        timm.layers.SimpleNormFp32,
        timm.layers.SimpleNorm2d,
        timm.layers.SimpleNorm2dFp32,
    ),
}


def _norm_name(module: nn.Module) -> str | None:
    """ "LayerNorm", "RMSNorm" or "SimpleNorm", or None for what is none of them."""
    if isinstance(module, nn.LayerNorm):
        return "LayerNorm"
    return next((name for name, kinds in _SCALING_NORMS.items() if isinstance(module, kinds)), None)


def _trailing_norm(embedding: Tensor, normed: Tensor) -> str | None:
    """Whether `normed`, the output of a norm layer, is the embedding ("last") or averages to it ("averaged")."""
    batch, k = embedding.shape
    if normed.ndim == 4 and normed.shape[1] == k:  # channels first, as in ConvNeXt
        normed = normed.flatten(2).mT
    if normed.ndim < 2 or normed.shape[0] != batch or normed.shape[-1] != k:
        return None
    tokens = normed.reshape(batch, -1, k)

    def same(candidate: Tensor) -> bool:
        return torch.allclose(candidate, embedding, rtol=1e-4, atol=1e-5)

    if any(same(tokens[:, position]) for position in {0, tokens.shape[1] - 1}):
        return "last"
    prefixes = range(min(6, tokens.shape[1]))  # class and register tokens are left out of the average
    return "averaged" if any(same(tokens[:, first:].mean(dim=1)) for first in prefixes) else None


def architectural_rank(f: nn.Module, images: Float[Tensor, "batch channel height width"]) -> Rank:
    """What the layers of `f` allow: of the rank that its norm layers leave and that of its last steps, the smaller.

    Needs at least two different images, so that agreement is not a coincidence.
    """
    outputs: list[tuple[str, Tensor]] = []
    hooks = [
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: outputs.append((name, output.detach()))
        )
        for module in f.modules()
        if (name := _norm_name(module))
    ]
    try:
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            leaves = images.detach().clone().requires_grad_()
            embedding = f(leaves)
    finally:
        for hook in hooks:
            hook.remove()
    by_norm = _by_norms(embedding.detach(), outputs)
    by_tail = last_layers.rank_of(embedding, leaves)
    return by_norm if by_norm.rank < embedding.shape[1] and by_norm.rank <= by_tail.rank else by_tail


def _by_norms(embedding: Tensor, outputs: list[tuple[str, Tensor]]) -> Rank:
    k = embedding.shape[1]
    for name, output in reversed(outputs):
        kind = _trailing_norm(embedding, output)
        if kind is None:
            continue
        if kind == "last":
            lost = 2 if name == "LayerNorm" else 1
            return Rank(k - lost, f"a {name} is the last step, which leaves K - {lost}")
        if name == "LayerNorm":
            return Rank(k - 1, "a LayerNorm followed by average pooling leaves K - 1")
    return Rank(k, "")
