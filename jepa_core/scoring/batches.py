"""From pictures to results, a batch at a time; while one batch is computed, the next is decoded.

`exact_work`, `look_work` and `products_work` say what is done with a batch of inputs. Each is a plain function of an
encoder and inputs, so it can run anywhere; `score_pictures` feeds it.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

from jepa_core import images
from jepa_core.decoding.sandbox import MOST_CHILDREN, DecodingCancelled
from jepa_core.errors import JepaError
from jepa_core.jacobian import sketch, spectrum
from jepa_core.progress import Cancelled, never
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.store.records import Look, Result

if TYPE_CHECKING:
    from torch import Tensor

    from jepa_core.encoders.encoder import Encoder
    from jepa_core.jacobian.engine import GramResult, Precision

    _Computed = tuple[Sequence[str], GramResult, float]

Scored = Result | Look
Named = tuple[str, str, bytes]
"""An image's name, its digest and its bytes."""


@dataclass(frozen=True)
class Work:
    """What is done with inputs (B, C, H, W), `size` at a time: they become results, or None where not finite.

    `note` is a sentence that a person should know of it, or "". Where `compute` ran on a card, the rest of the work may
    be left to the processor: `finish` makes results of what `compute` gives, while the card goes on (`score_pictures`).
    """

    size: int
    compute: "Callable[[Sequence[str], Tensor], Any]"
    note: str = ""
    finish: "Callable[[Any], list[Scored | None]]" = list
    beside: bool = False

    def results(self, digests: Sequence[str], inputs: "Tensor") -> list[Scored | None]:
        """All of the work on a batch at once."""
        return self.finish(self.compute(digests, inputs))


@dataclass(frozen=True, eq=False)
class Grams:
    """Full Grams (K, K) of images by digest, kept until the directions of sketches are chosen."""

    digests: list[str]
    grams: list[ndarray]


def exact_work(
    output: EncoderOutput,
    precision: "Precision" = "fp32",
    keep: Grams | None = None,
    directions: ndarray | None = None,
) -> Work:
    """All K products an image; Grams are added to `keep` if it is given, and directions make pivots of them."""
    from jepa_core.jacobian import engine as jacobian_engine

    encoder = output.loaded
    engine = jacobian_engine.engine_of(encoder, output.name, precision=precision)

    def compute(digests: Sequence[str], inputs: "Tensor") -> "_Computed":
        start = time.perf_counter()
        found = engine.gram(inputs.to(encoder.device))
        return digests, found, time.perf_counter() - start

    def finish(computed: "_Computed") -> list[Scored | None]:
        digests, found, seconds = computed
        start = time.perf_counter()
        grams, embeddings = found.gram.numpy(), found.embedding.numpy()
        sizes = sizes_of(found.features.numpy(), output.k)
        finite = np.isfinite(grams).all(axis=(1, 2))
        spectra = np.zeros(embeddings.shape, dtype=np.float32)
        if finite.any():
            spectra[finite] = spectrum.singular_values(grams[finite])
        seconds = (seconds + time.perf_counter() - start) / len(digests)
        results: list[Scored | None] = []
        for place, digest in enumerate(digests):
            if not finite[place]:
                results.append(None)
                continue
            gram, norm = grams[place], squared_norm(embeddings[place])
            pivots = (
                np.empty(0) if directions is None else sketch.log_pivots((directions @ gram @ directions.T)[None])[0]
            )
            results.append(
                Result(digest, spectra[place], embeddings[place], norm, seconds, encoder.device, sizes[place], pivots)
            )
            if keep is not None:
                keep.digests.append(digest)
                keep.grams.append(gram)
        return results

    # On a processor the eigenvalues would only take the cores from the products.
    return Work(engine.plan.images, compute, engine.why_not_traced, finish, beside=encoder.device != "cpu")


def look_work(output: EncoderOutput) -> Work:
    """One forward pass an image, and no product: the embedding and the sizes of the layers."""
    from jepa_core.jacobian import engine as jacobian_engine

    encoder = output.loaded
    engine = jacobian_engine.engine_of(encoder, output.name, rows=1)

    def compute(digests: Sequence[str], inputs: "Tensor") -> list[Scored | None]:
        start = time.perf_counter()
        embedding, features = engine.forward(inputs.to(encoder.device))
        none = np.empty((len(digests), 0))
        return _looks(digests, embedding.numpy(), sizes_of(features.numpy(), output.k), none, start)

    return Work(engine.plan.images, compute, engine.why_not_traced)


