"""Walks: an image moved step by step along a direction, and what its score and its embedding do on the way.

For a direction d of length 1 (a right singular vector, or one drawn at random) the picture x + t d is clipped to what a
picture can hold, 0 to 255 in every channel, and scored. Lengths t are in the encoder's normalised input, in which the
values of ordinary pictures have a standard deviation of about 1. To first order the embedding moves by |J d| |t|, which
is sigma_k |t| along v_k; the walk shows how far that holds.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from PIL import Image

from jepa_core.explain.directions import Directions
from jepa_core.jacobian import spectrum
from jepa_core.progress import Cancelled, Progress, never, silent

if TYPE_CHECKING:
    from torch import Tensor

    from jepa_core.encoders.encoder import Encoder

STEPS = 6
"""Steps to each side of the image."""
SEED = 0
"""Of the random direction."""
# The longest step changes a value of the normalised picture by about this much, in the root mean square.
_FARTHEST = 0.5
# A value is clipped if that moves it by half a grey level or more; less would not be seen in a file of 8 bits.
_SEEN = 0.5 / 255


@dataclass(frozen=True, eq=False)
class Walk:
    """An image at `lengths` t along one direction, from -T to T; the image itself is in the middle.

    `scores` are JEPA-SCOREs of the clipped pictures (NaN where the Jacobian is not finite), `distances` are
    |f(x + t d) - f(x)|, `slope` is |J d|; `clipped` counts the pixels with a clipped channel. The `pictures` are
    rounded to 8 bits, what is scored is not.
    """

    lengths: Float[ndarray, "steps"]
    scores: Float[ndarray, "steps"]
    distances: Float[ndarray, "steps"]
    slope: float
    clipped: Int[ndarray, "steps"]
    pictures: UInt8[ndarray, "steps height width channel"]

    @property
    def predicted(self) -> Float[ndarray, "steps"]:
        """How far the embedding would move if the encoder were linear and nothing were clipped."""
        return self.slope * np.abs(self.lengths)


@dataclass(frozen=True, eq=False)
class Walks:
    """The walk along a right singular vector, and one of the same lengths along a random direction."""

    along: Walk
    random: Walk


def lengths(shape: tuple[int, int, int]) -> Float[ndarray, "steps"]:
    """The lengths of a walk for an input (C, H, W): even steps of one digit, to about 0.5 sqrt(C H W) on both sides.

    >>> lengths((3, 48, 48))[-3:]
    array([28., 35., 42.])
    """
    step = float(f"{_FARTHEST * math.sqrt(math.prod(shape)) / STEPS:.1g}")
    return step * np.arange(-STEPS, STEPS + 1)


def random_direction(shape: tuple[int, int, int], seed: int = SEED) -> Float[ndarray, "channel height width"]:
    """A direction of length 1, uniform over all of them."""
    drawn = np.random.default_rng(seed).standard_normal(shape)
    return drawn / np.linalg.norm(drawn)


def scores_needed() -> int:
    """How many scores `walks` computes."""
    return 2 * (2 * STEPS + 1)


def walks(
    encoder: "Encoder",
    output: str,
    image: Image.Image,
    found: Directions,
    k: int,
    progress: Progress = silent,
    cancelled: Cancelled = never,
) -> Walks | None:
    """Walk along v_k (k from 0) and along a random direction; None when cancelled.

    `progress` is called with the scores done and all. Scores are taken at the rank of `found`.
    """
    start, rank = encoder.preprocess(image), len(found.sigma)
    walked: list[Walk] = []
    for direction in (found.right(k), random_direction(encoder.input_shape)):
        before = len(walked) * (2 * STEPS + 1)

        def tell(done: int, before: int = before) -> None:
            progress(before + done, scores_needed())

        one = walk(encoder, output, start, direction, rank, found.stretch(direction), tell, cancelled)
        if one is None:
            return None
        walked.append(one)
    return Walks(*walked)


def walk(
    encoder: "Encoder",
    output: str,
    start: "Tensor",
    direction: Float[ndarray, "channel height width"],
    rank: int,
    slope: float,
    progress: Callable[[int], None] = lambda _done: None,
    cancelled: Cancelled = never,
) -> Walk | None:
    """The walk from a normalised image (C, H, W) along one direction; None when cancelled."""
    import torch

    from jepa_core.jacobian import engine as jacobian_engine

    mean, std = (np.array(encoder.data_config[name])[:, None, None] for name in ("mean", "std"))
    steps = lengths(encoder.input_shape)
    wished = (start.double().numpy() + steps[:, None, None, None] * direction) * std + mean
    shown = np.clip(wished, 0.0, 1.0)
    inputs = torch.from_numpy((shown - mean) / std).float().to(encoder.device)
    engine = jacobian_engine.engine_of(encoder, output)
    grams, embeddings = [], []
    for done in range(0, len(steps), engine.plan.images):
        progress(done)
        if cancelled():
            return None
        part = engine.gram(inputs[done : done + engine.plan.images])
        grams.append(part.gram.numpy())
        embeddings.append(part.embedding.double().numpy())
    progress(len(steps))
    at = np.concatenate(embeddings)
    return Walk(
        lengths=steps,
        scores=_scores(np.concatenate(grams), rank),
        distances=np.linalg.norm(at - at[STEPS], axis=1),
        slope=slope,
        clipped=(np.abs(wished - shown) >= _SEEN).any(axis=1).sum(axis=(1, 2)),
        pictures=np.round(255 * shown).astype(np.uint8).transpose(0, 2, 3, 1),
    )


def _scores(grams: Float[ndarray, "steps k k"], rank: int) -> Float[ndarray, "steps"]:
    finite = np.isfinite(grams).all(axis=(1, 2))
    scores = np.full(len(grams), np.nan)
    scores[finite] = spectrum.jepa_score(spectrum.singular_values(grams[finite]), rank)
    return scores
