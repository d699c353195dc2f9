"""The Jacobian of an embedding with respect to the normalised image: the only place that differentiates an encoder.

For an encoder f from images (C, H, W) to embeddings of K numbers, row k of the Jacobian J (K x CHW) is one
vector-Jacobian product with the k-th unit vector, a "cotangent". A score needs only the Gram G = J J^T (K x K), since
its eigenvalues are the squared singular values of J; a sketch needs only (D J)(D J)^T for a few directions D (r x K).

There are two ways to the products. The usual one takes the encoder apart (`jepa_core.jacobian.linearize`), so that all
cotangents share what depends on the image alone. The general one repeats the image, one copy for each cotangent, and
lets autograd do the rest. One rule decides: an encoder goes the usual way if it can be traced and its traced products
with a random cotangent at two images are autograd's. Where they are not, finite differences in float64 say which is
right (`jepa_core.jacobian.finite_differences`), and it goes that way; if neither is, it is refused. Autograd always
gets two images or more: for a batch of one PyTorch's batch-norm can be wrong on a CPU (2.15, cotangents that lie
channels last).

The Gram is accumulated in float64: squaring halves the digits, and a float32 Gram would lose every singular value below
3e-4 of the largest. In float64 the floor is 1.5e-8 of the largest.

Source of the score: Balestriero, Ballas, Rabbat, LeCun, arXiv 2510.05949, Eq. 5 and its listing.
"""

import gc
import logging
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from jepa_core.errors import EncoderError, OutOfMemory
from jepa_core.jacobian import batch_plan, finite_differences
from jepa_core.jacobian.batch_plan import Plan
from jepa_core.jacobian.embed import Embed
from jepa_core.jacobian.gram import gram_matrix
from jepa_core.jacobian.linearize import Linearized
from jepa_core.jacobian.precision import Precision, arithmetic

if TYPE_CHECKING:
    from jepa_core.encoders.registry import Encoder

_log = logging.getLogger(__name__)

# How far the probe's product may be from autograd's, as a share of its length. Wrong graphs are off by far more.
_PROBE_TOLERANCE: dict[Precision, float] = {"fp32": 1e-4, "tf32": 2e-2, "bf16": 2e-1}
# And from finite differences, where the two disagree: only rounding may be left of what is taken.
_TRUTH_TOLERANCE: dict[Precision, float] = {"fp32": 1e-2, "tf32": 5e-2, "bf16": 5e-1}
# How much another image in the batch may change an embedding, as a share of its length.
_APART_TOLERANCE = 1e-2
# A graph's memory and the backends' settings are shared by all threads.
_one_at_a_time = threading.RLock()
# Traced graphs that are kept: for full parts of the images, and for the few of what is left.
_KEPT_GRAPHS = 2


class GramResult(NamedTuple):
    """`gram` (B, r, r) in float64, `embedding` (B, K) and `features` (B, F) in float32, all on the CPU.

    The features are what `jepa_core.jacobian.sketch` predicts scores from, and come with the forward pass: the
    embedding, and in the usual way the sizes of what the Jacobian is made of.
    """

    gram: Tensor
    embedding: Tensor
    features: Tensor


class _Part(NamedTuple):
    """What is found of one part of the images: rows of their Jacobians, or Grams of those."""

    rows: Tensor
    embedding: Tensor
    features: Tensor


