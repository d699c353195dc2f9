"""A patch embedding at the end of a graph is left to the caller."""

import operator

import torch
from torch import Tensor
from torch.fx import GraphModule

_aten = torch.ops.aten
_VIEWS = (_aten.view.default, _aten._unsafe_view.default, _aten.reshape.default)


def cut_patch_embedding(traced: GraphModule) -> Tensor | None:
    """Cut the graph before a patch embedding at its end, and return the weight; None where there is none."""
    graph = traced.graph
    output = next(node for node in graph.nodes if node.op == "output")
    embedding, made_of, node = output.args[0]
    while node.target in _VIEWS:
        node = node.args[0]
    if node.target is not operator.getitem or node.args[1] != 0:
        return None
    convolution = node.args[0]
    if convolution.target is not _aten.convolution_backward.default:
        return None
    gradient, image, weight, _bias, stride, padding, dilation, transposed, _padding, groups, _mask = convolution.args
    patch, grid = list(weight.meta["val"].shape[2:]), gradient.meta["val"].shape[2:]
    covers = list(image.meta["val"].shape[2:]) == [size * count for size, count in zip(patch, grid, strict=True)]
    plain = not transposed and groups == 1 and not any(padding) and set(dilation) == {1}
    if not (plain and covers and list(stride) == patch) or weight.op != "get_attr":
        return None
    output.args = ((embedding, made_of, gradient),)
    graph.eliminate_dead_code()
    return getattr(traced, weight.target)
