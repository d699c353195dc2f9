"""All cotangents meet each token's MLP as one matrix, where there are so many that it pays.

For an MLP x -> W2 s(W1 x) with d numbers outside and h inside, a product at a token takes 2 d h multiplications for
each of r cotangents. Its matrix M = W2 diag(s') W1 takes d h d once, and d d for each cotangent: with h = 4 d and
r = d, 5 d^3 in place of 8 d^3. For a gated MLP, M = W3 (diag(a) W1 + diag(b) W2) with the two slopes.

M is of no use to a few cotangents. So the graph is cut at its MLPs: in between, as many cotangents as fit the caches go
on together, as ever, and what they have come to lies in memory until all of them are there.
"""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx import GraphModule, Node

from jepa_core.jacobian.graph_steps.cut_at_mlps import Mlp, Segment, cut_at_mlps, find_mlps

WIDTH = 768
"""Narrower MLPs are not folded: the matrices of a token would be too small for their products to be quick."""
_GAIN = 1.25  # times fewer multiplications must it be: the matrices of a token are built with passes over memory
_NEAR = 1e-3  # how far a folded product of the check may be off, as a share of its length


class FoldedMlps:
    """The products of a graph with its MLPs folded.

    Args:
        product: the graph of the products of C cotangents (`jepa_core.jacobian.linearize`), which is left as it was.
        inputs: what it is given, with any directions (C, B, K).
    """

    def __init__(self, product: GraphModule, inputs: Sequence[Tensor]) -> None:
        self._cotangents = len(inputs[0])
        self._inputs = [node for node in product.graph.nodes if node.op == "placeholder"]
        found = find_mlps(product, self._cotangents)
        self._mlps = [mlp for mlp in found if mlp.second.meta["val"].shape[1] >= WIDTH]
        self._segments: list[Segment] = []
        self._between: dict[Node, Tensor] = {}  # what lies between segments, without its numbers
        if self._mlps:
            segments = cut_at_mlps(product, self._mlps)
            self._between = self._checked(product, segments, inputs)
            self._segments = segments if self._between else []

    @property
    def graphs(self) -> list[GraphModule]:
        """The graphs of all segments; none where no MLP is folded."""
        return [segment.module for segment in self._segments]

    def pays(self, rows: int, room: float) -> bool:
        """Whether so many rows take clearly fewer multiplications with it, in so many bytes beside the block."""
        if not self._segments or self.bytes(rows) > room:
            return False
        plain = folded = 0
        for mlp in self._mlps:
            (wide, inner), (several, narrow) = mlp.first.meta["val"].shape, mlp.second.meta["val"].shape
            plain += rows * (wide * inner + several * narrow)
            folded += wide * several * narrow + rows * wide * narrow
        return plain >= _GAIN * folded

    def products(self, directions: Sequence[Tensor], inputs: Sequence[Tensor]) -> Iterator[Tensor]:
        """What the graph makes of each chunk of directions (C, B, K); it must be used before the next is asked for.

        `inputs` are the graph's others.
        """
        shared = dict(zip(self._inputs[1:], inputs, strict=True))
        stored: dict[Node, Tensor] = {}
        *segments, last = self._segments
        for place, segment in enumerate(segments):
            for chunk, made in self._through(segment, directions, stored, shared):
                for node, value in zip(segment.made, made, strict=True):
                    if node not in stored:
                        stored[node] = value.new_empty(len(directions) * len(value), *value.shape[1:])
                    self._part(stored[node], node, chunk).copy_(value)
            needed = self._needed(place)
            for mlp in segment.mlps:
                over = _may_be_written_over(mlp, segment, needed)
                stored[mlp.result] = _through_mlp(mlp, stored[mlp.rows], shared, over=over)
            stored = {node: value for node, value in stored.items() if node in needed}
        for _chunk, (rows,) in self._through(last, directions, stored, shared):
            yield rows

    def _through(
        self, segment: Segment, directions: Sequence[Tensor], stored: dict[Node, Tensor], shared: dict[Node, Tensor]
    ) -> Iterator[tuple[int, tuple[Tensor, ...]]]:
        """What a segment makes of each chunk."""
        others = [shared[node] for node in segment.shared]
        for chunk, rows in enumerate(directions):
            given = [
                rows if node is self._inputs[0] else self._part(stored[node], node, chunk) for node in segment.given
            ]
            yield chunk, segment.module(*given, *others)

    def _part(self, whole: Tensor, node: Node, chunk: int) -> Tensor:
        count = len(self._between[node])
        return whole[chunk * count : (chunk + 1) * count]

    def _needed(self, place: int) -> set[Node]:
        """What segments after the one at a place are given."""
        return {node for later in self._segments[place + 1 :] for node in later.given}

    def bytes(self, rows: int) -> int:
        """The most bytes that lie between segments for so many rows."""
        chunks = math.ceil(rows / self._cotangents)
        most, kept = 0, set[Node]()
        for place, segment in enumerate(self._segments[:-1]):
            needed = self._needed(place)
            kept |= set(segment.made)
            kept |= {mlp.result for mlp in segment.mlps if not _may_be_written_over(mlp, segment, needed)}
            most = max(most, sum(self._between[node].nbytes for node in kept))
            kept = (kept | {mlp.result for mlp in segment.mlps}) & needed
        return chunks * most

    def _checked(
        self, product: GraphModule, segments: Sequence[Segment], inputs: Sequence[Tensor]
    ) -> dict[Node, Tensor]:
        """What lies between segments, by its node, as tensors without numbers; nothing where the cut would be wrong.

        The graph runs once with one cotangent other than zero, the last: what lies between segments must be zero but
        for the last of C equal parts, and each MLP's result at a token that of its matrix.
        """
        directions = torch.zeros_like(inputs[0])
        directions[-1] = torch.randn(directions.shape[1:], generator=torch.Generator().manual_seed(0)).to(directions)
        between = {node for segment in segments[1:] for node in segment.given} | {mlp.rows for mlp in self._mlps}
        seen = _seen(product, [directions, *inputs[1:]], between - {self._inputs[0]})
        shared = dict(zip(self._inputs[1:], inputs[1:], strict=True))
        for value in seen.values():
            rows, left = divmod(len(value), self._cotangents)
            if left or value[: len(value) - rows].any():
                return {}
        for mlp in self._mlps:
            token = mlp.tokens // 2
            given, result = (seen[node][token - mlp.tokens] for node in (mlp.rows, mlp.result))
            found = given @ _matrices(mlp, shared)(token)
            if not (found - result).norm() <= _NEAR * result.norm():
                return {}
        return {node: value.to("meta") for node, value in seen.items()}


