"""What a score costs on this machine: the paper's listing, other ways to a Jacobian, and ours, side by side in one run.

Every way is given the same images. A way's time grows by the row of the Jacobian, so where all rows would take too long
it is measured at two numbers of rows and continued in a straight line; the table marks such times with "~". Weights are
random unless the encoder is bundled: they do not matter for time.

The share of the peak is K times the nominal forward FLOP, over the seconds, over the best of ten products of the shape
of the network's widest layer, in the same precision and run.
"""

import ctypes
import functools
import gc
import os
import re
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from scipy.stats import rankdata, spearmanr
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from jepa_core import images
from jepa_core.datasets import registry
from jepa_core.encoders.registry import Encoder, build_net, load_encoder
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.jacobian import linearize, sketch, spectrum
from jepa_core.jacobian.engine import Engine
from jepa_core.jacobian.gram import gram_matrix
from jepa_core.jacobian.precision import Precision
from jepa_core.scoring.batches import Grams, exact_work
from jepa_core.scoring.precision import is_fast
from jepa_core.scoring.rank import rank_of_loaded
from jepa_core.scoring.sketch import SHARE

REPEATS = 3
# A run shorter than so many seconds is repeated until it is not: the first after another way finds cold caches.
_SHORT = 0.5
# Rows at which a way that does one after the other is measured first.
FEW = 8
# Cotangents at a time for vmap and jacrev, which do not choose for themselves.
_CHUNK = 16
_BATCHES = (2, 4, 8, 16, 32, 64)
# A sketch's calibration is spread over this many images.
SPREAD = 1000


@dataclass(frozen=True)
class Case:
    """A network and an input size; `encoder` names a bundled one."""

    title: str
    architecture: str = ""
    size: int = 0
    encoder: str = ""
    output: str = "backbone"

    def build(self, device: str) -> tuple[nn.Module, tuple[int, int, int]]:
        """The frozen network and its input's shape."""
        if self.encoder:
            encoder = load_encoder(self.encoder, device)
            return encoder.module(self.output), encoder.input_shape
        kwargs: dict[str, Any] = {"img_size": self.size}
        spec = EncoderSpec(self.title, "random", "bundled", self.architecture, {"backbone": 0}, kwargs)
        return build_net(spec).eval().requires_grad_(False).to(device), (3, self.size, self.size)


CASES = {
    "digits": Case("digits, backbone", encoder="digits"),
    "digits-projector": Case("digits, projector", encoder="digits", output="projector"),
    "vits14-56": Case("ViT-S/14, 56 px", "vit_small_patch14_dinov2", 56),
    "vits14-112": Case("ViT-S/14, 112 px", "vit_small_patch14_dinov2", 112),
    "vits14-224": Case("ViT-S/14, 224 px", "vit_small_patch14_dinov2", 224),
    "vitb14-224": Case("ViT-B/14, 224 px", "vit_base_patch14_dinov2", 224),
    "vitb16-224": Case("ViT-B/16, 224 px", "vit_base_patch16_224", 224),
    "vitl14-224": Case("ViT-L/14, 224 px", "vit_large_patch14_dinov2", 224),
}


@dataclass(frozen=True)
class Line:
    """One way on one case: seconds an image, whether they are continued from fewer rows, and what follows from them."""

    case: str
    way: str
    seconds: float
    continued: bool
    over_listing: float  # how many times faster than the listing with one image
    over_batched: float  # and than the listing at its best batch
    peak_share: float
    memory: float  # GiB above what was in use before; NaN where the system does not tell
    spearman: float = np.nan  # with full float32 scores, for trained encoders
    rank_error: float = np.nan  # the largest difference of an image's rank among `fidelity`'s images


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


def _ours(engine: Engine, images: Tensor, rows: int) -> None:
    for _ in engine._parts(images, torch.eye(rows, engine.k), engine._rows, pixels=False):  # without the Gram
        pass


def _synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def _seconds(device: str, work: Callable[[], object], times: int = 1) -> float:
    _synchronize(device)
    start = time.perf_counter()
    for _ in range(times):
        work()
    _synchronize(device)
    return (time.perf_counter() - start) / times


@contextmanager
def _peak_memory(device: str) -> Iterator[list[float]]:
    """Puts into the list how many GiB more were in use inside than before."""
    found: list[float] = []
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # glibc keeps what was freed, and it would count as in use before
    status, clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")

    def read(key: str) -> int:
        return int(re.findall(rf"{key}:\s+(\d+) kB", status.read_text())[0]) * 1024

    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield found
        found.append((torch.cuda.max_memory_allocated() - before) / 2**30)
    elif os.access(clear, os.W_OK):
        clear.write_text("5")  # Linux: the peak starts again from here
        before = read("VmRSS")
        yield found
        found.append((read("VmHWM") - before) / 2**30)
    else:
        yield found
        found.append(np.nan)


