"""The last steps of an encoder, from the graph that autograd keeps of it: what they cannot pass on is lost to the rank.

All of an image goes through certain points of the graph: the embedding, what it is pooled from, the input of the last
norm, at last the image itself. Where such a point has fewer numbers than the embedding, these bound the rank. And the
derivative of the embedding by the earliest of them that is cheap to reach shows directions that the steps in between
remove, whatever they are called: there its singular values step down.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from jepa_core.jacobian.spectrum import Rank

# Multiplications that all products with the derivative of the last steps may take: a few seconds, once an encoder.
_WORK = 1e10
# Places that a column is folded into.
_HASHES = 4
# Products with matrices that the last steps may have: a whole small network is no end of one.
_DEPTH = 4
# What is removed is that far below the last singular value that is not: a norm's eps leaves a trace of it.
_STEP = 1e-3
# Nodes of autograd's graph by parts of their names: products with matrices, and what has no slope in places.
_PRODUCTS = ("mm", "Conv", "Linear", "Attention", "matmul")
_STILL = ("Relu", "Threshold", "Hardtanh", "Hardswish", "Hardsigmoid", "Clamp", "MaxPool", "MaxDim", "Amax")


class _Point(NamedTuple):
    """A node of autograd's graph through which everything goes, and which of its outputs are used."""

    node: Any
    places: tuple[int, ...]

    @property
    def numbers(self) -> int:
        """How many numbers it has, over the whole batch."""
        return sum(math.prod(self.node._input_metadata[place].shape) for place in self.places)


