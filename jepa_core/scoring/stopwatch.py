"""Whether bfloat16 is faster than float32 here, by a stopwatch: once for each machine and encoder output.

What a processor says that it can do does not tell. With bfloat16 products in its vector registers (AVX-512) and no
tiles (AMX) a ViT-S/14 at 56 px was measured to take 2.13 s in bfloat16 against 1.20 s in float32, and on another
processor with the same products 1.11 s against 1.91 s.
"""

import functools
import logging
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from jepa_core.errors import JepaError
from jepa_core.keys import make_key
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.store import sketches
from jepa_core.store.results import Store

if TYPE_CHECKING:
    from jepa_core.jacobian.engine import Engine

_log = logging.getLogger(__name__)

FASTER = 0.9
"""The share of float32's time that bfloat16 may take at most where it is chosen for its speed."""
HOPELESS = 3.0
"""Where one matrix product takes so many times as long in bfloat16, it is emulated, and no encoder need be tried."""
_TIMES = 5  # that each precision's product is timed, in turn; the least counts, since other programs only add to it
_SIDE = 512  # of the matrices: milliseconds in float32, and a tenth of a second where bfloat16 is emulated


def in_words(ratio: float) -> str:
    """What was measured.

    >>> in_words(1.777)
    'bfloat16 took 1.8 times as long as float32 here'
    """
    return f"bfloat16 took {times(ratio)} times as long as float32 here"


def times(ratio: float) -> str:
    """A ratio with two digits, or all of them before the point."""
    return f"{ratio:.2g}" if ratio < 99.5 else f"{ratio:.0f}"


def is_emulated(device: str) -> bool:
    """Whether a device is so slow in bfloat16 that nothing of an encoder need be timed."""
    return matrix_time_ratio(device) >= HOPELESS


@functools.cache
def matrix_time_ratio(device: str) -> float:
    """Seconds of one matrix product in bfloat16 over those in float32. Measured once in a process."""
    import torch

    from jepa_core.scoring.benchmark_clock import seconds_of

    def product(dtype: torch.dtype) -> float:
        square = torch.ones(_SIDE, _SIDE, dtype=dtype, device=device)
        return seconds_of(device, lambda: (square @ square)[0, 0].item())  # waits for a device that runs ahead

    found = [(product(torch.bfloat16), product(torch.float32)) for _ in range(1 + _TIMES)][1:]  # the first warms up
    half, full = (min(seconds) for seconds in zip(*found, strict=True))
    return half / full


def kept_time_ratio(store: Store, output: EncoderOutput) -> float | None:
    """What `product_time_ratio` found on this machine, if it was asked before."""
    found = sketches.precision(store, _key(output))
    return found[1] if found else None


def product_time_ratio(store: Store, output: EncoderOutput) -> float | None:
    """Seconds of a Jacobian's product in bfloat16 over those in float32; None where there is none in bfloat16.

    As many cotangents and noise images as the output's engines take together. What is found is kept in the store for
    this machine. An emulated bfloat16 is not tried: the ratio is then that of a matrix product.
    """
    kept = kept_time_ratio(store, output)
    if kept is not None:
        return kept
    device = output.loaded.device
    try:
        ratio = matrix_time_ratio(device) if is_emulated(device) else _measured(output)
    except (JepaError, RuntimeError) as error:  # a device without bfloat16, or an encoder that it tells nothing about
        _log.warning("bfloat16 cannot be tried on %s: %s", device, error)
        return None
    sketches.put_precision(store, _key(output), "bf16" if ratio < 1 else "fp32", ratio)
    return ratio


def _measured(output: EncoderOutput) -> float:
    from jepa_core.jacobian.engine import engine_of

    engines = [engine_of(output.loaded, output.name, precision=precision) for precision in ("bf16", "fp32")]
    found = [[_seconds(engine, output) for engine in engines] for _ in range(1 + _TIMES)][1:]  # the first traces
    half, full = (min(seconds) for seconds in zip(*found, strict=True))
    return half / full


def _seconds(engine: "Engine", output: EncoderOutput) -> float:
    """Seconds of one row of one image, where as many are computed together as are planned."""
    import torch

    from jepa_core.scoring.benchmark_clock import seconds_of

    plan, encoder = engine.plan, output.loaded
    noise = torch.randn(plan.images, *encoder.input_shape, generator=torch.Generator().manual_seed(0))
    images, directions = noise.to(encoder.device), torch.eye(plan.cotangents, engine.k)
    return seconds_of(encoder.device, lambda: engine.gram(images, directions)) / (plan.images * plan.cotangents)


def _key(output: EncoderOutput) -> str:
    return make_key("bfloat16 against float32", _machine(output.loaded.device), output.space)


def _machine(device: str) -> str:
    """What computes, in words that are others where its speed may be another."""
    import torch

    name = _processor() if device == "cpu" else f"{device} of {_processor()}"
    if device.startswith("cuda"):
        name = torch.cuda.get_device_name(device)
    return f"{name}; {torch.get_num_threads()} threads; PyTorch {torch.__version__}"


def _processor() -> str:
    """The processor's name, and where Linux tells, what it can do: a virtual machine's name may say nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return "; ".join(line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part")))
