"""Ways to the Jacobian of an image: the paper's listing with one image and with a batch, vmap, jacrev, and ours."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from jepa_core.jacobian import sketch, spectrum
from jepa_core.jacobian.engine import Engine
from jepa_core.jacobian.gram import gram_matrix
from jepa_core.jacobian.precision import Precision
from jepa_core.scoring.benchmark_clock import seconds_of

# Rows at which a way that does one after the other is measured first.
FEW = 8
# Cotangents at a time for vmap and jacrev, which do not choose for themselves.
_CHUNK = 16
_BATCHES = (2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Way:
    """A way to J of `images` images: `run(rows)`, and `finish()`, which makes singular values of all K rows.

    `precision` is that of our products, None for a way that is not ours.
    """

    name: str
    run: Callable[[int], object]
    finish: Callable[[], object]
    images: int
    k: int
    few: int  # rows that it does at once: times are compared at multiples of it
    finished: int = 1  # the images that `finish` is for
    precision: Precision | None = None
    part: Literal["", "look", "products"] = ""  # of an estimate, which is made of both

    @property
    def dtype(self) -> torch.dtype:
        """The type of its products."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32


def _listing(f: nn.Module, images: Tensor, rows: int) -> None:
    """The Jacobian of the paper's listing, for the first `rows` numbers of the embedding."""
    torch.autograd.functional.jacobian(lambda x: f(x)[:, :rows].sum(0), inputs=images)


@contextmanager
def _falling_back() -> Iterator[None]:
    """PyTorch warns that `vmap` takes fused attention one sample after the other; that is what is measured here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")
        yield


def _vmap(f: nn.Module, images: Tensor, rows: int) -> None:
    _embedding, vjp, *_ = torch.func.vjp(f, images)
    directions = torch.eye(rows, f(images).shape[1], device=images.device)[:, None]
    with _falling_back():
        torch.func.vmap(vjp, chunk_size=_CHUNK)(directions)


def _jacrev(f: nn.Module, images: Tensor, rows: int) -> None:
    with _falling_back():
        torch.func.jacrev(lambda x: f(x)[:, :rows].sum(0), chunk_size=_CHUNK)(images)


def ways_of(
    f: nn.Module, shape: tuple[int, int, int], device: str, batch: int, precisions: Sequence[Precision]
) -> list[Way]:
    """All of them, ours in each of the precisions; the batched listing takes `batch` images."""
    image = torch.randn(1, *shape, device=device)
    k = f(image).shape[1]
    return [
        *_others(f, image, k, batch),
        *[_full(f, image, k, precision) for precision in precisions],
        *_parts_of_estimates(f, image, k),
    ]


def _others(f: nn.Module, image: Tensor, k: int, batch: int) -> Iterator[Way]:
    rows = torch.randn(1, k, image.numel(), device=image.device)

    def decompose(count: int) -> object:
        # One after the other, as LAPACK takes a batch too: a batch's Jacobians need not lie in memory together.
        return [torch.linalg.svdvals(rows[0]) for _ in range(count)]

    def way(name: str, run: Callable, images: Tensor) -> Way:
        count = len(images)
        return Way(name, partial(run, f, images), partial(decompose, count), count, k, FEW, finished=count)

    yield way("listing, one image", _listing, image)
    if batch > 1:
        yield way(f"listing, {batch} images", _listing, torch.randn(batch, *image.shape[1:], device=image.device))
    yield way("vmap", _vmap, image)
    yield way("jacrev", _jacrev, image)


def _full(f: nn.Module, image: Tensor, k: int, precision: Precision) -> Way:
    # Compiled at once, as graphs are in any longer run on a GPU.
    engine = Engine(f, image[0], precision=precision, compiled_after=0)
    images = torch.randn(engine.plan.images, *image.shape[1:], device=image.device)
    rows = torch.randn(1, k, image.numel(), device=image.device)

    def run(count: int) -> None:
        for _ in engine.rows(images, torch.eye(count, k)):  # without the Gram
            pass

    def finish() -> object:
        return spectrum.singular_values(gram_matrix(rows).cpu().numpy())

    name = f"full, {precision}{_how(engine)}"
    return Way(name, run, finish, len(images), k, engine.plan.cotangents, precision=precision)


def _parts_of_estimates(f: nn.Module, image: Tensor, k: int) -> Iterator[Way]:
    """A forward pass with the sizes of the layers, and one with the most products that an estimate may have."""
    precision: Precision = "fp32"
    r, once = sketch.most_rows(k), Engine(f, image[0], rows=1, compiled_after=0)
    looked_at = torch.randn(once.plan.images, *image.shape[1:], device=image.device)

    def look(_rows: int) -> object:
        return once.forward(looked_at)

    yield Way(f"look, {precision}", look, _nothing, len(looked_at), 1, 1, precision=precision, part="look")
    engine = Engine(f, image[0], rows=r, compiled_after=0)
    images = torch.randn(engine.plan.images, *image.shape[1:], device=image.device)
    directions = torch.randn(r, k)
    yield Way(
        f"{r} products, {precision}{_how(engine)}",
        lambda count: engine.gram(images, directions[:count]),
        _nothing,
        len(images),
        r,
        engine.plan.cotangents,
        precision=precision,
        part="products",
    )


def _nothing() -> None:
    pass


def _how(engine: Engine) -> str:
    """Said in a way's name where it is not the usual one."""
    return ", not traced" if engine.why_not_traced else ""


def best_batch(f: nn.Module, shape: tuple[int, int, int], device: str) -> int:
    """How many images at a time the listing is fastest with, by a few rows; it is given up where it gets slower."""
    best, fastest = 1, np.inf
    for batch in (1, *_BATCHES):
        images = torch.randn(batch, *shape, device=device)
        _listing(f, images, 1)
        seconds = min(seconds_of(device, lambda: _listing(f, images, 4)) for _ in range(2)) / batch  # noqa: B023
        if seconds > 1.05 * fastest:
            break
        if seconds < fastest:
            best, fastest = batch, seconds
    return best
