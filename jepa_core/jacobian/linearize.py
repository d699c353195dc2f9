"""An encoder taken apart into what depends on the image and what depends on the cotangents.

The vector-Jacobian products of a batch of images are traced into one graph of tensor operations, which is then divided:

- what depends on the weights alone is computed when the graph is made;
- what depends on the images but on no cotangent (the forward pass, attention maps, slopes), once a batch of images;
- the rest, which is linear in the cotangents, once for each chunk of them.

In that rest, rows of matrix products that must be zero are left out: behind class-token pooling the gradient of the
last block's MLP is zero at all tokens but one. And a patch embedding at its end is left to the caller, who may need no
pixels at all: the Gram of the Jacobian needs J J^T only, which a factor R with R R^T = W W^T gives as well as W.

Shapes are fixed when a graph is traced, so there is one for each number of images and of cotangents.

On a GPU the elementwise work between the matrix products, which waits for memory, takes longer than they do, so that a
graph which is used often is compiled there: PyTorch's compiler fuses it. It takes a minute, hence "often".
"""

import copy
import logging
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx
from torch._decomp import get_decompositions
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from jepa_core.jacobian.buffers import use_one_block
from jepa_core.jacobian.vjp_rules import Rules

Embed = Callable[[Tensor], Tensor]
"""A differentiable map from images (B, C, H, W) to embeddings (B, K), each image on its own."""

_log = logging.getLogger(__name__)
_aten = torch.ops.aten
# After so many products of a graph on a GPU it is compiled: before, they take less time than compiling.
COMPILED_AFTER = 100
# Kernels that compute a constant of the image together with the product; in parts, the constant is shared.
_DECOMPOSITIONS: Any = get_decompositions(
    [
        _aten._softmax_backward_data,
        _aten.native_layer_norm_backward,
        _aten.slice_backward,
        _aten.select_backward,
        _aten.sigmoid_backward,
        _aten.tanh_backward,
    ]
)
_VIEWS = (_aten.view.default, _aten._unsafe_view.default, _aten.reshape.default)
_TINY = 1e-12  # below it a magnitude's log says nothing more
# A matrix product is cut down where at most this share of the rows (or of what is summed over) can be other than zero.
_SPARSE = 0.5


