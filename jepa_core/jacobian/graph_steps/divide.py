"""Divide a graph by what each of its nodes depends on: on weights alone, on the image, on the cotangents."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from torch import fx
from torch.fx import GraphModule, Node

from jepa_core.jacobian.graph_steps.step import graph_step


class Parts(NamedTuple):
    """What a graph is divided into.

    `fixed()` gives all values that depend on weights alone; `to_forward`, `to_product` say who needs which. `width` is
    K, the length of a cotangent.
    """

    fixed: GraphModule
    forward: GraphModule  # (images, *fixed) -> (embedding, what the Jacobian is made of, constants)
    look: GraphModule  # (images, *fixed) -> (embedding, what the Jacobian is made of), for who wants no product
    product: GraphModule  # (directions, *fixed, *constants) -> rows
    to_forward: list[int]
    to_product: list[int]
    width: int


def _reached(graph: fx.Graph, source: Node) -> set[Node]:
    """All nodes that depend on one."""
    found = {source}
    for node in graph.nodes:
        if node.op == "call_function" and not found.isdisjoint(node.all_input_nodes):
            found.add(node)
    return found


@graph_step("dividing the graph")
def divide(traced: GraphModule) -> Parts:
    """The parts of a traced graph, which is left as it was.

    For f(x) = sin(x 2W), with x one row of pixels: 2W and its transpose are computed once for all images; sine and
    cosine once an image; and what is left is linear in the cotangents.

    >>> import torch
    >>> from jepa_core.jacobian.graph_steps.step import listing
    >>> from jepa_core.jacobian.graph_steps.trace import trace
    >>> weight = torch.ones(2, 3)
    >>> parts = divide(trace(lambda x: (x.flatten(1) @ (2 * weight)).sin(), torch.zeros(1, 1, 1, 2), 4))
    >>> print(listing(parts.fixed.graph))
    _tensor_constant0 is a weight
    mul = mul(_tensor_constant0)
    t = t(mul)
    result: mul, t
    >>> print(listing(parts.forward.graph))
    given_0 is given
    given_1 is given
    view = view(given_0)
    mm = mm(view, given_1)
    sin = sin(mm)
    cos = cos(mm)
    result: sin, cos
    >>> print(listing(parts.product.graph))  # doctest: +ELLIPSIS
    given_0 is given
    given_1 is given
    given_2 is given
    mul_1 = mul(given_0, given_2)
    view_1 = view(mul_1)
    mm_1 = mm(view_1, given_1)
    ...
    >>> parts.to_forward, parts.to_product  # which of the two weights
    ([0], [1])
    """
    graph = traced.graph
    images, directions = (node for node in graph.nodes if node.op == "placeholder")
    by_direction = _reached(graph, directions)
    by_image = _reached(graph, images) - by_direction
    (embedding, made_of, rows) = next(node for node in graph.nodes if node.op == "output").args[0]
    made_of = [node for node in made_of if node in by_image]  # queries may be weights, as in attention pooling
    weights = [node for node in graph.nodes if node.op != "output" and node not in by_image | by_direction]

    def needed(users: set[Node], sources: Iterable[Node]) -> list[Node]:
        return [node for node in sources if not users.isdisjoint(node.users)]

    constants = needed(by_direction, [node for node in graph.nodes if node in by_image])
    from_weights = needed(by_image | by_direction, weights)
    to_forward, to_product = needed(by_image, weights), needed(by_direction, weights)
    return Parts(
        fixed=_part(traced, [], weights, from_weights),
        forward=_part(traced, [images, *to_forward], by_image, (embedding, made_of, constants)),
        look=_part(traced, [images, *to_forward], by_image, (embedding, made_of)),
        product=_part(traced, [directions, *to_product, *constants], by_direction, rows),
        to_forward=[from_weights.index(node) for node in to_forward],
        to_product=[from_weights.index(node) for node in to_product],
        width=directions.meta["val"].shape[-1],
    )


def _part(owner: GraphModule, inputs: Sequence[Node], chosen: Iterable[Node], outputs: Any) -> GraphModule:
    """The nodes `chosen`, in their order, as a graph of its own: `inputs` are given to it, `outputs` are its result."""
    graph, chosen = fx.Graph(), set(chosen)
    copies = {node: graph.placeholder(f"given_{place}") for place, node in enumerate(inputs)}
    for node in copies:
        copies[node].meta = node.meta
    for node in owner.graph.nodes:
        if node in chosen and node not in copies:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(fx.map_arg(outputs, copies.__getitem__))
    graph.eliminate_dead_code()
    made = GraphModule(owner, graph)
    made.graph.lint()
    return made
