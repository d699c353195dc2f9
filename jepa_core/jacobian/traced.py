"""The usual way to a Jacobian: the encoder is taken apart once, and cotangents share what depends on the image alone.

A graph (`jepa_core.jacobian.linearize`) has one size, so images and cotangents are filled up to what was planned: few
sizes do for all numbers. Two graphs are kept, for full parts of the images and for the few of what is left.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from jepa_core.jacobian.backend import Rows
from jepa_core.jacobian.batch_plan import BatchPlan, Sizes, plan_traced, room_between_segments
from jepa_core.jacobian.encoder_protocol import Embed
from jepa_core.jacobian.linearize import Linearized
from jepa_core.jacobian.precision import Precision, arithmetic

COMPILED_AFTER = 100
"""Products, or looks, of a graph on a GPU before it is compiled: so many take less time than compiling."""
# Traced graphs that are kept: for full parts of the images, and for the few of what is left.
_KEPT_GRAPHS = 2


class TracedBackend:
    """D J of `f` by traced graphs.

    Args:
        f: the encoder.
        example: any image (1, C, H, W); its shape, type and device are kept, its pixels are not looked at.
        precision: of the products; the forward part keeps the example's type.

    Attributes: `compiled_after`, the number of products of a graph on a GPU after which it is compiled.
    """

    name = "traced"

    def __init__(self, f: Embed, example: Float[Tensor, "1 channel height width"], precision: Precision) -> None:
        self.compiled_after = COMPILED_AFTER
        self._f = f
        self._example = example
        self._precision = precision
        self._graphs: dict[BatchPlan, Linearized] = {}
        self._factors: dict[bool, Tensor] = {}
        self._room = 0  # bytes for what lies in memory between the segments of a graph whose MLPs are folded

    def plan(self, sizes: Sizes, rows: int, device: torch.device, budget: int) -> BatchPlan:
        """As of `Backend`."""
        self._room = room_between_segments(sizes, rows, budget)
        return plan_traced(sizes, rows, device, budget, half=self._precision == "bf16")

    def forget(self) -> None:
        """Give back the memory of all graphs. Where it had run out, no MLPs are folded any more."""
        self._room = 0
        self._graphs.clear()

    def rows(
        self,
        images: Float[Tensor, "batch channel height width"],
        directions: Float[Tensor, "r k"],
        plan: BatchPlan,
        *,
        pixels: bool,
    ) -> Rows:
        """As of `Backend`. Raises whatever an encoder raises that cannot be traced."""
        count, rows, asked = plan.cotangents, None, len(images)
        images = _filled_up(images, plan)
        size = len(images)
        with torch.no_grad():
            graph = self._graph(BatchPlan(size, count))
            embedding, sizes, constants = graph.constants(images)
            with arithmetic(self._precision):
                for first, found in zip(
                    range(0, len(directions), count),
                    self._products(graph, directions, size, constants),
                    strict=True,
                ):
                    found = self._behind_patches(found, graph.patch_weight, pixels=pixels)
                    found = found.view(count, size, -1)[: len(directions) - first, :asked]
                    if rows is None:
                        rows = found.new_empty(asked, len(directions), found.shape[-1])
                    rows[:, first : first + count] = found.transpose(0, 1)
        assert rows is not None
        return Rows(rows, embedding[:asked], torch.cat([sizes, embedding], dim=1)[:asked])

    def forward(
        self, images: Float[Tensor, "batch channel height width"], plan: BatchPlan
    ) -> tuple[Float[Tensor, "batch k"], Float[Tensor, "batch features"]]:
        """As of `Backend`. Raises as `rows`."""
        filled = _filled_up(images, plan)
        with torch.no_grad():
            graph = self._graph(BatchPlan(len(filled), plan.cotangents))
            if filled.is_cuda and graph.looks >= self.compiled_after:
                graph.compile_look(filled)
            embedding, sizes = graph.look(filled)
        return embedding[: len(images)], torch.cat([sizes, embedding], dim=1)[: len(images)]

    def _products(
        self, graph: Linearized, directions: Tensor, size: int, constants: Sequence[Tensor]
    ) -> Iterator[Tensor]:
        """The graph's products, chunk by chunk; MLPs are folded where that pays and there is room."""
        if graph.folding_pays(len(directions), self._room):
            chunks = [self._padded(chunk, graph, size) for chunk in directions.split(graph.cotangents)]
            yield from graph.products(chunks, constants)
            return
        for chunk in directions.split(graph.cotangents):
            padded = self._padded(chunk, graph, size)
            if padded.is_cuda and graph.uses >= self.compiled_after:
                graph.compile(padded, constants)
            yield graph.product(padded, constants)

    @staticmethod
    def _padded(chunk: Tensor, graph: Linearized, size: int) -> Tensor:
        """Directions (r, K) as cotangents (C, B, K), the same for all images, with zeros where r < C."""
        padded = chunk.new_zeros(graph.cotangents, size, chunk.shape[1])
        padded[: len(chunk)] = chunk[:, None]
        return padded

    def _graph(self, size: BatchPlan) -> Linearized:
        if size not in self._graphs:
            dtype = torch.bfloat16 if self._precision == "bf16" else self._example.dtype
            batch = self._example.repeat(size.images, 1, 1, 1)
            made = Linearized(self._f, batch, size.cotangents, dtype)
            while len(self._graphs) >= _KEPT_GRAPHS:
                del self._graphs[next(iter(self._graphs))]
            self._graphs[size] = made
        return self._graphs[size]

    def _behind_patches(self, found: Tensor, weight: Tensor | None, *, pixels: bool) -> Tensor:
        """Behind a patch embedding with weight W, token gradients times W; without pixels, times R with R R^T = W W^T.

        R (D x D) makes the same Gram as W (D x C p p), and is narrower for most ViTs.
        """
        if weight is None:
            return found.reshape(-1, self._example.numel())
        if pixels not in self._factors:
            factor = weight.flatten(1) if pixels else narrow(weight.flatten(1))
            self._factors[pixels] = factor.to(found.dtype)
        grid = found.shape[2:]
        values = found.flatten(2).mT @ self._factors[pixels]
        if pixels:
            channels, high, wide = weight.shape[1:]
            values = values.reshape(-1, *grid, channels, high, wide).permute(0, 3, 1, 4, 2, 5)
        return values.reshape(len(values), -1)


def _filled_up(images: Tensor, plan: BatchPlan) -> Tensor:
    """The images, the last of them repeated up to a number that there is a graph for."""
    size = plan.images if len(images) > plan.few else plan.few
    return torch.cat([images, images[-1:].expand(size - len(images), -1, -1, -1)])


def narrow(weight: Float[Tensor, "d p"]) -> Float[Tensor, "d q"]:
    """R with R R^T = W W^T and at most D columns, from W (D x P).

    >>> narrow(torch.tensor([[3.0, 0.0, 4.0]])).abs()
    tensor([[5.]])
    """
    if weight.shape[1] <= weight.shape[0]:
        return weight
    wide = weight.double().cpu()
    eigenvalues, vectors = torch.linalg.eigh(wide @ wide.mT)
    return (vectors * eigenvalues.clip(0).sqrt()).to(weight)
