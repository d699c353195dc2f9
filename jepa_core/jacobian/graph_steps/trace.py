"""Trace an encoder's vector-Jacobian products into one graph of tensor operations."""

from typing import Any

import torch
from torch import Tensor
from torch._decomp import get_decompositions
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from jepa_core.jacobian.encoder_protocol import Embed
from jepa_core.jacobian.graph_steps.step import graph_step
from jepa_core.jacobian.vjp_rules import Rules

_aten = torch.ops.aten
# Kernels that compute a constant of the image together with the product; in parts, the constant is shared.
_DECOMPOSITIONS: Any = get_decompositions(
    [
        _aten._softmax_backward_data,
        _aten.native_layer_norm_backward,
        _aten.slice_backward,
        _aten.select_backward,
        _aten.sigmoid_backward,
        _aten.tanh_backward,
    ]
)


@graph_step("tracing")
def trace(f: Embed, images: Tensor, cotangents: int) -> GraphModule:
    """The products of C cotangents at images (B, C, H, W) as one graph, with the rules' derivatives in it.

    (images, directions (C, B, K)) -> (f(x), what its derivative is made of, products (C, B, C, H, W)). For f(x) = sin x
    of two pixels and three cotangents, the sine and the cosine depend on the image alone:

    >>> from jepa_core.jacobian.graph_steps.step import listing
    >>> print(listing(trace(lambda x: x.flatten(1).sin(), torch.zeros(1, 1, 1, 2), 3).graph))
    x_1 is given
    directions_1 is given
    view = view(x_1)
    sin = sin(view)
    cos = cos(view)
    mul = mul(directions_1, cos)
    view_1 = view(mul)
    result: sin, view_1
    """

    def with_parts(x: Tensor) -> tuple[Tensor, list[Tensor]]:
        with Rules() as rules:
            return f(x), rules.made_of

    def products(x: Tensor, directions: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        embedding, vjp, made_of = torch.func.vjp(with_parts, x, has_aux=True)  # type: ignore[misc]
        return embedding, made_of, torch.func.vmap(lambda direction: vjp(direction)[0])(directions)

    with torch.no_grad():
        width = f(images[:1]).shape[1]
    directions = images.new_zeros(cotangents, len(images), width)
    # "fake": only shapes are followed, so tracing costs neither memory nor products.
    traced = make_fx(products, decomposition_table=_DECOMPOSITIONS, tracing_mode="fake", _allow_non_fake_inputs=True)(
        images, directions
    )
    traced.graph.eliminate_dead_code()
    traced.graph.lint()
    return traced
