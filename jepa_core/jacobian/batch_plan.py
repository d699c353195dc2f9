"""How much is computed together: from measured sizes and free memory to numbers of images and cotangents."""

import os
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from jepa_core.errors import OutOfMemory
from jepa_core.jacobian.encoder_protocol import Embed

# A product's intermediate results should stay in a CPU's caches: bytes that were fastest, or as good as any.
_CPU_BLOCK = 2**25
# They take this many times the largest activation (measured on ViTs: 1.8 to 2.3).
_PRODUCT_SHARE = 2.5
# What is kept of an image for its products, as a share of what autograd would save.
_CONSTANT_SHARE = 1.5
# With autograd a backward pass holds, beside the saved activations, their gradients of about the same size.
_GRADIENT_SHARE = 2.0
# Where the system does not say how much memory is free.
_ASSUMED_FREE = 2**31


class BatchPlan(NamedTuple):
    """How much is computed together: `images` at a time, and for each `cotangents` rows at a time."""

    images: int
    cotangents: int

    @property
    def few(self) -> int:
        """How many images at a time where fewer are left than `images`, so that two graphs do for all numbers."""
        return max(1, self.images // 8)

    def half(self) -> "BatchPlan | None":
        """A plan for about half the memory, or None below one row of one image."""
        if self.images > 1:
            return BatchPlan(-(-self.images // 2), self.cotangents)
        return BatchPlan(1, -(-self.cotangents // 2)) if self.cotangents > 1 else None


class Sizes(NamedTuple):
    """Bytes that one image needs: what autograd saves of it, the largest part of that, and one row of its Jacobian."""

    saved: int
    largest: int
    row: int


def measure(f: Embed, image: Tensor) -> Sizes:
    """What one forward pass of one image (1, C, H, W) saves for its backward pass, with attention maps explicit."""
    saved: dict[int, int] = {}

    # Weights are saved too, but exist once however many images.
    once = [*f.parameters(), *f.buffers()] if isinstance(f, nn.Module) else []
    known = {tensor.untyped_storage().data_ptr() for tensor in once}

    def note(tensor: Tensor) -> Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in known:
            saved[place] = tensor.untyped_storage().nbytes()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
    with hooks, torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        f(image.clone().requires_grad_())
    row = image.element_size() * image.numel()
    return Sizes(sum(saved.values()), max([row, *saved.values()]), row)


def _free(device: torch.device) -> int:
    if device.type == "cuda":  # what PyTorch has set aside and does not use is as good as free
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return _ASSUMED_FREE


def default_budget(device: torch.device) -> int:
    """Bytes that an engine may use: half of what is free on its device."""
    return _free(device) // 2


def _even(rows: int, most: int) -> int:
    """Chunks of the same length: 100 rows, at most 60 at a time, are two chunks of 50."""
    return -(-rows // -(-rows // most))


def plan_traced(sizes: Sizes, rows: int, device: torch.device, budget: int, *, half: bool = False) -> BatchPlan:
    """Where cotangents share what depends on the image alone: few enough at a time to stay in a CPU's caches.

    `half`: whether products are in a type of half the width of what was measured.
    """
    product = _PRODUCT_SHARE * sizes.largest / (2 if half else 1)
    block = min(budget // 2, _CPU_BLOCK) if device.type == "cpu" else budget // 2
    replicas = max(1, int(block / product))
    if replicas < rows:
        return BatchPlan(1, _even(rows, replicas))
    image = _CONSTANT_SHARE * sizes.saved + rows * (sizes.row + product)
    return BatchPlan(max(1, min(replicas // rows, int(budget / image))), rows)


def room_between_segments(sizes: Sizes, rows: int, budget: int) -> int:
    """Bytes left of a budget for what lies between segments where MLPs are folded (`jepa_core.jacobian.folded_mlps`).

    One image's constants, its rows and the block of a product are there, too.
    """
    return max(0, int(budget - _CONSTANT_SHARE * sizes.saved - rows * sizes.row - min(budget // 2, _CPU_BLOCK)))


def plan_autograd(sizes: Sizes, rows: int, device: torch.device, budget: int) -> BatchPlan:
    """Where the image is repeated for each cotangent: a copy is an image, its activations, and a row in the end."""
    budget = min(budget, 8 * _CPU_BLOCK) if device.type == "cpu" else budget
    copy = _GRADIENT_SHARE * sizes.saved + 2 * sizes.row
    if rows * copy <= budget:
        return BatchPlan(max(1, int(budget / (rows * (copy + sizes.row)))), rows)
    return BatchPlan(1, _even(rows, max(1, int((budget - rows * sizes.row) / copy))))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the system refused memory; torch has a class of its own for devices only."""
    refused = isinstance(error, (torch.OutOfMemoryError, MemoryError))
    return refused or "DefaultCPUAllocator" in str(error) or "not enough memory" in str(error)


def too_large(error: BaseException) -> OutOfMemory:
    """The sentence for a person where not even one row of one image fits."""
    return OutOfMemory(
        f"One row of the Jacobian of one image needs more memory than there is "
        f"({str(error).partition(chr(10))[0]}); an "
        "encoder and an input size that fit are accepted; choose smaller ones, or free memory."
    )
