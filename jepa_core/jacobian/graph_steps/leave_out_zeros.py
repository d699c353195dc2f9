"""Rows of matrix products that must be zero are left out."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx import GraphModule, Node

_aten = torch.ops.aten
# A matrix product is cut down where at most this share of the rows (or of what is summed over) can be other than zero.
_SPARSE = 0.5


def leave_out_zeros(product: GraphModule, inputs: Sequence[Tensor]) -> None:
    """Cut matrix products down to the rows, and to the terms of their sums, that can be other than zero.

    What must be zero is found by running the graph once with positive random numbers in the place of all inputs: as it
    is linear in the cotangents and its constants are generic, what comes out as zero is zero by the graph's structure.
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
