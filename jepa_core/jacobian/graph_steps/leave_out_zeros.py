"""Leave out rows of matrix products that must be zero.

Behind class-token pooling the gradient of the last block's MLP is zero at all tokens but one.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx import GraphModule, Node

from jepa_core.jacobian.graph_steps.step import graph_step

_aten = torch.ops.aten
# A matrix product is cut down where at most this share of the rows (or of what is summed over) can be other than zero.
_SPARSE = 0.5


@graph_step("leaving out zeros")
def leave_out_zeros(product: GraphModule, inputs: Sequence[Tensor]) -> None:
    """Cut matrix products down to the rows, and to the terms of their sums, that can be other than zero.

    What must be zero is found by running the graph once with positive random numbers in the place of all inputs: as it
    is linear in the cotangents and its constants are generic, what comes out as zero is zero by the graph's structure.

    For f(x) = the first of three rows of sin(x W), two rows of the cotangents' gradient are zero before the product
    with W^T, so that it is made of the third alone, and zeros are put back around it:

    >>> from jepa_core.jacobian.graph_steps.divide import divide
    >>> from jepa_core.jacobian.graph_steps.step import listing
    >>> from jepa_core.jacobian.graph_steps.trace import trace
    >>> first = lambda x: (x.flatten(0, 2) @ torch.ones(4, 4)).sin()[:1]
    >>> product = divide(trace(first, torch.zeros(1, 1, 3, 4), 1)).product
    >>> print(listing(product.graph))  # doctest: +ELLIPSIS
    given_0 is given
    ...
    slice_scatter = slice_scatter(new_zeros, given_0)
    mul = mul(slice_scatter, given_2)
    view_1 = view(mul)
    mm_1 = mm(view_1, given_1)
    ...
    >>> leave_out_zeros(product, [torch.ones(1, 1, 4), torch.ones(4, 4), torch.ones(3, 4)])
    >>> print(listing(product.graph))  # doctest: +ELLIPSIS
    given_0 is given
    ...
    view_1 = view(mul)
    kept_0 is a weight
    index_select_default = index_select(view_1, kept_0)
    mm_default = mm(index_select_default, given_1)
    new_zeros_default = new_zeros(mm_default)
    index_copy_default = index_copy(new_zeros_default, kept_0, mm_default)
    ...
    """
    generic = [torch.rand_like(value) + 0.5 if value.is_floating_point() else value for value in inputs]
    finder = _ZeroFinder(product)
    finder.run(*generic)
    graph = product.graph
    for node, (kept, axis) in finder.kept.items():
        given: dict[int, Any] = dict(enumerate(node.args))
        function: Any = node.target
        with graph.inserting_before(node):
            index = graph.create_node("get_attr", _register(product, kept))
            for place in range(2):
                if axis[place] is not None:
                    given[place] = graph.call_function(_aten.index_select.default, (given[place], axis[place], index))
            small = graph.call_function(function, (given[0], given[1]))
            if axis[1] is None:  # whole rows were left out, so they are put back as zeros
                shape = list(node.meta["val"].shape)
                zeros = graph.call_function(_aten.new_zeros.default, (small, shape))
                small = graph.call_function(_aten.index_copy.default, (zeros, len(shape) - 2, index, small))
        node.replace_all_uses_with(small)
        graph.erase_node(node)
    graph.lint()
    product.recompile()


def _register(module: GraphModule, value: Tensor) -> str:
    name = f"kept_{sum(key.startswith('kept_') for key in vars(module))}"
    setattr(module, name, value)
    return name


class _ZeroFinder(fx.Interpreter):
    """Notes the matrix products one of whose operands is mostly zero.

    `kept`: node -> (indices that can be other than zero, the axis they belong to in each operand, None for neither).
    """

    def __init__(self, module: GraphModule) -> None:
        super().__init__(module)
        self.kept: dict[Node, tuple[Tensor, tuple[int | None, int | None]]] = {}

    def run_node(self, n: Node) -> Any:
        if n.target in (_aten.mm.default, _aten.bmm.default):
            left, right = (self.env[operand] for operand in n.all_input_nodes)
            last = left.ndim - 1
            # Rows of the left operand, then the sum's terms as the left and as the right operand has them.
            for operand, axis, axes in (
                (left, last - 1, (last - 1, None)),
                (left, last, (last, last - 1)),
                (right, last - 1, (last, last - 1)),
            ):
                others = [place for place in range(operand.ndim) if place != axis]
                filled = (operand != 0).any(dim=others[0] if len(others) == 1 else others)
                if filled.float().mean() <= _SPARSE:
                    self.kept[n] = filled.nonzero().flatten(), axes
                    break
        return super().run_node(n)
