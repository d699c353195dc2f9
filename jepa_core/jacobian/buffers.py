"""Fixed memory for a graph that runs over and over: every intermediate result gets its place in one block.

Fresh memory is slow (the system hands it out page by page, zeroed) and leaves the caches. Here the lifetimes of all
results are known beforehand, so that a place is used again as soon as its value is not needed any more, and elementwise
operations write over an operand that they are the last to read.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from jepa_core.jacobian.graph_steps.step import graph_step

_aten = torch.ops.aten
_ALIGN = 64  # bytes: a cache line, and the widest vector register
_IN_PLACE: dict[Any, Callable] = {
    _aten.mul.Tensor: _aten.mul_.Tensor,
    _aten.add.Tensor: _aten.add_.Tensor,
    _aten.sub.Tensor: _aten.sub_.Tensor,
    _aten.div.Tensor: _aten.div_.Tensor,
}
_COMMUTATIVE = (_aten.mul.Tensor, _aten.add.Tensor)
_WITH_OUT: dict[Any, Callable] = {
    _aten.mul.Tensor: _aten.mul.out,
    _aten.add.Tensor: _aten.add.out,
    _aten.sub.Tensor: _aten.sub.out,
    _aten.div.Tensor: _aten.div.out,
    _aten.mm.default: _aten.mm.out,
    _aten.bmm.default: _aten.bmm.out,
    _aten.sum.dim_IntList: _aten.sum.IntList_out,
    _aten.cat.default: _aten.cat.out,
    _aten.stack.default: _aten.stack.out,
    _aten.clone.default: _aten.copy_.default,
}


class _Block:
    """Offsets in a block that grows as needed; the first gap that is wide enough is taken."""

    def __init__(self) -> None:
        self.size = 0
        self._taken: list[tuple[int, int]] = []  # (start, end), sorted

    def take(self, size: int) -> int:
        size = -(-size // _ALIGN) * _ALIGN
        start = 0
        for other, end in self._taken:
            if other - start >= size:
                break
            start = end
        self._taken.append((start, start + size))
        self._taken.sort()
        self.size = max(self.size, start + size)
        return start

    def give_back(self, start: int) -> None:
        self._taken = [place for place in self._taken if place[0] != start]


def _storage(node: Node) -> int | None:
    value = node.meta.get("val")
    return value.untyped_storage()._cdata if isinstance(value, Tensor) else None


def _written_over(node: Node, dying: set[int]) -> tuple[int, int] | None:
    """The position and the storage of an operand that an elementwise operation may write its result over."""
    if node.target not in _IN_PLACE:
        return None
    value = node.meta["val"]
    swapped = node.target in _COMMUTATIVE and not node.kwargs
    for position, operand in enumerate(node.args[: 2 if swapped else 1]):
        if isinstance(operand, Node) and (storage := _storage(operand)) in dying:
            other = operand.meta["val"]
            whole = other.untyped_storage().nbytes() == value.untyped_storage().nbytes()
            alone = sum(_storage(part) == storage for part in node.all_input_nodes) == 1
            if whole and alone and other.shape == value.shape and other.stride() == value.stride():
                return position, storage
    return None


@graph_step("giving results their places")
def use_one_block(module: GraphModule, dtype: torch.dtype, device: torch.device, *others: GraphModule) -> int:
    """Rewrite a traced graph so that its results lie in one block, and return the block's bytes.

    The graph's last results lie there too: they must be used before it runs again, or any of the `others`, which share
    the block. `dtype` is that of all
    floating-point results. Results of operations that cannot write to a given place get memory of their own.

    Of three products in a row the second needs another place than the first, and the third can have the first's again;
    a factor is multiplied in place:

    >>> from torch.fx.experimental.proxy_tensor import make_fx
    >>> from jepa_core.jacobian.graph_steps.step import listing
    >>> graph = make_fx(lambda x, w: (((x @ w) * 2) @ w) @ w, tracing_mode="fake")(torch.ones(4, 4), torch.ones(4, 4))
    >>> print(listing(graph.graph))
    x_1 is given
    w_1 is given
    mm = mm(x_1, w_1)
    mul = mul(mm)
    mm_1 = mm(mul, w_1)
    mm_2 = mm(mm_1, w_1)
    result: mm_2
    >>> use_one_block(graph, torch.float32, torch.device("cpu"))  # two places of 4 x 4 x 4 bytes
    128
    >>> print(listing(graph.graph))
    x_1 is given
    w_1 is given
    place_mm is a weight
    mm_out = mm(x_1, w_1, place_mm)
    mul__tensor = mul_(mm_out)
    place_mm_1 is a weight
    mm_out_1 = mm(mul__tensor, w_1, place_mm_1)
    place_mm_2 is a weight
    mm_out_2 = mm(mm_out_1, w_1, place_mm_2)
    result: mm_out_2
    """
    modules = (module, *others)
    found = [_places_of(list(each.graph.nodes), dtype) for each in modules]
    size = max(needed for needed, _buffers, _over in found)
    arena = torch.empty(size // dtype.itemsize, dtype=dtype, device=device)
    for each, (_needed, buffers, over) in zip(modules, found, strict=True):
        for node, start in buffers.items():
            _write_to(each, node, start // dtype.itemsize, arena)
        for node, position in over.items():
            _write_over(each.graph, node, position)
        each.graph.lint()
        each.recompile()
    return size


def _places_of(nodes: Sequence[Node], dtype: torch.dtype) -> tuple[int, dict[Node, int], dict[Node, int]]:
    """The block's bytes, where in it results begin, and for what is written over an operand, which one that is."""
    made = {storage: node for node in nodes if node.target in _WITH_OUT and (storage := _storage(node)) is not None}
    last_use: dict[int | None, int] = {}
    for place, node in enumerate(nodes):
        for part in (node, *node.all_input_nodes):
            last_use[_storage(part)] = place
    block = _Block()
    places: dict[int, int] = {}  # storage -> where it lies, while it is needed
    buffers: dict[Node, int] = {}
    over: dict[Node, int] = {}
    for place, node in enumerate(nodes):
        dying = {storage for storage in places if last_use[storage] == place}
        storage = _storage(node)
        if storage is not None and made.get(storage) is node:
            found = _written_over(node, dying)
            if found is None:
                places[storage] = buffers[node] = block.take(_bytes(node, dtype))
            else:
                over[node], old = found
                places[storage] = places.pop(old)
                dying.remove(old)
        for ended in dying:
            block.give_back(places.pop(ended))
    return block.size, buffers, over