def _seen(product: GraphModule, inputs: Sequence[Tensor], nodes: set[Node]) -> dict[Node, Tensor]:
    """The values of some nodes of a graph while it runs."""
    seen: dict[Node, Tensor] = {}

    class Watch(fx.Interpreter):
        def run_node(self, n: Node) -> Any:
            value = super().run_node(n)
            if n in nodes:
                seen[n] = value
            return value

    Watch(product).run(*inputs)
    return seen


def _may_be_written_over(mlp: Mlp, segment: Segment, needed: set[Node]) -> bool:
    """Whether an MLP's results can take the place of its rows: they are as wide, and nobody else needs the rows."""
    as_wide = mlp.first.meta["val"].shape[0] == mlp.second.meta["val"].shape[1]
    return as_wide and mlp.rows not in needed and sum(other.rows is mlp.rows for other in segment.mlps) == 1


def _slopes(mlp: Mlp, shared: dict[Node, Tensor]) -> list[Tensor]:
    """The slopes (T, h) of each branch."""
    found = []
    for branch in mlp.branches:
        slope = functools.reduce(torch.mul, [shared[node] for node in branch])
        slope = slope.reshape(slope.shape[-len(mlp.shape) :])  # it may have an axis of length 1 for the cotangents
        found.append(slope.expand(mlp.shape).reshape(mlp.tokens, -1))
    return found


def _matrices(mlp: Mlp, shared: dict[Node, Tensor]) -> Callable[[int], Tensor]:
    """The matrix M (d, d') of the token asked for, in the same memory each time."""
    first, second, slopes = shared[mlp.first], shared[mlp.second], _slopes(mlp, shared)
    width = first.shape[1]
    bent, matrix = first.new_empty(len(first), width * len(slopes)), first.new_empty(len(first), second.shape[1])

    def of(token: int) -> Tensor:
        for place, slope in enumerate(slopes):
            torch.mul(first, slope[token], out=bent[:, place * width : (place + 1) * width])
        return torch.mm(bent, second, out=matrix)

    return of


def _through_mlp(mlp: Mlp, rows: Tensor, shared: dict[Node, Tensor], *, over: bool) -> Tensor:
    """The MLP's results (r T, d') of rows (r T, d), token by token; written over the rows or not."""
    given, matrix_of = rows.view(-1, mlp.tokens, rows.shape[1]), _matrices(mlp, shared)
    found = rows.new_empty(len(given), shared[mlp.second].shape[1])
    results = given if over else rows.new_empty(len(given), mlp.tokens, found.shape[1])
    for token in range(mlp.tokens):
        results[:, token] = torch.mm(given[:, token], matrix_of(token), out=found)
    return results.view(-1, found.shape[1])