def rank_of(embedding: Tensor, images: Tensor) -> Rank:
    """The rank that the last steps leave an embedding (B, K) that was computed from `images` with a gradient."""
    batch, k = embedding.shape
    points, reachable = _points(embedding, images)
    pixels = images[0].numel()
    narrow = min(k, pixels, *[point.numbers // batch for point in points])
    if narrow == pixels < k:
        return Rank(pixels, f"the input has only {pixels} numbers, fewer than the {k} of the embedding")
    left, still = _left(embedding, reachable) if reachable else (k, False)
    if narrow < k and narrow <= left:
        return Rank(narrow, f"the {k} numbers of the embedding are made of {narrow}")
    if still:
        return Rank(
            left,
            f"some numbers of an image stand still, others at each (the last step has no slope in places, as a ReLU); "
            f"of {k} directions {left} are left at both images of a fixed probe",
        )
    if left < k:
        return Rank(left, f"the last steps remove {k - left} of {k} directions")
    return Rank(k, "no layer at the end removes a direction")


def _points(embedding: Tensor, images: Tensor) -> tuple[list[_Point], _Point | None]:
    """All points that everything goes through, from the embedding on, and the last of them that is cheap to reach."""
    root: Any = embedding.grad_fn
    k = embedding.shape[1]
    leaf = torch.autograd.graph.get_gradient_edge(images).node
    uses = _uses(root, leaf)
    waiting: dict[Any, set[int]] = {root: {embedding.output_nr}}
    left = {node: len(users) for node, users in uses.items()}
    ready, points = [root], []
    work, products = 0.0, 0
    reachable: _Point | None = None
    while ready:
        node = ready.pop()
        if len(waiting) == 1:
            point = _Point(node, tuple(sorted(waiting[node])))
            points.append(point)
            if node is not root and work * k <= _WORK:
                reachable = point
        del waiting[node]
        work += _multiplications(node)
        name = node.name()
        products += any(word in name for word in _PRODUCTS)
        if products > _DEPTH or (products and any(word in name for word in _STILL)):
            work = math.inf  # what a ReLU stops is mixed into all numbers, and is another part of each image
        for follower, place in node.next_functions:
            if follower not in uses:
                continue
            waiting.setdefault(follower, set()).add(place)
            left[follower] -= 1
            if not left[follower]:
                ready.append(follower)
    return points, reachable


def _uses(root: Any, leaf: Any) -> dict[Any, list[Any]]:
    """The nodes between the embedding and the images, each with its users (one entry for each edge)."""
    order, seen, stack = [], {root}, [(root, iter(root.next_functions))]
    while stack:
        node, followers = stack[-1]
        follower = next((one for one, _place in followers if one is not None and one not in seen), None)
        if follower is None:
            order.append(node)
            stack.pop()
        else:
            seen.add(follower)
            stack.append((follower, iter(follower.next_functions)))
    leads = {leaf}
    for node in order:  # the inputs of a node come before it
        if any(follower in leads for follower, _place in node.next_functions):
            leads.add(node)
    uses: dict[Any, list[Any]] = {node: [] for node in order if node in leads}
    for node in uses:
        for follower, _place in node.next_functions:
            if follower in uses:
                uses[follower].append(node)
    return uses


def _multiplications(node: Any) -> float:
    """About how many the backward pass of a node takes; infinity for a product whose sizes it does not tell."""
    shape = node._input_metadata[0].shape if node._input_metadata else ()
    numbers, name = math.prod(shape), node.name()
    if not any(word in name for word in _PRODUCTS):
        return 4.0 * numbers  # elementwise work waits for memory
    try:
        if "Conv" in name:
            return float(numbers * node._saved_weight[0].numel())
        sizes = node._saved_mat1_sym_sizes if "Addmm" in name else node._saved_self_sym_sizes
        return float(numbers * sizes[-1])
    except (AttributeError, RuntimeError):
        pass
    try:  # what is not needed for another gradient is not saved, but the other factor is
        return float(numbers * node._saved_mat2.shape[-2])
    except (AttributeError, RuntimeError):
        return math.inf


def _left(embedding: Tensor, point: _Point) -> tuple[int, bool]:
    """How many directions the steps behind a point leave, and whether some numbers of an image do not move at all.

    It is the most among the images, unless some stand still: then the fewest, so that what is summed moves at all.
    """
    batch, k = embedding.shape
    edges = [GradientEdge(point.node, place) for place in point.places]
    fold = _Fold(point.numbers // batch, k)
    rows = torch.zeros(batch, k, fold.columns)
    for row in range(k):
        found = torch.autograd.grad(
            embedding[:, row].sum(), edges, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        rows[:, row] = fold(torch.cat([part.detach().float().reshape(batch, -1) for part in found], dim=1).cpu())
    moving = [image[(image != 0).any(dim=1)].double() for image in rows]
    left = [_numerical_rank(image) for image in moving]
    still = any(len(image) < k for image in moving)
    return min(left) if still else max(left), still


class _Fold:
    """Many columns into about twice as many as there are rows, which keeps the rank of even the emptiest rows.

    Each column goes to a few places at random, with random weights: two that meet in one place part in the others.
    """

    def __init__(self, numbers: int, rows: int) -> None:
        self.columns = numbers if numbers <= 4 * rows else 2 * rows
        self._numbers = numbers
        self._hashes: list[tuple[Tensor, Tensor]] = []
        generator = torch.Generator().manual_seed(0)
        for _ in range(_HASHES if numbers > self.columns else 0):
            padded = -(-numbers // self.columns) * self.columns
            places = torch.randperm(padded, generator=generator)
            self._hashes.append((places, torch.randn(padded, generator=generator)))

    def __call__(self, rows: Tensor) -> Tensor:
        if not self._hashes:
            return rows
        padded = torch.nn.functional.pad(rows, (0, len(self._hashes[0][0]) - self._numbers))
        parts = [(padded * w)[:, at].view(len(rows), -1, self.columns).sum(1) for at, w in self._hashes]
        return torch.stack(parts).sum(0)


def _numerical_rank(rows: Tensor) -> int:
    """Where the singular values step down, else how many rows there are."""
    if not len(rows) or not rows.isfinite().all():
        return len(rows)
    sigma = torch.linalg.eigvalsh(rows @ rows.mT).flip(0).clamp_min(0).sqrt()
    steps = (sigma[1:] <= _STEP * sigma[:-1]).nonzero()
    return int(steps[0]) + 1 if len(steps) else len(rows)
