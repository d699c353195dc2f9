"""The Jacobian of an embedding with respect to the normalised image: the only place that differentiates an encoder.

For an encoder f from images (C, H, W) to embeddings of K numbers, row k of the Jacobian J (K x CHW) is one
vector-Jacobian product with the k-th unit vector, a "cotangent". A score needs only the Gram G = J J^T (K x K), since
its eigenvalues are the squared singular values of J; a sketch needs only (D J)(D J)^T for a few directions D (r x K).

There are two ways to the products, each a backend. The usual one takes the encoder apart (`jepa_core.jacobian.traced`),
so that all cotangents share what depends on the image alone. The general one (`jepa_core.jacobian.autograd`) repeats
the image, one copy for each cotangent, and lets autograd do the rest. One rule decides: an encoder goes the usual way
if it can be traced and its traced products with a random cotangent at two images are autograd's. Where they are not,
finite differences in float64 say which is right (`jepa_core.jacobian.finite_differences`), and it goes that way; if
neither is, it is refused.

Source of the score: Balestriero, Ballas, Rabbat, LeCun, arXiv 2510.05949, Eq. 5 and its listing.
"""

import gc
import logging
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from jepa_core.errors import EncoderError, OutOfMemory
from jepa_core.jacobian import batch_plan, finite_differences
from jepa_core.jacobian.autograd import AutogradBackend
from jepa_core.jacobian.backend import Backend, Rows
from jepa_core.jacobian.batch_plan import BatchPlan
from jepa_core.jacobian.encoder_protocol import Embed, LoadedEncoder
from jepa_core.jacobian.gram import gram_matrix
from jepa_core.jacobian.graph_steps.step import first_line
from jepa_core.jacobian.precision import Precision, arithmetic
from jepa_core.jacobian.traced import COMPILED_AFTER, TracedBackend

_log = logging.getLogger(__name__)
_Found = TypeVar("_Found")

# How far the probe's product may be from autograd's, as a share of its length. Wrong graphs are off by far more.
_PROBE_TOLERANCE: dict[Precision, float] = {"fp32": 1e-4, "tf32": 2e-2, "bf16": 2e-1}
# And from finite differences, where the two disagree: only rounding may be left of what is taken.
_TRUTH_TOLERANCE: dict[Precision, float] = {"fp32": 1e-2, "tf32": 5e-2, "bf16": 5e-1}
# How much another image in the batch may change an embedding, as a share of its length.
_APART_TOLERANCE = 1e-2
# A graph's memory and the backends' settings are shared by all threads.
_one_at_a_time = threading.RLock()


