"""The bootstrap: how often each image is drawn into each resample, and the interval of what the resamples give.

Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7, 1979. The seed is fixed, so two
statistics of the same images (in the same order) are judged on the same draws, and their difference has an interval of
its own.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int32
from numpy import ndarray

LEVEL = 0.9
"""Of every interval, those of estimated scores too."""
RESAMPLES = 500

_KEPT_DRAWS = 8  # of sets of up to so many images together; as many as 50 MB
_KEPT_IMAGES = 3000
_BLOCK = 2**22  # draws made at once


def interval(values: Float[ndarray, "resamples"]) -> tuple[float, float]:
    """The percentile bootstrap's interval: the middle `LEVEL` of the resampled values.

    It says what another choice of as many images would change. It has no width where all resamples agree, as at a
    perfect AUROC, and then claims too much.
    """
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def times_drawn(*sizes: int) -> tuple[Int32[ndarray, "size resamples"], ...]:
    """How often each image is in each of `RESAMPLES` resamples, for sets of these sizes. Nobody may change the arrays.

    Each resample draws as many images of a set as it has, with replacement. The draws are the same each time.
    """
    return (_drawn_and_kept if sum(sizes) <= _KEPT_IMAGES else _drawn)(*sizes)


def _drawn(*sizes: int) -> tuple[Int32[ndarray, "size resamples"], ...]:
    generator = np.random.default_rng(0)
    counted = []
    for size in sizes:
        times = np.empty((size, RESAMPLES), dtype=np.int32)
        block = max(1, _BLOCK // size)
        for first in range(0, RESAMPLES, block):
            count = min(block, RESAMPLES - first)
            drawn = generator.integers(size, size=(count, size)) + size * np.arange(count)[:, None]
            times[:, first : first + count] = np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size).T
        times.setflags(write=False)
        counted.append(times)
    return tuple(counted)


_drawn_and_kept = lru_cache(maxsize=_KEPT_DRAWS)(_drawn)
