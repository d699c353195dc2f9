"""An encoder taken apart into what depends on the image and what depends on the cotangents.

The vector-Jacobian products of a batch of images are traced into one graph of tensor operations, which is then divided:

- what depends on the weights alone is computed when the graph is made;
- what depends on the images but on no cotangent (the forward pass, attention maps, slopes), once a batch of images;
- the rest, which is linear in the cotangents, once for each chunk of them.

In that rest, rows of matrix products that must be zero are left out: behind class-token pooling the gradient of the
last block's MLP is zero at all tokens but one. And a patch embedding at its end is left to the caller, who may need no
pixels at all: the Gram of the Jacobian needs J J^T only, which a factor R with R R^T = W W^T gives as well as W.

Where an image is asked for so many rows that it pays, they meet each token's MLP as one matrix
(`jepa_core.jacobian.folded_mlps`).

Shapes are fixed when a graph is traced, so there is one for each number of images and of cotangents.

On a GPU the elementwise work between the matrix products, which waits for memory, takes longer than they do, so that a
graph which is used often is compiled there: PyTorch's compiler fuses it. It takes a minute, hence "often".
"""

import copy
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from jepa_core.jacobian.buffers import use_one_block
from jepa_core.jacobian.encoder_protocol import Embed
from jepa_core.jacobian.folded_mlps import FoldedMlps
from jepa_core.jacobian.graph_steps.cut_patch_embedding import cut_patch_embedding
from jepa_core.jacobian.graph_steps.divide import divide
from jepa_core.jacobian.graph_steps.leave_out_zeros import leave_out_zeros
from jepa_core.jacobian.graph_steps.trace import trace

_log = logging.getLogger(__name__)
_TINY = 1e-12  # below it a magnitude's log says nothing more


class Linearized:
    """The vector-Jacobian products of one encoder at fixed numbers of images and cotangents.

    Attributes:
        patch_weight: W (D, C, p, p) of a patch embedding that `product` leaves out, or None.
        bytes: of the block of memory in which the results of `product` lie (`jepa_core.jacobian.buffers`).
        uses: how many products there were, and how many looks (`looks`).
        cotangents: how many a product takes.
    """

    def __init__(self, f: Embed, images: Tensor, cotangents: int, dtype: torch.dtype) -> None:
        """Trace `f` at `images` (B, C, H, W); products are computed in `dtype`, all else in the images' own.

        Raises `GraphError` for a network that cannot be traced or divided.
        """
        self.uses = self.looks = 0
        self.cotangents = cotangents
        self._dtype = dtype
        graph = trace(f, images, cotangents)
        self.patch_weight = cut_patch_embedding(graph)
        parts = divide(graph)
        with torch.no_grad():
            fixed = parts.fixed()
            self._forward = parts.forward
            self._look: Callable[..., Any] = parts.look
            self._plain_look: GraphModule | None = parts.look
            self._for_forward = [fixed[place] for place in parts.to_forward]
            self._for_product = self._cast([fixed[place] for place in parts.to_product])
            directions = images.new_ones(cotangents, len(images), parts.width).to(dtype)
            constants = self.constants(images)[2]
            # What is picked by an index or a mask of the image may be another row for another image.
            if all(constant.is_floating_point() for constant in constants):
                leave_out_zeros(parts.product, [directions, *self._for_product, *constants])
            self._plain: GraphModule | None = GraphModule(parts.product, copy.deepcopy(parts.product.graph))
            self._folded: FoldedMlps | None = None
            if images.device.type == "cpu" and dtype != torch.bfloat16:  # elsewhere nobody has measured it
                self._folded = FoldedMlps(parts.product, [directions, *self._for_product, *constants])
            graphs = self._folded.graphs if self._folded else []
            self.bytes = use_one_block(parts.product, dtype, images.device, *graphs)
            self._product: Callable[..., Tensor] = parts.product

    def _cast(self, values: Iterable[Tensor]) -> list[Tensor]:
        return [value.to(self._dtype) if value.is_floating_point() else value for value in values]

    def constants(self, images: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """f(x) (B, K); the sizes (B, n) of what its Jacobian is made of; and what `product` needs of these images."""
        embedding, made_of, constants = self._forward(images, *self._for_forward)
        return embedding, _sizes(made_of, images), self._cast(constants)

    def look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """f(x) and the sizes alone: nothing is made that only products need."""
        self.looks += 1
        embedding, made_of = self._look(images, *self._for_forward)
        return embedding, _sizes(made_of, images)

    def product(self, directions: Tensor, constants: Sequence[Tensor]) -> Tensor:
        """The rows of directions (C, B, K): (C, B, ...) of image gradients, or (C * B, D, h, w) before the patches."""
        self.uses += 1
        return self._product(*self._given(directions, constants))

    def folding_pays(self, rows: int, room: float) -> bool:
        """Whether so many rows are made sooner by `products`, where it may use so many bytes beside the block."""
        return self._folded is not None and self._folded.pays(rows, room)

    def products(self, directions: Sequence[Tensor], constants: Sequence[Tensor]) -> Iterator[Tensor]:
        """`product` of each chunk of directions, one after the other, with MLPs folded: for many rows of an image."""
        assert self._folded is not None
        self.uses += len(directions)
        return self._folded.products(directions, [*self._for_product, *constants])

    def _given(self, directions: Tensor, constants: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return directions.to(self._dtype), *self._for_product, *constants

    def compile(self, directions: Tensor, constants: Sequence[Tensor]) -> None:
        """Put a compiled graph in the place of the one with fixed memory, if the machine has what compiling needs.

        It is tried once, with what `product` is about to be given; later calls do nothing.
        """
        if self._plain is None:
            return
        plain, self._plain = self._plain, None
        compiled = _compiled(plain, self._given(directions, constants))
        if compiled is not None:
            self._product, self.bytes = compiled, 0

    def compile_look(self, images: Tensor) -> None:
        """The same for `look`."""
        if self._plain_look is None:
            return
        plain, self._plain_look = self._plain_look, None
        compiled = _compiled(plain, (images, *self._for_forward))
        if compiled is not None:
            self._look = compiled


def _compiled(graph: GraphModule, given: Sequence[Tensor]) -> Callable[..., Any] | None:
    """The graph as PyTorch compiles it for what it is given, or None where the machine lacks what that needs."""
    compiled = torch.compile(graph, dynamic=False)
    try:
        with warnings.catch_warnings():  # "TensorFloat32 is not enabled": on purpose
            warnings.simplefilter("ignore")
            compiled(*given)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # no C compiler, no Triton, a driver too old: each has an error of its own
        _log.warning("The graph could not be compiled (%s), so it goes on as it is.", error)
        return None
    return compiled


def _sizes(made_of: Sequence[Tensor], images: Tensor) -> Tensor:
    """The log of the mean magnitude and the log of the mean square of each, image by image.

    The mean of the logs said little more, and took as long as half a forward pass.
    """
    found = [images.new_zeros(len(images), 0)]
    for part in made_of:
        values = part.unflatten(0, (len(images), -1))  # heads may lie in the first axis as well
        axes, count = tuple(range(1, values.ndim)), values[0].numel()
        means = [torch.linalg.vector_norm(values, p, dim=axes) ** p / count for p in (1, 2)]
        found.append(torch.stack([mean.clamp(min=_TINY).log() for mean in means], 1))
    return torch.cat(found, dim=1)
