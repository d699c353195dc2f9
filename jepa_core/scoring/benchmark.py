"""What a score costs on this machine: the paper's listing, other ways to a Jacobian, and ours, side by side in one run.

Every way is given the same images. A way's time grows by the row of the Jacobian, so where all rows would take too long
it is measured at two numbers of rows and continued in a straight line; the table marks such times with "~". Weights are
random unless the encoder is bundled: they do not matter for time.

The share of the peak is K times the nominal forward FLOP, over the seconds, over the best of ten products of the shape
of the network's widest layer, in the same precision and run.
"""

import functools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from scipy.stats import rankdata
from torch import nn

from jepa_core import images
from jepa_core.datasets import registry
from jepa_core.encoders.encoder import Encoder, build_net
from jepa_core.encoders.registry import load_encoder
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.jacobian import spectrum
from jepa_core.jacobian.precision import Precision
from jepa_core.jacobian.sketch import log_pivots
from jepa_core.scoring import benchmark_estimates, looks, stopwatch
from jepa_core.scoring.allocator import Prices, quick_calibration
from jepa_core.scoring.batches import Grams, exact_work
from jepa_core.scoring.benchmark_clock import matrix_peak, nominal_flop, peak_memory, seconds_of
from jepa_core.scoring.benchmark_ways import Way, best_batch, ways_of
from jepa_core.scoring.calibration import Known
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.forecast import USUAL_CALIBRATION
from jepa_core.scoring.method import Goal, ScoringMethod
from jepa_core.stats.rank_correlation import spearman
from jepa_core.store.records import Result

REPEATS = 3
# A run shorter than so many seconds is repeated until it is not: the first after another way finds cold caches.
_SHORT = 0.5


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


def _precisions(device: str) -> list[Precision]:
    """What is worth measuring: a processor that emulates bfloat16 takes 70 times as long as for float32."""
    found: list[Precision] = ["fp32"]
    if device.startswith("cuda"):
        found.append("tf32")
    if not stopwatch.is_emulated(device):
        found.append("bf16")
    return found


@dataclass
class _Measured:
    """A way while it is measured: for how many rows and how often in a row it is run, and seconds an image so far."""

    way: Way
    rows: int
    again: int
    memory: float
    times: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return statistics.median(self.times)


def measure(case: Case, device: str, limit: float = 20.0) -> list[Line]:
    """All ways on one case, interleaved; at most about `limit` seconds for each run of each way.

    On a GPU our graphs are compiled at once, as they are in any longer run; compiling is part of no time.
    """
    f, shape = case.build(device)
    image = torch.randn(1, *shape, device=device)
    flop, k = nominal_flop(f, image), f(image).shape[1]
    ways = ways_of(f, shape, device, best_batch(f, shape, device), _precisions(device))
    measured = [_warmed_up(way, device, limit) for way in ways]
    peaks: dict[torch.dtype, list[float]] = {way.dtype: [] for way in ways}
    for _ in range(REPEATS):
        for dtype, found in peaks.items():
            found.append(matrix_peak(f, device, dtype))
        for one in measured:
            one.times.append(_run(one, device))
    lines = _lines(case, measured, {dtype: max(found) for dtype, found in peaks.items()}, flop * k)
    trained = Trained(load_encoder(case.encoder, device), case.output) if case.encoder else None
    if trained:
        agreement, unknown = trained.agreement(ways), (np.nan, np.nan)
        told = [(line, *agreement.get(line.way, unknown)) for line in lines]
        lines = [replace(line, spearman=rho, rank_error=error) for line, rho, error in told]
    return lines + _estimates(lines, measured, trained)


def _warmed_up(way: Way, device: str, limit: float) -> _Measured:
    with peak_memory(device) as found:
        way.run(way.few)
    seconds = seconds_of(device, functools.partial(way.run, way.few))
    fitting = max(2, int(limit / seconds)) * way.few
    rows = way.k if fitting >= way.k else fitting
    return _Measured(way, rows, max(1, round(_SHORT / (seconds * rows / way.few))), found[0])


def _run(one: _Measured, device: str) -> float:
    """Seconds for all K rows of an image and their singular values; from two numbers of rows in a straight line."""
    way = one.way
    seconds = seconds_of(device, functools.partial(way.run, one.rows), one.again)
    if one.rows < way.k:
        base = seconds_of(device, functools.partial(way.run, way.few))
        seconds = base + (seconds - base) / (one.rows - way.few) * (way.k - way.few)
    return seconds / way.images + seconds_of(device, way.finish) / way.finished


