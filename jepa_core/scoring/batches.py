"""From pictures to results, a batch at a time; while one batch is computed, the next is decoded.

`exact_work` and `sketch_work` say what is done with a batch of inputs. Each is a plain function of an encoder and
inputs, so it can run anywhere; `score_pictures` feeds it.
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
from jepa_core.decoding.sandbox import DecodingCancelled
from jepa_core.errors import JepaError
from jepa_core.jacobian import spectrum
from jepa_core.progress import Cancelled, never
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.store.records import Estimate, Result

if TYPE_CHECKING:
    from torch import Tensor

    from jepa_core.encoders.encoder import Encoder
    from jepa_core.jacobian.engine import GramResult, Precision
    from jepa_core.jacobian.sketch import Calibration

    _Computed = tuple[Sequence[str], GramResult, float]

Scored = Result | Estimate
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
    """Full Grams (n, K, K) and features (n, F) of images by digest: what a sketch is calibrated on."""

    digests: list[str]
    grams: list[ndarray]
    features: list[ndarray]


def exact_work(output: EncoderOutput, precision: "Precision" = "fp32", keep: Grams | None = None) -> Work:
    """All K products an image; Grams are added to `keep` if it is given."""
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
            norm = _squared_norm(embeddings[place])
            results.append(Result(digest, spectra[place], embeddings[place], norm, seconds, encoder.device))
            if keep is not None:
                keep.digests.append(digest)
                keep.grams.append(grams[place])
                keep.features.append(found.features[place].numpy())
        return results

    # On a processor the eigenvalues would only take the cores from the products.
    return Work(engine.plan.images, compute, engine.why_not_traced, finish, beside=encoder.device != "cpu")


def sketch_work(output: EncoderOutput, calibration: "Calibration", precision: "Precision" = "fp32") -> Work:
    """The calibration's r products an image, and an estimate with its interval."""
    import torch

    from jepa_core.jacobian import engine as jacobian_engine

    encoder = output.loaded
    engine = jacobian_engine.engine_of(encoder, output.name, rows=calibration.r, precision=precision)
    directions = torch.from_numpy(calibration.directions).float()

    def compute(digests: Sequence[str], inputs: "Tensor") -> list[Scored | None]:
        start = time.perf_counter()
        found = engine.gram(inputs.to(encoder.device), directions)
        small, features, embeddings = found.gram.numpy(), found.features.numpy(), found.embedding.numpy()
        finite = np.isfinite(small).all(axis=(1, 2)) & np.isfinite(features).all(axis=1)
        guess = calibration.estimate(
            np.where(finite[:, None, None], small, np.eye(calibration.r)), np.where(finite[:, None], features, 0.0)
        )
        seconds = (time.perf_counter() - start) / len(digests)
        finite &= np.isfinite(guess.score)
        return [
            Estimate(
                digest=digest,
                score=float(guess.score[place]),
                low=float(guess.low[place]),
                high=float(guess.high[place]),
                far=bool(guess.far[place]),
                embedding=embeddings[place],
                squared_norm=_squared_norm(embeddings[place]),
                seconds=seconds,
                device=encoder.device,
            )
            if finite[place]
            else None
            for place, digest in enumerate(digests)
        ]

    return Work(engine.plan.images, compute, engine.why_not_traced)


def _squared_norm(embedding: ndarray) -> float:
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
    """Batches of (name, digest, input) with what could not be read, one batch ahead of who asks."""

    def decode(part: Sequence[Named]) -> _Ready:
        ready, failed = [], []
        for name, digest, data in part:
            try:
                found = images.cropped(data, encoder.data_config, name, stop)
                ready.append((name, digest, encoder.normalised(found.image)))
            except DecodingCancelled:
                break
            except JepaError as error:
                failed.append((name, str(error)))
        return ready, failed

    parts = [named[start : start + size] for start in range(0, len(named), size)]
    with ThreadPoolExecutor(1, thread_name_prefix="jepa-decode") as pool:
        ahead = pool.submit(decode, parts[0]) if parts else None
        for part in [*parts[1:], None]:
            if ahead is None:
                return
            now = ahead
            ahead = pool.submit(decode, part) if part is not None else None
            yield now.result()