def matrix_peak(f: nn.Module, device: str, dtype: torch.dtype) -> float:
    """FLOP a second: the best of ten products of the shape of the widest linear layer, for 2,048 tokens.

    For 65,536 on a GPU, which a smaller product does not fill.
    """
    tokens = 2**16 if device.startswith("cuda") else 2**11
    widest = max((p for p in f.parameters() if p.ndim == 2), key=lambda p: p.numel())
    left = torch.randn(tokens, widest.shape[0], device=device).to(dtype)
    right = torch.randn(tuple(widest.shape), device=device).to(dtype)
    best = min(_seconds(device, lambda: left @ right) for _ in range(11))
    return 2 * tokens * widest.numel() / best


def nominal_flop(f: nn.Module, image: Tensor) -> int:
    """FLOP of one forward pass of one image."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        f(image)
    return counter.get_total_flops()


@dataclass
class _Way:
    """A way to J of `images` images: `run(rows)`, and `finish()`, which makes singular values of all K rows."""

    name: str
    run: Callable[[int], object]
    finish: Callable[[], object]
    images: int
    dtype: torch.dtype
    k: int
    few: int  # rows that it does at once: times are compared at multiples of it


def _precisions(device: str) -> list[Precision]:
    """What is worth measuring: without bfloat16 products a processor takes 70 times as long as for float32 ones."""
    found: list[Precision] = ["fp32"]
    if device.startswith("cuda"):
        found.append("tf32")
    if is_fast(device):
        found.append("bf16")
    return found


def _ways(f: nn.Module, shape: tuple[int, int, int], device: str, batch: int) -> list[_Way]:
    image = torch.randn(1, *shape, device=device)
    batched = torch.randn(batch, *shape, device=device)
    k = f(image).shape[1]
    rows = torch.randn(1, k, image.numel(), device=device)

    def decompose(count: int) -> object:
        # One after the other, as LAPACK takes a batch too: a batch's Jacobians need not lie in memory together.
        return [torch.linalg.svdvals(rows[0]) for _ in range(count)]

    def gram() -> object:
        return spectrum.singular_values(gram_matrix(rows).cpu().numpy())

    ways = [
        _Way(
            "listing, one image",
            functools.partial(_listing, f, image),
            lambda: decompose(1),
            1,
            torch.float32,
            k,
            FEW,
        )
    ]
    if batch > 1:
        run = functools.partial(_listing, f, batched)
        ways.append(_Way(f"listing, {batch} images", run, lambda: decompose(batch), batch, torch.float32, k, FEW))
    ways.append(_Way("vmap", functools.partial(_vmap, f, image), lambda: decompose(1), 1, torch.float32, k, FEW))
    ways.append(_Way("jacrev", functools.partial(_jacrev, f, image), lambda: decompose(1), 1, torch.float32, k, FEW))
    precisions = _precisions(device)
    for precision in precisions:
        engine = Engine(f, image[0], precision=precision)
        several = torch.randn(engine.plan.images, *shape, device=device)
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        run = functools.partial(_ours, engine, several)
        ways.append(_Way(f"full, {precision}", run, gram, engine.plan.images, dtype, k, engine.plan.cotangents))
    for precision in precisions:
        r = max(1, round(k / SHARE))
        engine = Engine(f, image[0], rows=r, precision=precision)
        several = torch.randn(engine.plan.images, *shape, device=device)
        directions = torch.randn(r, k)
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        ways.append(
            _Way(
                f"sketch, r = {r}, {precision}",
                lambda rows, engine=engine, several=several, directions=directions: engine.gram(  # type: ignore[misc]
                    several, directions[:rows]
                ),
                lambda: None,
                engine.plan.images,
                dtype,
                r,
                engine.plan.cotangents,
            )
        )
    return ways


def best_batch(f: nn.Module, shape: tuple[int, int, int], device: str) -> int:
    """How many images at a time the listing is fastest with, by a few rows; it is given up where it gets slower."""
    best, fastest = 1, np.inf
    for batch in (1, *_BATCHES):
        images = torch.randn(batch, *shape, device=device)
        _listing(f, images, 1)
        seconds = min(_seconds(device, lambda: _listing(f, images, 4)) for _ in range(2)) / batch  # noqa: B023
        if seconds > 1.05 * fastest:
            break
        if seconds < fastest:
            best, fastest = batch, seconds
    return best


def measure(case: Case, device: str, limit: float = 20.0) -> list[Line]:
    """All ways on one case, interleaved; at most about `limit` seconds for each run of each way.

    On a GPU our graphs are compiled at once, as they are in any longer run; compiling is part of no time.
    """
    f, shape = case.build(device)
    image = torch.randn(1, *shape, device=device)
    flop, k = nominal_flop(f, image), f(image).shape[1]
    ways = _ways(f, shape, device, best_batch(f, shape, device))
    linearize.COMPILED_AFTER = 0
    rows, memory, again = {}, {}, {}
    for way in ways:
        with _peak_memory(device) as found:
            way.run(way.few)  # warm up
        memory[way.name] = found[0]
        seconds = _seconds(device, functools.partial(way.run, way.few))
        fitting = max(2, int(limit / seconds)) * way.few
        rows[way.name] = way.k if fitting >= way.k else fitting
        again[way.name] = max(1, round(_SHORT / (seconds * rows[way.name] / way.few)))
    times: dict[str, list[float]] = {way.name: [] for way in ways}
    peaks: dict[torch.dtype, list[float]] = {way.dtype: [] for way in ways}
    for _ in range(REPEATS):
        for dtype, found_peaks in peaks.items():
            found_peaks.append(matrix_peak(f, device, dtype))
        for way in ways:
            seconds = _seconds(device, functools.partial(way.run, rows[way.name]), again[way.name])
            if rows[way.name] < way.k:
                base = _seconds(device, functools.partial(way.run, way.few))
                seconds = base + (seconds - base) / (rows[way.name] - way.few) * (way.k - way.few)
            times[way.name].append(seconds / way.images + _seconds(device, way.finish) / _finished(way))
    lines = _lines(case, ways, times, rows, memory, peaks, flop * k)
    if not case.encoder:
        return lines
    agreement = fidelity(load_encoder(case.encoder, device), case.output, [line.way for line in lines])
    unknown = (np.nan, np.nan)
    return [
        replace(line, spearman=rho, rank_error=error)
        for line in lines
        for rho, error in [agreement.get(line.way, unknown)]
    ]


def fidelity(encoder: Encoder, output: str, ways: Sequence[str]) -> dict[str, tuple[float, float]]:
    """How each of our ways ranks the encoder's reference images against full float32 scores.

    Spearman's correlation, and the largest difference of ranks. A sketch is judged on the images that it was not
    calibrated on.
    """
    items = list(registry.get_dataset(encoder.spec.reference).items())
    inputs = torch.stack([encoder.preprocess(images.decode(item.read()).image) for item in items])
    rank = rank_of_loaded(encoder, output).rank
    order = np.random.default_rng(0).permutation(len(items))
    calibrated, others = order[: sketch.IMAGES], order[sketch.IMAGES :]
    full: dict[str, ndarray] = {}
    found: dict[str, tuple[float, float]] = {}
    for precision in _precisions(encoder.device):
        kept = Grams([], [], [])
        work = exact_work(encoder, output, precision, keep=kept)
        for start in range(0, len(items), work.size):
            part = inputs[start : start + work.size]
            work.compute([str(start + place) for place in range(len(part))], part)
        grams, features = np.stack(kept.grams), np.stack(kept.features).astype(np.float64)
        full[precision] = np.asarray(spectrum.jepa_score(spectrum.singular_values(grams), rank))
        found[f"full, {precision}"] = _agreement(full["fp32"], full[precision])
        for way in ways:
            r, used = re.findall(r"r = (\d+), (\w+)", way)[0] if way.startswith("sketch") else (0, "")
            if used == precision:
                calibration = sketch.calibrate(grams[calibrated], features[calibrated], rank, int(r), seed=0)
                small = calibration.directions @ grams[others] @ calibration.directions.T
                guess = calibration.estimate(small, features[others])
                found[way] = _agreement(full["fp32"][others], guess.score)
    return found


def _agreement(truth: ndarray, scores: ndarray) -> tuple[float, float]:
    return float(spearmanr(truth, scores).statistic), float(np.abs(rankdata(truth) - rankdata(scores)).max())


def _finished(way: _Way) -> int:
    """How many images `finish` was done for."""
    return way.images if way.name.startswith("listing") else 1


def _lines(
    case: Case,
    ways: list[_Way],
    times: dict[str, list[float]],
    rows: dict[str, int],
    memory: dict[str, float],
    peaks: dict[torch.dtype, list[float]],
    flop: int,
) -> list[Line]:
    """Medians; a sketch carries its share of full scores for calibration."""
    seconds = {name: statistics.median(found) for name, found in times.items()}
    for name in list(seconds):
        if name.startswith("sketch"):
            seconds[name] += sketch.IMAGES / SPREAD * seconds[f"full, {name.rsplit(' ', 1)[1]}"]
    listings = [found for name, found in seconds.items() if name.startswith("listing")]
    return [
        Line(
            case=case.title,
            way=way.name,
            seconds=seconds[way.name],
            continued=rows[way.name] < way.k,
            over_listing=listings[0] / seconds[way.name],
            over_batched=min(listings) / seconds[way.name],
            peak_share=np.nan if way.name.startswith("sketch") else flop / seconds[way.name] / max(peaks[way.dtype]),
            memory=memory[way.name],
        )
        for way in ways
    ]
