"""A graph is divided by what each of its nodes depends on."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from torch import fx
from torch.fx import GraphModule, Node


class Parts(NamedTuple):
    """`fixed()` gives all values that depend on weights alone; `to_forward`, `to_product` say who needs which."""

    fixed: GraphModule
    forward: GraphModule  # (images, *fixed) -> (embedding, what the Jacobian is made of, constants)
    product: GraphModule  # (directions, *fixed, *constants) -> rows
    to_forward: list[int]
    to_product: list[int]
    width: int


def _reached(graph: fx.Graph, source: Node) -> set[Node]:
    found = {source}
    for node in graph.nodes:
        if node.op == "call_function" and not found.isdisjoint(node.all_input_nodes):
            found.add(node)
    return found


def divide(traced: GraphModule) -> Parts:
    """Divide a traced graph into three."""
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
        product=_part(traced, [directions, *to_product, *constants], by_direction, rows),
        to_forward=[from_weights.index(node) for node in to_forward],
        to_product=[from_weights.index(node) for node in to_product],
        width=directions.meta["val"].shape[-1],
    )


def _part(owner: GraphModule, inputs: Sequence[Node], chosen: Iterable[Node], outputs: Any) -> GraphModule:
    """The nodes `chosen`, in their order, as a graph of its own."""
    graph, chosen = fx.Graph(), set(chosen)
    copies = {node: graph.placeholder(f"given_{place}") for place, node in enumerate(inputs)}
    for node in copies:
        copies[node].meta = node.meta
    for node in owner.graph.nodes:
        if node in chosen and node not in copies:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(fx.map_arg(outputs, copies.__getitem__))
    graph.eliminate_dead_code()
    return GraphModule(owner, graph)
