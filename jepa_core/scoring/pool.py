"""Full scores that the explorer comes with: what estimates of a set start from before one of its images is scored.

A file for each output of the bundled encoders, made by `benchmarks/pools.py`. It holds no pictures: their digests, so
that an image of the set at hand is not taken for another's, scores, features, and pivots along directions of its own.
Features are rounded to ten binary digits.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from jepa_core.config import ASSETS
from jepa_core.files import replace_file
from jepa_core.scoring.encoder_output import EncoderOutput

_DIGITS = 10


@dataclass(frozen=True, eq=False)
class Pool:
    """Fully scored images: digests (n), scores (n), features (n, F), pivots (n, r) along directions (r, K)."""

    digests: ndarray
    scores: Float[ndarray, "n"]
    features: Float[ndarray, "n features"]
    pivots: Float[ndarray, "n r"]
    directions: Float[ndarray, "r k"]


def path_of(output: EncoderOutput) -> Path:
    """Where the pool of an output lies, whether there is one or not."""
    return ASSETS / "pools" / f"{output.spec.name}-{output.name}.npz"


def shipped(output: EncoderOutput) -> Pool | None:
    """The pool of an output; None where there is none, or it is one of other weights."""
    found = _read(path_of(output))
    if found is None or found[0] != (output.space, output.rank.rank):
        return None
    return found[1]


@lru_cache(maxsize=4)
def _read(path: Path) -> tuple[tuple[str, int], Pool] | None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            told = str(arrays["space"]), int(arrays["rank"])
            parts = {name: arrays[name] for name in ("digests", "scores", "features", "pivots", "directions")}
    except Exception:  # none, or whatever a damaged file makes of a reader: estimates then start from nothing
        return None
    floats = {name: value.astype(np.float64) for name, value in parts.items() if name != "digests"}
    return told, Pool(digests=parts["digests"], **floats)


def write(output: EncoderOutput, pool: Pool) -> Path:
    """Write the pool of an output; returns where."""
    path = path_of(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    mantissa, exponent = np.frexp(pool.features.astype(np.float32))
    rounded = np.ldexp(np.round(np.ldexp(mantissa, _DIGITS + 1)), exponent - _DIGITS - 1).astype(np.float32)

    def save(to: Path) -> None:
        with to.open("wb") as file:
            np.savez_compressed(
                file,
                allow_pickle=False,
                space=np.array(output.space),
                rank=np.array(output.rank.rank),
                digests=pool.digests,
                scores=pool.scores,
                features=rounded,
                pivots=pool.pivots.astype(np.float32),
                directions=pool.directions,
            )

    replace_file(path, save)
    return path
