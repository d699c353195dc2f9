"""What a piece of work costs: seconds, memory, and what this machine could do at best."""

import ctypes
import gc
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def _synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def seconds_of(device: str, work: Callable[[], object], times: int = 1) -> float:
    """Seconds that a piece of work takes, as the mean of so many times, with what a GPU still does awaited."""
    _synchronize(device)
    start = time.perf_counter()
    for _ in range(times):
        work()
    _synchronize(device)
    return (time.perf_counter() - start) / times


@contextmanager
def peak_memory(device: str) -> Iterator[list[float]]:
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
    best = min(seconds_of(device, lambda: left @ right) for _ in range(11))
    return 2 * tokens * widest.numel() / best


def nominal_flop(f: nn.Module, image: Tensor) -> int:
    """FLOP of one forward pass of one image."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        f(image)
    return counter.get_total_flops()