def _bytes(node: Node, dtype: torch.dtype) -> int:
    return math.prod(node.meta["val"].shape) * dtype.itemsize


def _write_to(module: GraphModule, node: Node, start: int, arena: Tensor) -> None:
    graph, value, name = module.graph, node.meta["val"], f"place_{node.name}"
    # A plain attribute, not a buffer of the module: those are looked up slowly.
    setattr(module, name, torch.as_strided(arena, value.shape, value.stride(), start))
    with graph.inserting_before(node):
        buffer = graph.create_node("get_attr", name)
        function = _WITH_OUT[node.target]
        if function is _aten.copy_.default:
            written = graph.call_function(function, (buffer, node.args[0]))
        else:
            written = graph.call_function(function, node.args, {**node.kwargs, "out": buffer})
    node.replace_all_uses_with(written)
    graph.erase_node(node)


def _write_over(graph: Graph, node: Node, position: int) -> None:
    """Done in place, since the operand's strides may be others than were traced where a side has length 1."""
    operand, others = node.args[position], [part for place, part in enumerate(node.args) if place != position]
    with graph.inserting_before(node):
        written = graph.call_function(_IN_PLACE[node.target], (operand, *others), node.kwargs)
    node.replace_all_uses_with(written)
    graph.erase_node(node)
