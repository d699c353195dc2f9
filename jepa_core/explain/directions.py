"""The singular vectors behind a score: which changes of the image move the embedding, and how far.

J = U diag(sigma) V^T. Right singular vector v_k (image side, CHW numbers) is the change of the image of length 1 that
moves the embedding by sigma_k along left singular vector u_k (embedding side, K numbers).

The leverage of input number i is the i-th diagonal entry of J^T G^+ J, with G = J J^T and its pseudo-inverse at the
rank: sum over k = 1..rank of v_k[i]^2. It is the derivative of the score by the logarithm of that number's scale (of
column i of J), and all entries add up to the rank.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image

from jepa_core.progress import Cancelled, Progress, never, silent
from jepa_core.wording import listed, per_cent

if TYPE_CHECKING:
    from jepa_core.encoders.encoder import Encoder

# Singular values closer than this share of the larger: their vectors may rotate into each other freely.
NEAR_EQUAL = 0.02
NAMED = 3
"""Entries of a left singular vector that are named."""
# Columns of all right vectors held at once: 100 MB at a rank of 768.
_COLUMNS = 16_384
# A Jacobian is computed in at most about so many steps, each of which repeats the forward pass.
_PARTS = 8


@dataclass(frozen=True, eq=False)
class Directions:
    """The first `rank` singular triplets of a Jacobian, largest first.

    `sigma` (rank) and `left` (rank, K), whose row k is u_k. Right vectors are made when asked for: all of them at once
    would be as large as the Jacobian again. A singular vector's sign is arbitrary; here the entry of u_k with the
    largest magnitude is positive, and v_k follows. `leverage` (H, W) is that of each pixel, summed over its channels.
    """

    sigma: ndarray
    left: ndarray
    leverage: ndarray
    _rows: ndarray
    _shape: tuple[int, int, int]

    @property
    def nbytes(self) -> int:
        """Of all that it holds; nearly all of them are the Jacobian's."""
        return self.sigma.nbytes + self.left.nbytes + self.leverage.nbytes + self._rows.nbytes

    def right(self, k: int) -> Float[ndarray, "channel height width"]:
        """v_k = J^T u_k / sigma_k, of length 1; zeros where sigma_k is 0."""
        if self.sigma[k] == 0.0:
            return np.zeros(self._shape)
        return (self.left[k] @ self._rows.astype(np.float64) / self.sigma[k]).reshape(self._shape)

    def stretch(self, change: Float[ndarray, "channel height width"]) -> float:
        """|J d|: how far a small change d of the normalised image moves the embedding, to first order."""
        return float(np.linalg.norm(self._rows.astype(np.float64) @ change.ravel()))

    def log_sigma(self, k: int) -> float:
        """What the k-th direction adds to the JEPA-SCORE."""
        return float(np.log(self.sigma[k])) if self.sigma[k] else -np.inf

    def near_equal(self, k: int) -> list[int]:
        """Neighbours whose singular value is within 2 % of the k-th: only the plane of both is defined."""
        return [
            other
            for other in (k - 1, k + 1)
            if 0 <= other < len(self.sigma)
            and abs(self.sigma[other] - self.sigma[k]) <= NEAR_EQUAL * max(self.sigma[other], self.sigma[k])
        ]


def decompose(rows: Float[ndarray, "k pixels"], shape: tuple[int, int, int], rank: int) -> Directions:
    """The first `rank` singular triplets of a Jacobian (K, CHW), by the eigenvectors of its float64 Gram.

    Directions beyond the rank, whose singular value is rounding noise, are left out.
    """
    wide = rows.astype(np.float64)
    eigenvalues, vectors = np.linalg.eigh(wide @ wide.T)
    sigma = np.sqrt(np.clip(eigenvalues[::-1], 0.0, None))[:rank]
    left = vectors[:, ::-1].T[:rank]
    largest = np.abs(left).argmax(axis=1)
    left = left * np.sign(left[np.arange(len(left)), largest])[:, None]
    return Directions(sigma, left, _leverage(wide, sigma, left).reshape(shape).sum(axis=0), rows, shape)


def _leverage(wide: ndarray, sigma: ndarray, left: ndarray) -> Float[ndarray, "pixels"]:
    """The diagonal of J^T G^+ J. A direction of length 0 has no part in it."""
    there = sigma > 0.0
    to_right = left[there] / sigma[there, None]
    blocks = range(0, wide.shape[1], _COLUMNS)
    return np.concatenate([np.square(to_right @ wide[:, at : at + _COLUMNS]).sum(axis=0) for at in blocks])


def directions_of(
    encoder: "Encoder",
    output: str,
    image: Image.Image,
    rank: int,
    progress: Progress = silent,
    cancelled: Cancelled = never,
) -> Directions | None:
    """Singular values and vectors of the Jacobian of an encoder's output at an RGB picture; None when cancelled.

    `progress` is called with (rows of the Jacobian done, K).
    """
    import torch

    from jepa_core.jacobian import engine as jacobian_engine

    engine = jacobian_engine.engine_of(encoder, output)
    tensor = encoder.preprocess(image).to(encoder.device)
    unit = torch.eye(engine.k)
    step = engine.plan.cotangents * -(-engine.k // (engine.plan.cotangents * _PARTS))  # whole chunks of the engine
    rows = []
    for done in range(0, engine.k, step):
        progress(done, engine.k)
        if cancelled():
            return None
        rows.append(engine.jacobian(tensor[None], unit[done : done + step])[0].cpu().numpy())
    progress(engine.k, engine.k)
    return decompose(np.concatenate(rows), encoder.input_shape, rank)


def largest(vector: Float[ndarray, "k"]) -> list[int]:
    """The places (from 0) of its largest entries, the largest first."""
    return np.argsort(-np.abs(vector), kind="stable")[:NAMED].tolist()


def left_in_words(vector: Float[ndarray, "k"]) -> str:
    """Which numbers of the embedding a left singular vector moves most, and how much of its length they make up."""
    places = largest(vector)
    share = np.square(vector[places]).sum() / max(float(np.square(vector).sum()), 1e-30)
    names = [str(place + 1) for place in places]
    noun = "Number" if len(names) == 1 else "Numbers"
    verb = "moves" if len(names) == 1 else "move"
    return (
        f"{noun} {listed(names)} of the embedding {verb} most: {per_cent(share)} of the squared length, where an even "
        f"share of {len(names)} among {len(vector)} would be {per_cent(len(names) / len(vector))}."
    )


def leverage_in_words(leverage: Float[ndarray, "height width"], rank: int) -> tuple[str, str]:
    """The largest and the mean entry of a leverage map, and its sum beside the rank, which it should be."""
    return (
        f"at most {leverage.max():.2g}, on average {leverage.mean():.2g} a pixel",
        f"sum {leverage.sum():.2f}; the rank is {rank}",
    )