def products_work(output: EncoderOutput, directions: ndarray, precision: "Precision" = "fp32") -> Work:
    """r products an image, along the directions (r, K): the pivots of its sketch."""
    import torch

    from jepa_core.jacobian import engine as jacobian_engine

    encoder = output.loaded
    engine = jacobian_engine.engine_of(encoder, output.name, rows=len(directions), precision=precision)
    rows = torch.from_numpy(directions).float()

    def compute(digests: Sequence[str], inputs: "Tensor") -> list[Scored | None]:
        start = time.perf_counter()
        found = engine.gram(inputs.to(encoder.device), rows)
        sizes, pivots = sizes_of(found.features.numpy(), output.k), sketch.log_pivots(found.gram.numpy())
        return _looks(digests, found.embedding.numpy(), sizes, pivots, start)

    return Work(engine.plan.images, compute, engine.why_not_traced)


def sizes_of(features: ndarray, k: int) -> ndarray:
    """The sizes of the layers among an engine's features (B, F); a constant for a network that was not traced."""
    sizes = features[:, : features.shape[1] - k]
    return sizes if sizes.shape[1] else np.zeros((len(features), 1), dtype=np.float32)


def _looks(
    digests: Sequence[str], embeddings: ndarray, sizes: ndarray, pivots: ndarray, start: float
) -> list[Scored | None]:
    seconds = (time.perf_counter() - start) / len(digests)
    whole = np.isfinite(embeddings).all(axis=1) & np.isfinite(sizes).all(axis=1) & np.isfinite(pivots).all(axis=1)
    return [
        Look(digest, embeddings[place], sizes[place], pivots[place], seconds) if whole[place] else None
        for place, digest in enumerate(digests)
    ]


def squared_norm(embedding: ndarray) -> float:
    """|f(x)|^2 in float64."""
    return float(np.square(embedding, dtype=np.float64).sum())


def score_pictures(
    encoder: "Encoder",
    work: Work,
    named: Sequence[Named],
    put: Callable[[list], None],
    stop: Cancelled = never,
) -> list[tuple[str, str]]:
    """Do the work on pictures and return the failures as (name, sentence).

    Results are handed to `put` batch by batch; `stop` is asked before each batch, since one may take minutes, and while
    a picture is decoded. Where work is finished beside the next batch (`Work.beside`), its results are put one batch
    later, in the same order, and what is computed is put whatever ends the loop.
    """
    import torch

    failed: list[tuple[str, str]] = []
    ahead: deque[tuple[_Batch, Future]] = deque()

    def put_first() -> None:
        ready, finishing = ahead[0]
        results = finishing.result()
        ahead.popleft()
        put([result for result in results if result is not None])
        failed.extend(
            (name, f"The Jacobian of {name} has values that are not finite; it gets no score; look at the picture.")
            for (name, _digest, _input), result in zip(ready, results, strict=True)
            if result is None
        )

    with ThreadPoolExecutor(1, thread_name_prefix="jepa-finish") as pool:
        try:
            for ready, unreadable in _decoded(encoder, named, work.size, stop):
                failed += unreadable
                if stop():
                    break
                if not ready:
                    continue
                computed = work.compute(
                    [digest for _name, digest, _input in ready], torch.stack([each[2] for each in ready])
                )
                ahead.append((ready, pool.submit(work.finish, computed)))
                while len(ahead) > work.beside:
                    put_first()
        finally:
            while ahead:
                put_first()
    return failed


_Batch = list[tuple[str, str, "Tensor"]]
_Ready = tuple[_Batch, list[tuple[str, str]]]


def _decoded(encoder: "Encoder", named: Sequence[Named], size: int, stop: Cancelled) -> Iterator[_Ready]:
    """Batches of (name, digest, input) with what could not be read, one batch ahead of who asks.

    Where a card computes, several pictures are decoded at once, since it would wait for them; a processor's cores are
    better left to the products.
    """

    def decode(one: Named) -> _Ready:
        name, digest, data = one
        try:
            found = images.cropped(data, encoder.data_config, name, stop)
            return [(name, digest, encoder.normalised(found.image))], []
        except DecodingCancelled:
            return [], []
        except JepaError as error:
            return [], [(name, str(error))]

    parts = [named[start : start + size] for start in range(0, len(named), size)]
    pool = ThreadPoolExecutor(1 if encoder.device == "cpu" else MOST_CHILDREN, thread_name_prefix="jepa-decode")
    try:
        ahead: deque[list[Future[_Ready]]] = deque()
        for part in [*parts, None]:
            if part is not None:
                ahead.append([pool.submit(decode, one) for one in part])
            while len(ahead) > (part is not None):
                found = [each.result() for each in ahead.popleft()]
                yield [one for ready, _ in found for one in ready], [one for _, failed in found for one in failed]
    finally:
        pool.shutdown(cancel_futures=True)