class Engine:
    """The Grams and Jacobians of one encoder output, in batches and chunks sized to the machine.

    Args:
        f: the encoder, (B, C, H, W) -> (B, K), in eval mode.
        image: any input (C, H, W) of the right shape, on the device to compute on.
        rows: how many directions an image will be asked for; K for None.
        precision: of the products.
        budget: bytes; half of the free memory for None.

    Attributes: `k`; `plan`; `shared`, whether cotangents share what depends on the image (the usual way); `reason`, why
    not in one sentence ("" in the usual way).

    Raises:
        ValueError: for an encoder in training mode.
        EncoderError: where neither way's derivative is that of finite differences, and where an image's embedding
            depends on what else is in the batch.
    """

    def __init__(
        self,
        f: Embed,
        image: Float[Tensor, "channel height width"],
        *,
        rows: int | None = None,
        precision: Precision = "fp32",
        budget: int | None = None,
    ) -> None:
        if isinstance(f, nn.Module) and any(module.training for module in f.modules()):
            raise ValueError(
                "The encoder is in training mode, where images of a batch influence each other. Call .eval() first."
            )
        self._f = f
        self._precision = precision
        self._traced: dict[Plan, Linearized] = {}
        self._factors: dict[bool, Tensor] = {}
        # Not a person's picture: one that is not finite must not decide how the others are computed.
        noise = torch.randn(2, *image.shape, generator=torch.Generator().manual_seed(0))
        self._probes = noise.to(image)
        self._probe = self._probes[:1]
        self.reason = ""
        try:
            with _one_at_a_time:
                self._prepare(rows, budget)
        except (MemoryError, RuntimeError) as error:
            if not batch_plan.is_out_of_memory(error):
                raise
            raise _too_large(error) from error

    def _prepare(self, rows: int | None, budget: int | None) -> None:
        self.k = self._width()
        sizes, device = batch_plan.measure(self._f, self._probe), self._probe.device
        budget = budget or batch_plan.default_budget(device)
        half = self._precision == "bf16"
        self.plan = batch_plan.plan_shared(sizes, rows or self.k, device, budget, half=half)
        self.shared = self._can_share()
        if not self.shared:
            _log.warning("%s", self.reason)
            self._traced.clear()
            self.plan = batch_plan.plan_general(sizes, rows or self.k, device, budget)

    @torch.no_grad()
    def _width(self) -> int:
        """K, once it is clear that an image's embedding is its own whatever else is in the batch."""
        with arithmetic("fp32"):
            alone, together = self._f(self._probe), self._f(self._probes)[:1]
        if (alone - together).norm() > _APART_TOLERANCE * alone.norm():
            raise EncoderError(
                "The encoder gives an image another embedding when another image is in the batch, so that no score "
                "would be the image's own; a network that takes each image by itself is accepted; choose another."
            )
        return alone.shape[1]

    def _can_share(self) -> bool:
        """The rule: the encoder can be traced, and the traced products with a random cotangent are right.

        They are if they are autograd's at two images, else if finite differences say so.
        """
        cotangent = torch.randn(1, self.k, generator=torch.Generator().manual_seed(1)).to(self._probe)
        ours: Tensor | None = None
        truth: Tensor | None = None
        self.reason = "The traced product is not autograd's, so the encoder goes the general way."
        try:
            ours = torch.cat(
                [part.rows for part in self._parts(self._probes, cotangent, self._shared_rows, pixels=True)]
            )
        except OutOfMemory:
            raise
        except Exception as error:
            why = str(error).strip().partition("\n")[0] or type(error).__name__
            self.reason = f"The encoder cannot be traced ({why}), so it goes the general way."
        try:
            truth = self._general_rows(self._probes, cotangent, 1).rows
        except (MemoryError, RuntimeError) as error:
            if ours is None or not batch_plan.is_out_of_memory(error):
                raise
        if ours is not None and truth is not None and self._near(ours, truth):
            self.reason = ""
            return True
        ways = {"traced": ours, "autograd": truth}
        right = finite_differences.settle(self._f, self._probes, cotangent, ways, _TRUTH_TOLERANCE[self._precision])
        if right == "traced":
            self.reason = ""
        return right == "traced"

    def _near(self, ours: Tensor, truth: Tensor) -> bool:
        return bool((ours - truth).norm() <= _PROBE_TOLERANCE[self._precision] * truth.norm())

    def gram(
        self, images: Float[Tensor, "batch channel height width"], directions: Float[Tensor, "r k"] | None = None
    ) -> GramResult:
        """(D J)(D J)^T in float64 and f(x) of each image; D is the identity for None.

        An image with a non-finite Jacobian gets non-finite entries in its own Gram only.

        Raises:
            ValueError: for images without a batch axis, and for no images or no directions.
            OutOfMemory: if one row of one image does not fit.
        """
        found = list(self._parts(images, directions, self._grams, pixels=False))
        return GramResult(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def jacobian(
        self, images: Float[Tensor, "batch channel height width"], directions: Float[Tensor, "r k"] | None = None
    ) -> Float[Tensor, "batch r pixels"]:
        """D J of each image on its own, with pixels flattened (CHW), on the images' device. Errors: as of `gram`."""
        parts = [part.rows for part in self._parts(images, directions, self._rows, pixels=True)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)  # one would be copied

    def _grams(self, images: Tensor, directions: Tensor, *, pixels: bool) -> _Part:
        found = self._rows(images, directions, pixels=pixels)
        return _Part(gram_matrix(found.rows).cpu(), found.embedding.float().cpu(), found.features.float().cpu())

    def _rows(self, images: Tensor, directions: Tensor, *, pixels: bool) -> _Part:
        if self.shared:
            return self._shared_rows(images, directions, pixels=pixels)
        return self._general_rows(images, directions, self.plan.cotangents)

    def _parts(
        self, images: Tensor, directions: Tensor | None, work: Callable[..., _Part], *, pixels: bool
    ) -> Iterator[_Part]:
        """What `work` gives for one part of the images after the other; the parts shrink where memory runs out."""
        if images.ndim != 4 or not len(images):
            raise ValueError(f"Images must have shape (batch, channel, height, width). Got {tuple(images.shape)}.")
        directions = (torch.eye(self.k) if directions is None else directions).to(self._probe)
        if directions.ndim != 2 or not len(directions) or directions.shape[1] != self.k:
            raise ValueError(f"Directions must have shape (1 or more, {self.k}). Got {tuple(directions.shape)}.")
        done = 0
        while done < len(images):
            left, few = len(images) - done, self.plan.few
            part = images[done : done + (self.plan.images if left > self.plan.images - few else few)].detach()
            try:
                with _one_at_a_time, arithmetic("fp32"):
                    found = work(part, directions, pixels=pixels)
            except (MemoryError, RuntimeError) as error:
                if not batch_plan.is_out_of_memory(error):
                    raise
                self._shrink(error, len(part))
                continue
            done += len(part)
            yield found

    def _shrink(self, error: BaseException, images: int) -> None:
        """Plan for half of what failed: of `images`, which may be fewer than were planned."""
        plan = Plan(images, self.plan.cotangents).half()
        if plan is None:
            raise _too_large(error) from error
        _log.info("Out of memory at %s; going on with %s.", self.plan, plan)
        self.plan = plan
        self._traced.clear()
        gc.collect()  # the failed pass's results may hang in a cycle of its traceback
        if self._probe.device.type == "cuda":
            torch.cuda.empty_cache()

    def _linearized(self, images: int) -> Linearized:
        shape = Plan(images, self.plan.cotangents)
        if shape not in self._traced:
            dtype = torch.bfloat16 if self._precision == "bf16" else self._probe.dtype
            batch = self._probe.repeat(images, 1, 1, 1)
            made = Linearized(self._f, batch, shape.cotangents, dtype)
            while len(self._traced) >= _KEPT_GRAPHS:
                del self._traced[next(iter(self._traced))]
            self._traced[shape] = made
        return self._traced[shape]

    def _shared_rows(self, images: Tensor, directions: Tensor, *, pixels: bool) -> _Part:
        """D J as rows (B, r, CHW), or with `pixels` False as other rows that have the same products."""
        count, rows = self.plan.cotangents, None
        asked, size = len(images), self.plan.images if len(images) > self.plan.few else self.plan.few
        images = torch.cat([images, images[-1:].expand(size - asked, -1, -1, -1)])  # graphs have one size each
        with torch.no_grad():
            traced = self._linearized(size)
            embedding, sizes, constants = traced.constants(images)
            with arithmetic(self._precision):
                for first in range(0, len(directions), count):
                    chunk = directions[first : first + count]
                    padded = chunk.new_zeros(count, size, self.k)
                    padded[: len(chunk)] = chunk[:, None]
                    found = traced.product(padded, constants)
                    found = self._behind_patches(found, traced.patch_weight, pixels=pixels)
                    found = found.view(count, size, -1)[: len(chunk), :asked]
                    if rows is None:
                        rows = found.new_empty(asked, len(directions), found.shape[-1])
                    rows[:, first : first + count] = found.transpose(0, 1)
        assert rows is not None
        return _Part(rows, embedding[:asked], torch.cat([sizes, embedding], dim=1)[:asked])

    def _behind_patches(self, found: Tensor, weight: Tensor | None, *, pixels: bool) -> Tensor:
        """Behind a patch embedding with weight W, token gradients times W; without pixels, times R with R R^T = W W^T.

        R (D x D) makes the same Gram as W (D x C p p), and is narrower for most ViTs.
        """
        if weight is None:
            return found.reshape(-1, self._probe.numel())
        if pixels not in self._factors:
            factor = weight.flatten(1) if pixels else _narrow(weight.flatten(1))
            self._factors[pixels] = factor.to(found.dtype)
        grid = found.shape[2:]
        values = found.flatten(2).mT @ self._factors[pixels]
        if pixels:
            channels, high, wide = weight.shape[1:]
            values = values.reshape(-1, *grid, channels, high, wide).permute(0, 3, 1, 4, 2, 5)
        return values.reshape(len(values), -1)

    def _general_rows(self, images: Tensor, directions: Tensor, count: int) -> _Part:
        """The image repeated `count` times: one forward pass, then a backward pass for each chunk of directions."""
        batch, half = len(images), self._precision == "bf16"
        count = count if batch > 1 else max(count, 2)  # never a batch of one
        # MATH: fused attention would compute its map again in each backward pass.
        with torch.enable_grad(), arithmetic(self._precision), sdpa_kernel(SDPBackend.MATH):
            replicas = images.repeat_interleave(count, dim=0).requires_grad_()
            with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
                embeddings = self._f(replicas)
            rows = images.new_empty(batch, len(directions), images[0].numel())
            for first in range(0, len(directions), count):
                chunk = directions[first : first + count].to(embeddings)
                padded = chunk.new_zeros(batch, count, self.k)
                padded[:, : len(chunk)] = chunk
                (gradient,) = torch.autograd.grad(
                    embeddings, replicas, padded.flatten(0, 1), retain_graph=first + count < len(directions)
                )
                rows[:, first : first + count] = gradient.reshape(batch, count, -1)[:, : len(chunk)]
        with torch.no_grad():
            embedding = self._f(images) if half else embeddings.view(batch, count, self.k)[:, 0].clone()
        return _Part(rows, embedding, embedding)


def engine_of(
    encoder: "Encoder", output: str | None = None, *, rows: int | None = None, precision: Precision = "fp32"
) -> Engine:
    """The engine of a loaded encoder's output, kept for as long as the encoder lives. Arguments: as of `Engine`."""
    key = encoder.spec.check_output(output), rows, precision
    if key not in encoder.kept:
        image = torch.zeros(encoder.input_shape, device=encoder.device)
        encoder.kept[key] = Engine(encoder.module(output), image, rows=rows, precision=precision)
    return encoder.kept[key]


def _too_large(error: BaseException) -> OutOfMemory:
    return OutOfMemory(
        f"One row of the Jacobian of one image needs more memory than there is "
        f"({str(error).partition(chr(10))[0]}); an "
        "encoder and an input size that fit are accepted; choose smaller ones, or free memory."
    )


def _narrow(weight: Tensor) -> Tensor:
    """R with R R^T = W W^T and as few columns as possible, from W (D x P)."""
    if weight.shape[1] <= weight.shape[0]:
        return weight
    wide = weight.double().cpu()
    eigenvalues, vectors = torch.linalg.eigh(wide @ wide.mT)
    return (vectors * eigenvalues.clip(0).sqrt()).to(weight)
