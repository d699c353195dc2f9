"""Cut a graph before the patch embedding at its end: the caller may need no pixels at all.

The Gram of the Jacobian needs J J^T only, which a factor R with R R^T = W W^T gives as well as the weight W.
"""

import operator

import torch
from torch import Tensor
from torch.fx import GraphModule

from jepa_core.jacobian.graph_steps.step import graph_step

_aten = torch.ops.aten
_VIEWS = (_aten.view.default, _aten._unsafe_view.default, _aten.reshape.default)


@graph_step("cutting the patch embedding off")
def cut_patch_embedding(traced: GraphModule) -> Tensor | None:
    """Cut the graph before a patch embedding at its end, and return the weight; None where there is none.

    A convolution is one if it covers the image without overlap, gaps or a margin, so that its transpose is a matrix
    product with each token's gradient. In front of the cut are the gradients of the tokens, behind it those of pixels:

    >>> from jepa_core.jacobian.graph_steps.step import listing
    >>> from jepa_core.jacobian.graph_steps.trace import trace
    >>> patches = torch.nn.Conv2d(1, 2, 2, 2).requires_grad_(False)
    >>> graph = trace(lambda x: patches(x).flatten(1).sin(), torch.zeros(1, 1, 4, 4), 3)
    >>> print(listing(graph.graph))  # doctest: +ELLIPSIS
    x_1 is given
    directions_1 is given
    ...
    mul = mul(directions_1, cos)
    view_1 = view(mul)
    permute = permute(view_1)
    view_2 = view(permute)
    ...
    convolution_backward = convolution_backward(view_2, expand, _param_constant0_1)
    getitem = getitem(convolution_backward)
    view_3 = view(getitem)
    result: sin, view_3
    >>> cut_patch_embedding(graph) is patches.weight
    True
    >>> print(listing(graph.graph))  # doctest: +ELLIPSIS
    x_1 is given
    ...
    permute = permute(view_1)
    view_2 = view(permute)
    result: sin, view_2
    """
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
    graph.lint()
    return getattr(traced, weight.target)