class Linearized:
    """The vector-Jacobian products of one encoder at fixed numbers of images and cotangents.

    Attributes: `patch_weight` (D, C, p, p), the weight of a patch embedding that `product` leaves out, or None.
    """

    def __init__(self, f: Embed, images: Tensor, cotangents: int, dtype: torch.dtype) -> None:
        """Trace `f` at `images` (B, C, H, W); products are computed in `dtype`, all else in the images' own.

        Raises whatever a network raises that cannot be traced.
        """
        self._dtype = dtype
        self._uses = 0
        self._plain: GraphModule | None = None  # what may still be compiled
        graph = _trace(f, images, cotangents)
        self.patch_weight = _cut_patch_embedding(graph)
        parts = _divide(graph)
        with torch.no_grad():
            fixed = parts.fixed()
            self._forward = parts.forward
            self._for_forward = [fixed[place] for place in parts.to_forward]
            self._for_product = self._cast([fixed[place] for place in parts.to_product])
            product = parts.product
            directions = images.new_ones(cotangents, len(images), parts.width).to(dtype)
            constants = self.constants(images)[2]
            # What is picked by an index or a mask of the image may be another row for another image.
            if all(constant.is_floating_point() for constant in constants):
                _leave_out_zeros(product, [directions, *self._for_product, *constants])
            if images.is_cuda:
                self._plain = GraphModule(product, copy.deepcopy(product.graph))
            self.bytes = use_one_block(product, dtype, images.device)
            self._product: Callable[..., Tensor] = product

    def _cast(self, values: Iterable[Tensor]) -> list[Tensor]:
        return [value.to(self._dtype) if value.is_floating_point() else value for value in values]

    def constants(self, images: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """f(x) (B, K); the sizes (B, n) of what its Jacobian is made of; and what `product` needs of these images."""
        embedding, made_of, constants = self._forward(images, *self._for_forward)
        return embedding, _sizes(made_of, images), self._cast(constants)

    def product(self, directions: Tensor, constants: Sequence[Tensor]) -> Tensor:
        """The rows of directions (C, B, K): (C, B, ...) of image gradients, or (C * B, D, h, w) before the patches."""
        given = (directions.to(self._dtype), *self._for_product, *constants)
        self._uses += 1
        if directions.is_cuda and self._plain is not None and self._uses > COMPILED_AFTER:
            self._compile(self._plain, given)
        return self._product(*given)

    def _compile(self, plain: GraphModule, given: Sequence[Tensor]) -> None:
        """Put a compiled graph in the place of the one with fixed memory, if the machine has what compiling needs."""
        self._plain = None
        compiled = torch.compile(plain, dynamic=False)
        try:
            compiled(*given)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # no C compiler, no Triton, a driver too old: each has an error of its own
            _log.warning("The graph could not be compiled (%s), so it goes on as it is.", error)
        else:
            self._product, self.bytes = compiled, 0


def _sizes(made_of: Sequence[Tensor], images: Tensor) -> Tensor:
    """The log of the mean magnitude, the log of the mean square and the mean log of each, image by image."""
    found = [images.new_zeros(len(images), 0)]
    for part in made_of:
        magnitude = part.reshape(len(images), -1).abs()
        means = magnitude.mean(1), magnitude.square().mean(1)
        found.append(
            torch.stack([*(mean.clamp(min=_TINY).log() for mean in means), (magnitude + _TINY).log().mean(1)], 1)
        )
    return torch.cat(found, dim=1)


def _trace(f: Embed, images: Tensor, cotangents: int) -> GraphModule:
    def with_parts(x: Tensor) -> tuple[Tensor, list[Tensor]]:
        with Rules() as rules:
            return f(x), rules.made_of

    def products(x: Tensor, directions: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        embedding, vjp, made_of = torch.func.vjp(with_parts, x, has_aux=True)  # type: ignore[misc]
        return embedding, made_of, torch.func.vmap(lambda direction: vjp(direction)[0])(directions)

    with torch.no_grad():
        width = f(images[:1]).shape[1]
    directions = images.new_zeros(cotangents, len(images), width)
    # "fake": only shapes are followed, so tracing costs neither memory nor products.
    traced = make_fx(products, decomposition_table=_DECOMPOSITIONS, tracing_mode="fake", _allow_non_fake_inputs=True)(
        images, directions
    )
    traced.graph.eliminate_dead_code()
    return traced


def _cut_patch_embedding(traced: GraphModule) -> Tensor | None:
    """Cut the graph before a patch embedding at its end, and return the weight; None where there is none."""
    graph = traced.graph
    output = next(node for node in graph.nodes if node.op == "output")
    embedding, made_of, node = output.args[0]
    while node.target in _VIEWS:
        node = node.args[0]
    if node.target is not operator.getitem or node.args[1] != 0:
        return None
    convolution = node.args[0]
    if convolution.target is not _aten.convolution_backward.default:
        return None
    gradient, image, weight, _bias, stride, padding, dilation, transposed, _padding, groups, _mask = convolution.args
    patch, grid = list(weight.meta["val"].shape[2:]), gradient.meta["val"].shape[2:]
    covers = list(image.meta["val"].shape[2:]) == [size * count for size, count in zip(patch, grid, strict=True)]
    plain = not transposed and groups == 1 and not any(padding) and set(dilation) == {1}
    if not (plain and covers and list(stride) == patch) or weight.op != "get_attr":
        return None
    output.args = ((embedding, made_of, gradient),)
    graph.eliminate_dead_code()
    return getattr(traced, weight.target)


class _Parts(NamedTuple):
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


def _divide(traced: GraphModule) -> _Parts:
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
    return _Parts(
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


def _leave_out_zeros(product: GraphModule, inputs: Sequence[Tensor]) -> None:
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
