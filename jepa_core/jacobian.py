"""The Jacobian of an embedding with respect to the normalised image: the only place that differentiates an encoder.

For an encoder f from images (C, H, W) to embeddings of K numbers, row k of the Jacobian J (K x CHW) is one
vector-Jacobian product with the k-th unit vector (a "cotangent"). A score needs only the Gram G = J J^T (K x K), since
its eigenvalues are the squared singular values of J. The image is repeated `cotangents` times, so that one forward pass
and K / cotangents backward passes give all rows.

The products are accumulated in float64: squaring halves the digits, and a float32 Gram would lose every singular
value below 3e-4 of the largest. In float64 the floor is 1.5e-8 of the largest.

Source of the score: Balestriero, Ballas, Rabbat, LeCun, arXiv 2510.05949, Eq. 5 and its listing.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

Embed = Callable[[Tensor], Tensor]
"""A differentiable map from images (B, C, H, W) to embeddings (B, K), each image on its own."""

# Columns of J turned to float64 at a time: bounds the copy to K x 16,384 x 8 bytes (100 MB at K = 768).
_GRAM_COLUMNS = 16_384

# Beside the saved activations, a backward pass holds gradients of about the same size for a while.
_BACKWARD_OVERHEAD = 2.0


class Plan(NamedTuple):
    """How much is computed together: `images` at a time, and for each `cotangents` rows at a time."""

    images: int
    cotangents: int


class GramResult(NamedTuple):
    """`gram` (B, K, K) in float64 on the CPU and `embedding` (B, K) in float32 on the CPU."""

    gram: Tensor
    embedding: Tensor


def default_memory_budget(device: torch.device) -> int:
    """Bytes that one call may use for activations: half of what is free on a CUDA card, else 256 MiB.

    On a CPU more does not help but harms: a larger batch leaves the caches.
    """
    if device.type == "cuda":
        free, _total = torch.cuda.mem_get_info(device)
        return free // 2
    return 2**28


def make_plan(f: Embed, image: Float[Tensor, "channel height width"], memory_budget: int | None = None) -> Plan:
    """Size the work by measurement: count the bytes that one forward pass saves for its backward pass.

    Args:
        f: the encoder, (B, C, H, W) -> (B, K).
        image: any input of the right shape.
        memory_budget: bytes; `default_memory_budget` of the image's device for None.
    """
    budget = memory_budget or default_memory_budget(image.device)
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if not tensor.is_leaf or tensor.requires_grad:  # weights are saved too, but exist once however many images
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), torch.enable_grad():
        embedding = f(image[None].clone().requires_grad_())
    k = embedding.shape[1]
    per_replica = _BACKWARD_OVERHEAD * sum(saved.values()) + 4 * image.numel()
    rows = 4 * k * image.numel()  # J of one image, float32, held until its Gram is done
    per_image = rows + k * per_replica
    if per_image <= budget:
        return Plan(images=int(budget // per_image), cotangents=k)
    cotangents = int(max(1, min(k, (budget - rows) // per_replica)))
    # Even chunks: 100 rows, 60 at a time, are two chunks of 50, not one of 60 and one padded from 40.
    return Plan(images=1, cotangents=-(-k // -(-k // cotangents)))


def _check(f: Embed, images: Tensor) -> None:
    if images.ndim != 4:
        raise ValueError(f"Images must have shape (batch, channel, height, width). Got {tuple(images.shape)}.")
    if isinstance(f, nn.Module) and any(module.training for module in f.modules()):
        raise ValueError(
            "The encoder is in training mode, where images of a batch influence each other. Call .eval() first."
        )


def _row_chunks(f: Embed, images: Tensor, cotangents: int | None) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield (first row, rows (B, n, CHW), embedding (B, K)) until all K rows are done."""
    batch = images.shape[0]
    with torch.enable_grad():
        if cotangents is None:
            with torch.no_grad():
                cotangents = f(images[:1]).shape[1]
        replicas = images.detach().repeat_interleave(cotangents, dim=0).requires_grad_()
        embeddings = f(replicas)
    k = embeddings.shape[1]
    embedding = embeddings.detach().view(batch, cotangents, k)[:, 0]
    for first in range(0, k, cotangents):
        count = min(cotangents, k - first)
        directions = embeddings.new_zeros(cotangents, k)
        directions[torch.arange(count), torch.arange(first, first + count)] = 1
        (gradient,) = torch.autograd.grad(
            embeddings, replicas, directions.repeat(batch, 1), retain_graph=first + cotangents < k
        )
        yield first, gradient.view(batch, cotangents, -1)[:, :count], embedding


def jacobian(
    f: Embed, images: Float[Tensor, "batch channel height width"], *, cotangents: int | None = None
) -> Float[Tensor, "batch k pixels"]:
    """J = df/dx of each image on its own, flattened to (B, K, CHW), in the input's precision and on its device.

    Args:
        f: the encoder, (B, C, H, W) -> (B, K), in eval mode.
        images: normalised inputs.
        cotangents: rows at a time; all K for None.

    Raises:
        ValueError: for a wrong shape, or an encoder in training mode.
    """
    _check(f, images)
    return torch.cat([rows for _first, rows, _embedding in _row_chunks(f, images, cotangents)], dim=1)


def gram_matrix(rows: Float[Tensor, "*batch k pixels"]) -> Float[Tensor, "*batch k k"]:
    """G = J J^T accumulated in float64, block of columns by block of columns.

    >>> gram_matrix(torch.tensor([[3.0, 4.0]])).item()
    25.0
    """
    if rows.device.type == "mps":  # has no float64
        rows = rows.cpu()
    gram = rows.new_zeros(*rows.shape[:-1], rows.shape[-2], dtype=torch.float64)
    for block in rows.split(_GRAM_COLUMNS, dim=-1):
        wide = block.double()
        gram += wide @ wide.mT
    return gram


def gram(f: Embed, images: Float[Tensor, "batch channel height width"], *, cotangents: int | None = None) -> GramResult:
    """The Gram G = J J^T (K x K, float64) and the embedding f(x) of each image.

    Args, errors: as of `jacobian`. An image with a non-finite Jacobian gets non-finite entries in its own Gram only.
    """
    _check(f, images)
    chunks = list(_row_chunks(f, images, cotangents))
    rows = torch.cat([rows for _first, rows, _embedding in chunks], dim=1)
    return GramResult(gram_matrix(rows).cpu(), chunks[0][2].float().cpu())
