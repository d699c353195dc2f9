"""Cut a graph of products at its MLPs, so that all cotangents can meet each token's MLP as one matrix.

At a token the derivative of an MLP x -> W2 s(W1 x) is the matrix W2 diag(s') W1: the slope s' depends on the image
alone. `jepa_core.jacobian.folded_mlps` makes it, which needs all cotangents in one place.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import fx
from torch.fx import GraphModule, Node

from jepa_core.jacobian.graph_steps.step import graph_step

_aten = torch.ops.aten
_VIEWS = (_aten.view.default, _aten._unsafe_view.default, _aten.reshape.default)


class Mlp(NamedTuple):
    """Products with the derivatives of an MLP at T tokens: rows (C T, d) -> (C T, d').

    `first` (d x h) and `second` (h' x d') are weights. In between, each of `branches` multiplies the h numbers by its
    slopes, and the branches lie side by side: one for W2 s(W1 x), two for a gated MLP. `shape` is that of the h numbers
    of all tokens, (B, N, h), and `inner` is what lies between rows and result.
    """

    rows: Node
    result: Node
    first: Node
    second: Node
    branches: list[list[Node]]
    shape: torch.Size
    inner: list[Node]

    @property
    def tokens(self) -> int:
        """T, of all images."""
        return self.shape[:-1].numel()


class Segment(NamedTuple):
    """A part of the graph that one chunk of cotangents passes at a time, and the MLPs that follow it.

    `module`: (*given, *shared) -> made. `given` and `made` are values that depend on the cotangents, `shared` are
    inputs of the whole graph that do not.
    """

    module: GraphModule
    given: list[Node]
    shared: list[Node]
    made: list[Node]
    mlps: list[Mlp]


@graph_step("finding MLPs")
def find_mlps(product: GraphModule, cotangents: int) -> list[Mlp]:
    """The MLPs in a graph of the products of so many cotangents, in the order of the products.

    >>> from jepa_core.jacobian.graph_steps.divide import divide
    >>> from jepa_core.jacobian.graph_steps.trace import trace
    >>> f = lambda x: ((x.flatten(1) @ torch.ones(2, 8)).sin() @ torch.ones(8, 2)).cos()
    >>> [mlp] = find_mlps(divide(trace(f, torch.zeros(1, 1, 1, 2), 3)).product, 3)
    >>> mlp.rows.name, mlp.result.name, mlp.shape, [len(slopes) for slopes in mlp.branches]
    ('view_1', 'mm_3', torch.Size([1, 8]), [1])
    """
    return [found for node in product.graph.nodes if (found := _mlp_at(node, cotangents))]


@graph_step("cutting at MLPs")
def cut_at_mlps(product: GraphModule, mlps: Sequence[Mlp]) -> list[Segment]:
    """A graph of products as segments, in the order of their work, with some of its MLPs in between.

    In f(x) = cos(sin(x W1) W2) cotangents are multiplied by the cosine's slope before the MLP, and nothing is left to
    do behind it but to give the result its shape:

    >>> from jepa_core.jacobian.graph_steps.divide import divide
    >>> from jepa_core.jacobian.graph_steps.step import listing
    >>> from jepa_core.jacobian.graph_steps.trace import trace
    >>> f = lambda x: ((x.flatten(1) @ torch.ones(2, 8)).sin() @ torch.ones(8, 2)).cos()
    >>> product = divide(trace(f, torch.zeros(1, 1, 1, 2), 3)).product
    >>> before, behind = cut_at_mlps(product, find_mlps(product, 3))
    >>> print(listing(before.module.graph))
    given_0 is given
    given_1 is given
    mul = mul(given_0, given_1)
    view_1 = view(mul)
    result: view_1
    """
    rows_of = {mlp.result: mlp.rows for mlp in mlps}
    left_out = {node for mlp in mlps for node in (*mlp.inner, mlp.result)}
    levels: dict[Node, int] = {}  # how many MLPs come before
    for node in product.graph.nodes:
        if node in rows_of:
            levels[node] = levels[rows_of[node]] + 1
        else:
            levels[node] = max((levels[other] for other in node.all_input_nodes), default=0)
    segments = []
    for level in range(1 + max(levels.values())):
        nodes = [
            node
            for node in product.graph.nodes
            if node.op == "call_function" and levels[node] == level and node not in left_out
        ]
        following = [mlp for mlp in mlps if levels[mlp.rows] == level]
        segments.append(_segment(product, nodes, following, left_out - set(rows_of)))
    return segments


def _segment(owner: GraphModule, nodes: Sequence[Node], mlps: list[Mlp], inner: set[Node]) -> Segment:
    """The nodes as a graph of their own, which makes all that others need of them."""
    directions = next(iter(owner.graph.nodes))
    chosen, rows = set(nodes), {mlp.rows for mlp in mlps}
    made = [node for node in nodes if node in rows or any(user not in chosen | inner for user in node.users)]
    outside = list(dict.fromkeys(other for node in nodes for other in node.all_input_nodes if other not in chosen))
    given = [node for node in outside if node.op == "call_function" or node is directions]
    shared = [node for node in outside if node.op == "placeholder" and node is not directions]
    graph = fx.Graph()
    copies = {node: graph.placeholder(f"given_{place}") for place, node in enumerate((*given, *shared))}
    for node in copies:
        copies[node].meta = node.meta
    for node in outside:
        if node.op == "get_attr":
            copies[node] = graph.node_copy(node)
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(tuple(copies[node] for node in made))
    graph.lint()
    return Segment(GraphModule(owner, graph), given, shared, made, mlps)


def _mlp_at(node: Node, cotangents: int) -> Mlp | None:
    """The MLP whose last product a node is, or None."""
    if node.target is not _aten.mm.default or _args(node)[1].op != "placeholder":
        return None
    inside, second = _args(node)
    passed = {node}  # from the last product back to the first: nothing else may need what lies in between
    middle = _before_views(inside, passed)
    parts = [middle]
    if middle.target is _aten.cat.default and _only_for(middle, passed) and "val" in middle.meta:
        parts, axis = (*_args(middle), 0)[:2]
        if axis % middle.meta["val"].ndim != middle.meta["val"].ndim - 1:
            return None
        passed.add(middle)
    found = [_before_slopes(part, passed) for part in parts]
    branches, bases = [slopes for _base, slopes in found], {base for base, _slopes in found}
    base = bases.pop()
    if bases or not all(branches) or "val" not in base.meta:
        return None
    shape = base.meta["val"].shape
    if shape[0] != cotangents or not all(_per_token(slope, shape[1:]) for slopes in branches for slope in slopes):
        return None
    product = _before_views(base, passed)
    if product.target is not _aten.mm.default or not _only_for(product, passed):
        return None
    rows, first = _args(product)
    if rows.op != "call_function" or first.op != "placeholder":
        return None
    return Mlp(rows, node, first, second, branches, shape[1:], [product, *(passed - {node})])


def _args(node: Node) -> Any:
    return node.args


def _only_for(node: Node, passed: set[Node]) -> bool:
    return set(node.users) <= passed


def _before_views(node: Node, passed: set[Node]) -> Node:
    while node.target in _VIEWS and _only_for(node, passed):
        passed.add(node)
        node = _args(node)[0]
    return node


def _before_slopes(node: Node, passed: set[Node]) -> tuple[Node, list[Node]]:
    """What a chain of products with inputs of the graph begins with, and those inputs."""
    slopes = []
    while node.target is _aten.mul.Tensor and _only_for(node, passed):
        given = [part for part in node.all_input_nodes if part.op == "placeholder"]
        others = [part for part in node.all_input_nodes if part.op == "call_function"]
        if len(given) != 1 or len(others) != 1:
            break
        slopes.append(given[0])
        passed.add(node)
        node = others[0]
    return node, slopes


def _per_token(slope: Node, shape: torch.Size) -> bool:
    """Whether an input has one number for each of a token's, and none for a cotangent."""
    own = slope.meta["val"].shape
    while own and len(own) > len(shape) and own[0] == 1:
        own = own[1:]
    return len(own) <= len(shape) and torch.broadcast_shapes(own, shape) == shape
