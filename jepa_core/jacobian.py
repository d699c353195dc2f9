"""The Jacobian of an embedding with respect to the normalised image: the only place that differentiates an encoder.

For an encoder f from images (C, H, W) to embeddings of K numbers, row k of the Jacobian J (K x CHW) is one
vector-Jacobian product with the k-th unit vector (a "cotangent"). A score needs only the Gram G = J J^T (K x K), since
its eigenvalues are the squared singular values of J. The image is repeated `cotangents` times, so that one forward pass
and K / cotangents backward passes give all rows.

The products are accumulated in float64: squaring halves the digits, and a float32 Gram would lose every singular
value below 3e-4 of the largest. In float64 the floor is 1.5e-8 of the largest.

Source of the score: Balestriero, Ballas, Rabbat, LeCun, arXiv 2510.05949, Eq. 5 and its listing.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

Embed = Callable[[Tensor], Tensor]
"""A differentiable map from images (B, C, H, W) to embeddings (B, K), each image on its own."""

# Columns of one image's J turned to float64 at a time: bounds the copy to K x 16,384 x 8 bytes (100 MB at K = 768).
_GRAM_COLUMNS = 16_384

# Beside the saved activations, a backward pass holds their gradients, of about the same size, for a while.
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
    k, pixels = embedding.shape[1], image.numel()
    # A replica is a copy of the image, its share of the saved activations and, at the end, a gradient: a row of J.
    per_replica = _BACKWARD_OVERHEAD * sum(saved.values()) + 2 * 4 * pixels
    rows = 4 * k * pixels  # J of one image, float32, held until its Gram is done
    wide = 8 * k * min(pixels, _GRAM_COLUMNS)  # the part of J in float64, once however many images
    if k * per_replica <= budget:
        # The fuller of two moments decides: all gradients at once, or all J and the float64 part.
        return Plan(images=int(max(1, min(budget // (k * per_replica), (budget - wide) // rows))), cotangents=k)
    cotangents = int(max(1, (budget - rows) // per_replica))
    # Even chunks: 100 rows, 60 at a time, are two chunks of 50, not one of 60 and one padded from 40.
    return Plan(images=1, cotangents=-(-k // -(-k // cotangents)))


def _check(f: Embed, images: Tensor) -> None:
    if images.ndim != 4:
        raise ValueError(f"Images must have shape (batch, channel, height, width). Got {tuple(images.shape)}.")
    if isinstance(f, nn.Module) and any(module.training for module in f.modules()):
        raise ValueError(
            "The encoder is in training mode, where images of a batch influence each other. Call .eval() first."
        )


def _rows(f: Embed, images: Tensor, cotangents: int | None) -> tuple[Tensor, Tensor]:
    """J (B, K, CHW) and f(x) (B, K). A chunk's rows go to their place at once, so that no row is held twice."""
    batch = images.shape[0]
    with torch.enable_grad():
        if cotangents is None:
            with torch.no_grad():
                cotangents = f(images[:1]).shape[1]
        replicas = images.detach().repeat_interleave(cotangents, dim=0).requires_grad_()
        embeddings = f(replicas)
    k = embeddings.shape[1]
    if cotangents >= k:
        rows = _chunk(embeddings, replicas, batch, 0)
    else:
        rows = images.new_empty(batch, k, images[0].numel())
        for first in range(0, k, cotangents):
            rows[:, first : first + cotangents] = _chunk(embeddings, replicas, batch, first)
    return rows, embeddings.detach().view(batch, cotangents, k)[:, 0].clone()  # a view would keep the replicas' too


def _chunk(embeddings: Tensor, replicas: Tensor, batch: int, first: int) -> Tensor:
    """Rows `first` and following of J (B, n, CHW), one for each replica of an image until all K are there."""
    cotangents, k = len(replicas) // batch, embeddings.shape[1]
    count = min(cotangents, k - first)
    directions = embeddings.new_zeros(cotangents, k)
    directions[torch.arange(count), torch.arange(first, first + count)] = 1
    (gradient,) = torch.autograd.grad(
        embeddings, replicas, directions.repeat(batch, 1), retain_graph=first + cotangents < k
    )
    return gradient.view(batch, cotangents, -1)[:, :count]


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
    return _rows(f, images, cotangents)[0]


def gram_matrix(rows: Float[Tensor, "*batch k pixels"]) -> Float[Tensor, "*batch k k"]:
    """G = J J^T accumulated in float64, image by image and block of columns by block of columns.

    >>> gram_matrix(torch.tensor([[3.0, 4.0]])).item()
    25.0
    """
    device = "cpu" if rows.device.type == "mps" else rows.device  # mps has no float64
    gram = torch.zeros(*rows.shape[:-1], rows.shape[-2], dtype=torch.float64, device=device)
    for image in np.ndindex(rows.shape[:-2]):
        for block in rows[image].split(_GRAM_COLUMNS, dim=-1):
            gram[image] += _wide_product(block.to(device))
    return gram


def _wide_product(block: Tensor) -> Tensor:
    wide = block.double()  # gone on return, before the next block is turned
    return wide @ wide.mT


def gram(f: Embed, images: Float[Tensor, "batch channel height width"], *, cotangents: int | None = None) -> GramResult:
    """The Gram G = J J^T (K x K, float64) and the embedding f(x) of each image.

    Args, errors: as of `jacobian`. An image with a non-finite Jacobian gets non-finite entries in its own Gram only.
    """
    _check(f, images)
    rows, embedding = _rows(f, images, cotangents)
    return GramResult(gram_matrix(rows).cpu(), embedding.float().cpu())
