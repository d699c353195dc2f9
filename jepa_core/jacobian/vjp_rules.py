"""Derivatives written so that cotangents share whatever depends on the image alone.

A vector-Jacobian product is linear in its cotangent g. The derivative of a layer is therefore a constant of the image
(a slope, an attention map, a normalised activation) and a product with g. PyTorch's own formulas compute both together,
once for every cotangent. The rules here keep them apart, and `jepa_core.jacobian.linearize` computes the constants
once:

- an elementwise function s:      g -> g * s'(x)
- LayerNorm, y = xhat * w + b:    g -> (g w - mean(g w) - xhat mean(g w xhat)) / std(x)
- attention, o = P v with P = softmax(q k^T c):  dP = g v^T,  dS = P * (dP - rowsum(g * o)),
                                  dq = dS k c,  dk = dS^T q c,  dv = P^T g
- batch-norm in eval mode:        g -> g * w / std

The row sum of g * o stands for the row sum of P * dP, since o = P v: it is over the head's width, not over all tokens.
`Rules` puts them in the place of PyTorch's functions while a network runs, so any network made of these functions is
covered, whatever library its modules come from.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.overrides import TorchFunctionMode

# Tensor cores want rows of a multiple of 16 bytes: with 257 tokens the products take an older kernel, or are copied.
_ALIGNED = {"cuda": 8}


class _Elementwise(torch.autograd.Function):
    """`function(x)` with its slope, computed once."""

    @staticmethod
    def forward(x: Tensor, function: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            inner = x.detach().requires_grad_()
            y = function(inner)
            (slope,) = torch.autograd.grad(y, inner, torch.ones_like(y))
        return y.detach(), slope

    @staticmethod
    def setup_context(ctx: Any, inputs: Sequence[Any], output: tuple[Tensor, Tensor]) -> None:  # noqa: ARG004
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1])

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _slope: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return grad * slope, None


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        variance, mean = torch.var_mean(x, -1, keepdim=True, correction=0)
        inverse = torch.rsqrt(variance + eps)
        normed = (x - mean) * inverse
        y = normed.clone() if weight is None else normed * weight  # what is marked below must not be the result
        return y if bias is None else y + bias, normed, inverse

    @staticmethod
    def setup_context(ctx: Any, inputs: Sequence[Any], output: tuple[Tensor, Tensor, Tensor]) -> None:
        _y, normed, inverse = output
        ctx.mark_non_differentiable(normed, inverse)
        ctx.save_for_backward(inputs[1], normed, inverse)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _normed: Tensor, _inverse: Tensor) -> tuple[Tensor | None, ...]:
        weight, normed, inverse = ctx.saved_tensors
        width = normed.shape[-1]
        gain = normed.new_ones(width) if weight is None else weight
        along = (grad * (normed * (gain / width))).sum(-1, keepdim=True)
        mean = grad @ (gain / width)[:, None]
        return grad * (inverse * gain) - mean * inverse - along * (normed * inverse), None, None, None


def attention_product(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, weights: Tensor, out: Tensor, scale: float, align: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """dq, dk, dv of cotangents `grad` (C, B, H, N, d); each comes back with C in front.

    Tokens go before cotangents, so that in every product all cotangents meet one shared matrix per head. Keys are
    filled up with zeros to a multiple of `align` (for None, to what the device is quick with), which changes nothing
    but the speed and depends on no cotangent.
    """
    c, b, h, n, d = grad.shape
    keys = k.shape[-2]
    fill = -keys % (align or _ALIGNED.get(grad.device.type, 1))
    m = keys + fill
    g = grad.permute(1, 2, 3, 0, 4).reshape(b * h, n, c * d)
    if fill:
        weights, k, v = F.pad(weights, (0, fill)), F.pad(k, (0, 0, 0, fill)), F.pad(v, (0, 0, 0, fill))
    weights, q, k, v, out = (part.flatten(0, 1) for part in (weights, q * scale, k * scale, v, out))
    inner = (g.view(b * h, n, c, d) * out[:, :, None]).sum(-1, keepdim=True)
    d_weights = torch.bmm(g.view(b * h, n * c, d), v.mT).view(b * h, n, c, m)
    d_logits = (d_weights - inner) * weights[:, :, None]
    dv = torch.bmm(weights.mT, g).view(b, h, m, c, v.shape[-1]).permute(3, 0, 1, 2, 4)
    dq = torch.bmm(d_logits.view(b * h, n * c, m), k).view(b, h, n, c, q.shape[-1]).permute(3, 0, 1, 2, 4)
    dk = torch.bmm(d_logits.view(b * h, n, c * m).mT, q).view(b, h, c, m, k.shape[-1]).permute(2, 0, 1, 3, 4)
    return dq, dk[..., :keys, :], dv[..., :keys, :]


class _AttentionProduct(torch.autograd.Function):
    """The product with one cotangent; with many under `vmap`, which would otherwise repeat the shared matrices."""

    @staticmethod
    def forward(grad: Tensor, *shared: Any) -> tuple[Tensor, ...]:
        return tuple(part[0] for part in attention_product(grad[None], *shared))

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: Sequence[Any], output: Any) -> None:
        """Nothing to keep: there is no second derivative."""

    @staticmethod
    def vmap(
        _info: Any, in_dims: Sequence[int | None], grad: Tensor, *shared: Any
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        if in_dims[0] is None or any(place is not None for place in in_dims[1:]):
            raise NotImplementedError("only cotangents are mapped over")
        return attention_product(grad.movedim(in_dims[0], 0), *shared), (0, 0, 0)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float) -> tuple[Tensor, Tensor]:
        logits = (q * scale) @ k.mT
        if bias is not None:
            logits = logits.masked_fill(~bias, -torch.inf) if bias.dtype == torch.bool else logits + bias
        weights = logits.softmax(-1)
        return weights @ v, weights

    @staticmethod
    def setup_context(ctx: Any, inputs: Sequence[Any], output: tuple[Tensor, Tensor]) -> None:
        q, k, v, _bias, ctx.scale = inputs
        out, weights = output
        ctx.mark_non_differentiable(weights)
        ctx.save_for_backward(q, k, v, weights, out)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _weights: Tensor) -> tuple[Any, ...]:
        return *_AttentionProduct.apply(grad, *ctx.saved_tensors, ctx.scale), None, None


def _depends(constant: Tensor | None) -> bool:
    """Whether what a rule takes for a constant may depend on the image: it has a gradient and is no weight."""
    return constant is not None and constant.requires_grad and not isinstance(constant, torch.nn.Parameter)


_Made = tuple[Tensor, list[Tensor]]
"""What a layer gives, and what its derivative is made of."""


def _layer_norm(
    x: Tensor,
    shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> _Made:
    if len(shape) != 1 or _depends(weight) or _depends(bias):
        return F.layer_norm(x, shape, weight, bias, eps), []
    y, _normed, inverse = _LayerNorm.apply(x, weight, bias, eps)
    return y, [inverse]


def _attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> _Made:
    plain = q.ndim == k.ndim == v.ndim == 4 and q.shape[:2] == k.shape[:2] == v.shape[:2]
    if is_causal or enable_gqa or dropout_p or not plain or _depends(attn_mask):
        y = F.scaled_dot_product_attention(q, k, v, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa)
        return y, []
    out, weights = _Attention.apply(q, k, v, attn_mask, q.shape[-1] ** -0.5 if scale is None else scale)
    return out, [weights, q, k, v, out]


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> _Made:
    # One matrix product: over several leading axes vmap would repeat the weight for each cotangent, and so it would for
    # tokens that lie transposed, as patches do where there is no class token.
    if x.ndim <= 2:
        return F.linear(x.contiguous(), weight, bias), []
    return F.linear(x.flatten(0, -2).contiguous(), weight, bias).unflatten(0, x.shape[:-1]), []


def _batch_norm(
    x: Tensor,
    mean: Tensor | None,
    variance: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> _Made:
    if training or mean is None or variance is None:
        return F.batch_norm(x, mean, variance, weight, bias, training, momentum, eps), []
    gain = torch.rsqrt(variance + eps) * (1.0 if weight is None else weight)
    offset = -mean * gain + (0.0 if bias is None else bias)
    shape = (-1, *[1] * (x.ndim - 2))
    return x * gain.view(shape) + offset.view(shape), []


_LAYERS: dict[Callable, Callable] = {
    F.layer_norm: _layer_norm,
    F.scaled_dot_product_attention: _attention,
    F.linear: _linear,
    F.batch_norm: _batch_norm,
}
_ELEMENTWISE = frozenset(
    {F.gelu, F.silu, F.relu, F.relu6, F.leaky_relu, F.elu, F.mish, F.hardswish, F.hardsigmoid, F.softplus}
    | {torch.sigmoid, Tensor.sigmoid, torch.tanh, Tensor.tanh, torch.relu, Tensor.relu}
)


class Rules(TorchFunctionMode):
    """Inside, a network's functions have the derivatives of this module; their values are the same.

    `made_of` lists what the derivatives are made of, in the order in which the network computes it: slopes, inverse
    standard deviations, and attention's weights, queries, keys, values and results. Each has the images along the axis
    that the network gives them, the first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.made_of: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if func in _LAYERS:
            y, made_of = _LAYERS[func](*args, **kwargs)
            self.made_of += made_of
            return y
        if func in _ELEMENTWISE:
            # In place would overwrite what the slope was computed at.
            options = {key: value for key, value in kwargs.items() if key not in ("inplace", "input")}
            x, rest = (kwargs["input"], args) if "input" in kwargs else (args[0], args[1:])
            if rest and isinstance(rest[-1], bool):
                rest = rest[:-1]
            y, slope = _Elementwise.apply(x, lambda inner: func(inner, *rest, **options))
            self.made_of.append(slope)
            return y
        return func(*args, **kwargs)