class Trained:
    """The reference images of a trained encoder, all scored fully, in each of our precisions."""

    def __init__(self, encoder: Encoder, output: str) -> None:
        items = list(registry.get_dataset(encoder.spec.reference).items())
        inputs = torch.stack([encoder.preprocess(images.decode(item.read()).image) for item in items])
        scored = EncoderOutput.of(encoder, output)
        self.rank = scored.rank.rank
        self.full: dict[str, ndarray] = {}
        for precision in _precisions(encoder.device):
            kept, results = Grams([], []), []
            work = exact_work(scored, precision, keep=kept)
            for start in range(0, len(items), work.size):
                part = inputs[start : start + work.size]
                results += work.results([str(start + place) for place in range(len(part))], part)
            found = [result for result in results if isinstance(result, Result)]
            spectra = np.stack([result.spectrum for result in found])
            self.full[precision] = np.asarray(spectrum.jepa_score(spectra, self.rank), dtype=np.float64)
            if precision == "fp32":
                self.known = self._known(found, kept, scored)

    def _known(self, found: Sequence[Result], kept: Grams, scored: EncoderOutput) -> Known:
        directions = looks.directions_by(scored, kept.grams)
        everywhere = np.ones(len(found), dtype=bool)
        return Known(
            [result.digest for result in found],
            self.full["fp32"],
            np.stack([np.concatenate([result.sizes, result.embedding]) for result in found]).astype(np.float64),
            log_pivots(np.stack([directions @ gram @ directions.T for gram in kept.grams])),
            own=everywhere,
            drawn=everywhere,
        )

    def agreement(self, ways: Sequence[Way]) -> dict[str, tuple[float, float]]:
        """How our full ways, by name, rank the images against full float32 scores: Spearman, largest rank error."""
        return {
            way.name: _agreement(self.full["fp32"], self.full[way.precision])
            for way in ways
            if way.precision and not way.part
        }


def _agreement(truth: ndarray, scores: ndarray) -> tuple[float, float]:
    return spearman(truth, scores), float(np.abs(rankdata(truth) - rankdata(scores)).max())


def _estimates(lines: Sequence[Line], measured: Sequence[_Measured], trained: Trained | None) -> list[Line]:
    """A line for each method that estimates and each number of images, in float32; see `benchmark_estimates`."""
    seconds = {one.way.part or "full": one for one in measured if one.way.precision == "fp32"}
    look, products = seconds["look"].seconds, seconds["products"]
    prices = Prices(look, max(products.seconds - look, 0.0) / products.way.k, seconds["full"].seconds)
    listing, found = lines[0], []
    for name in ("quick", "balanced"):
        goal = ScoringMethod.named(name).goal
        for count in benchmark_estimates.SIZES:
            if trained:
                played = benchmark_estimates.play(trained.known, goal, prices, count)
            else:
                played = _priced(goal, prices, count)
            spent = played.seconds
            found.append(
                replace(
                    listing,
                    way=f"{name}, N = {count:,} ({played.calibrated} full, {played.rows} products)",
                    seconds=spent,
                    continued=True,
                    over_listing=listing.seconds / spent,
                    over_batched=listing.over_batched * listing.seconds / spent,
                    peak_share=np.nan,
                    spearman=played.spearman,
                    rank_error=np.nan,
                )
            )
    return found


def _priced(goal: Goal, prices: Prices, images: int) -> benchmark_estimates.Played:
    """The price of a run where nothing is known of its worth."""
    calibrated = min(images, quick_calibration(images, prices, 0) if goal.quick else USUAL_CALIBRATION)
    seconds = prices.look + calibrated * prices.full / images
    return benchmark_estimates.Played(calibrated, 0, seconds, np.nan, np.nan)


def _lines(case: Case, measured: list[_Measured], peaks: dict[torch.dtype, float], flop: int) -> list[Line]:
    """Medians. `flop` is that of all K products."""
    listings = [one.seconds for one in measured if one.way.name.startswith("listing")]
    lines = []
    for one in measured:
        way, seconds = one.way, one.seconds
        lines.append(
            Line(
                case=case.title,
                way=way.name,
                seconds=seconds,
                continued=one.rows < way.k,
                over_listing=listings[0] / seconds,
                over_batched=min(listings) / seconds,
                peak_share=np.nan if way.part else flop / seconds / peaks[way.dtype],
                memory=one.memory,
            )
        )
    return lines