class GramResult(NamedTuple):
    """`gram` (B, r, r) in float64, `embedding` (B, K) and `features` (B, F) in float32, all on the CPU.

    The features are what `jepa_core.scoring.calibration` predicts scores from, and come with the forward pass: the
    embedding, and in the usual way the sizes of what the Jacobian is made of.
    """

    gram: Tensor
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
        plan: how much is computed together; what fits the budget for None.
        compiled_after: products of a traced graph on a GPU before it is compiled, which takes half a minute.

    Attributes:
        k: K, the length of an embedding.
        backend: the way that is gone, `traced` or `autograd`; with `plan` it may be set, to compare the two.
        plan: how much is computed together now; it shrinks where memory runs out.
        why_not_traced: one sentence for a person where the encoder cannot go the usual way, else "".

    Raises:
        ValueError: for an encoder in training mode.
        EncoderError: where neither way's derivative is that of finite differences, and where an image's embedding
            depends on what else is in the batch.
        OutOfMemory: if one row of one image does not fit.
    """

    backend: Backend
    plan: BatchPlan

    def __init__(
        self,
        f: Embed,
        image: Float[Tensor, "channel height width"],
        *,
        rows: int | None = None,
        precision: Precision = "fp32",
        budget: int | None = None,
        plan: BatchPlan | None = None,
        compiled_after: int = COMPILED_AFTER,
    ) -> None:
        if isinstance(f, nn.Module) and any(module.training for module in f.modules()):
            raise ValueError(
                "The encoder is in training mode, where images of a batch influence each other. Call .eval() first."
            )
        self._f = f
        self._precision = precision
        # Not a person's picture: one that is not finite must not decide how the others are computed.
        noise = torch.randn(2, *image.shape, generator=torch.Generator().manual_seed(0))
        self._probes = noise.to(image)
        self.traced = TracedBackend(f, self._probes[:1], precision)
        self.autograd = AutogradBackend(f, precision)
        try:
            with _one_at_a_time:
                self.k = self._width()
                self._choose(rows or self.k, budget, plan)
        except (MemoryError, RuntimeError) as error:
            if not batch_plan.is_out_of_memory(error):
                raise
            raise batch_plan.too_large(error) from error
        self.traced.compiled_after = compiled_after  # from here on: the probe's few products are no use worth it

    def gram(
        self, images: Float[Tensor, "batch channel height width"], directions: Float[Tensor, "r k"] | None = None
    ) -> GramResult:
        """(D J)(D J)^T in float64 and f(x) of each image; D is the identity for None.

        An image with a non-finite Jacobian gets non-finite entries in its own Gram only.

        Raises:
            ValueError: for images without a batch axis, and for no images or no directions.
            OutOfMemory: if one row of one image does not fit.
        """
        found = list(self._products(images, directions, _gram_of, pixels=False))
        return GramResult(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def forward(
        self, images: Float[Tensor, "batch channel height width"]
    ) -> tuple[Float[Tensor, "batch k"], Float[Tensor, "batch features"]]:
        """f(x) and the features of each image, as of `GramResult`, by a forward pass alone. Errors: as of `gram`."""
        found = list(self._parts(images, lambda part: self.backend.forward(part, self.plan)))
        embedding, features = (torch.cat(parts).float().cpu() for parts in zip(*found, strict=True))
        return embedding, features

    def jacobian(
        self, images: Float[Tensor, "batch channel height width"], directions: Float[Tensor, "r k"] | None = None
    ) -> Float[Tensor, "batch r pixels"]:
        """D J of each image on its own, with pixels flattened (CHW), on the images' device. Errors: as of `gram`."""
        parts = list(self._products(images, directions, lambda found: found.rows, pixels=True))
        return parts[0] if len(parts) == 1 else torch.cat(parts)  # one would be copied

    def rows(
        self, images: Float[Tensor, "batch channel height width"], directions: Float[Tensor, "r k"] | None = None
    ) -> Iterator[Rows]:
        """What `gram` makes Grams of, one part of the images after the other: R with R R^T = (D J)(D J)^T.

        R has fewer columns than there are pixels where that is cheaper. Errors: as of `gram`.
        """
        return self._products(images, directions, lambda found: found, pixels=False)

    def _products(
        self, images: Tensor, directions: Tensor | None, work: Callable[[Rows], _Found], *, pixels: bool
    ) -> Iterator[_Found]:
        """What `work` makes of the rows of one part of the images after the other."""
        directions = (torch.eye(self.k) if directions is None else directions).to(self._probes)
        if directions.ndim != 2 or not len(directions) or directions.shape[1] != self.k:
            raise ValueError(f"Directions must have shape (1 or more, {self.k}). Got {tuple(directions.shape)}.")
        rows = directions
        return self._parts(images, lambda part: work(self.backend.rows(part, rows, self.plan, pixels=pixels)))

    def _parts(self, images: Tensor, work: Callable[[Tensor], _Found]) -> Iterator[_Found]:
        """What `work` makes of one part of the images after the other.

        The parts shrink where memory runs out; what is done is not done again.
        """
        if images.ndim != 4 or not len(images):
            raise ValueError(f"Images must have shape (batch, channel, height, width). Got {tuple(images.shape)}.")
        done = 0
        while done < len(images):
            left, few = len(images) - done, self.plan.few
            part = images[done : done + (self.plan.images if left > self.plan.images - few else few)].detach()
            try:
                with _one_at_a_time, arithmetic("fp32"):
                    found = work(part)
            except (MemoryError, RuntimeError) as error:
                if not batch_plan.is_out_of_memory(error):
                    raise
                self._shrink(error, len(part))
                continue
            done += len(part)
            yield found

    def _shrink(self, error: BaseException, images: int) -> None:
        """Plan for half of what failed: of `images`, which may be fewer than were planned."""
        plan = BatchPlan(images, self.plan.cotangents).half()
        if plan is None:
            raise batch_plan.too_large(error) from error
        _log.info("Out of memory at %s; going on with %s.", self.plan, plan)
        self.plan = plan
        self.backend.forget()
        gc.collect()  # the failed pass's results may hang in a cycle of its traceback
        if self._probes.device.type == "cuda":
            torch.cuda.empty_cache()

    @torch.no_grad()
    def _width(self) -> int:
        """K, once it is clear that an image's embedding is its own whatever else is in the batch."""
        with arithmetic("fp32"):
            alone, together = self._f(self._probes[:1]), self._f(self._probes)[:1]
        if (alone - together).norm() > _APART_TOLERANCE * alone.norm():
            raise EncoderError(
                "The encoder gives an image another embedding when another image is in the batch, so that no score "
                "would be the image's own; a network that takes each image by itself is accepted; choose another."
            )
        return alone.shape[1]

    def _choose(self, rows: int, budget: int | None, plan: BatchPlan | None) -> None:
        """Choose the backend by the rule, and its plan where none is given."""
        sizes, device = batch_plan.measure(self._f, self._probes[:1]), self._probes.device
        budget = budget or batch_plan.default_budget(device)
        self.backend, self.plan = self.traced, plan or self.traced.plan(sizes, rows, device, budget)
        self.why_not_traced = self._check()
        if self.why_not_traced:
            self.traced.forget()
            self.backend, self.plan = self.autograd, plan or self.autograd.plan(sizes, rows, device, budget)

    def _check(self) -> str:
        """The rule: "" if the encoder can be traced and its product with a random cotangent is right, else why not.

        It is if it is autograd's at two images, else if finite differences say so.
        """
        cotangent = torch.randn(1, self.k, generator=torch.Generator().manual_seed(1)).to(self._probes)
        ours: Tensor | None = None
        truth: Tensor | None = None
        why_not = "the traced product is not autograd's"
        try:
            ours = self.jacobian(self._probes, cotangent)
        except OutOfMemory:
            raise
        except Exception as error:  # a network that cannot be traced may say so in any way
            why_not = f"it cannot be traced ({first_line(error)})"
        try:
            truth = self.autograd.rows(self._probes, cotangent, BatchPlan(len(self._probes), 1), pixels=True).rows
        except (MemoryError, RuntimeError) as error:
            if ours is None or not batch_plan.is_out_of_memory(error):
                raise
        if ours is not None and truth is not None and self._near(ours, truth):
            return ""
        ways = {self.traced.name: ours, self.autograd.name: truth}
        right = finite_differences.settle(self._f, self._probes, cotangent, ways, _TRUTH_TOLERANCE[self._precision])
        if right == self.traced.name:
            return ""
        return (
            f"The encoder is differentiated by autograd alone, since {why_not}; its scores are as exact, and take "
            "longer."
        )

    def _near(self, ours: Tensor, truth: Tensor) -> bool:
        return bool((ours - truth).norm() <= _PROBE_TOLERANCE[self._precision] * truth.norm())


def engine_of(
    encoder: LoadedEncoder, output: str | None = None, *, rows: int | None = None, precision: Precision = "fp32"
) -> Engine:
    """The engine of a loaded encoder's output, kept for as long as the encoder lives. Arguments: as of `Engine`."""
    key = encoder.spec.check_output(output), rows, precision
    if key not in encoder.kept:
        image = torch.zeros(encoder.input_shape, device=encoder.device)
        encoder.kept[key] = Engine(encoder.module(output), image, rows=rows, precision=precision)
    return encoder.kept[key]


def _gram_of(found: Rows) -> GramResult:
    return GramResult(gram_matrix(found.rows).cpu(), found.embedding.float().cpu(), found.features.float().cpu())
