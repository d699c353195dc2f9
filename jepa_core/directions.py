"""The singular vectors behind a score: which changes of the image move the embedding, and how far.

J = U diag(sigma) V^T. Right singular vector v_k (image side, CHW numbers) is the change of the image of length 1 that
moves the embedding by sigma_k along left singular vector u_k (embedding side, K numbers).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from PIL import Image

if TYPE_CHECKING:
    from jepa_core.encoders import Encoder

# Singular values closer than this share of the larger: their vectors may rotate into each other freely.
NEAR_EQUAL = 0.02


@dataclass(frozen=True)
class Directions:
    """The first `rank` singular triplets of a Jacobian, largest first.

    `sigma` (rank) and `left` (rank, K), whose row k is u_k. Right vectors are made when asked for: all of them at once
    would be as large as the Jacobian again. A singular vector's sign is arbitrary; here the entry of u_k with the
    largest magnitude is positive, and v_k follows.
    """

    sigma: ndarray
    left: ndarray
    _rows: ndarray
    _shape: tuple[int, int, int]

    def right(self, k: int) -> Float[ndarray, "channel height width"]:
        """v_k = J^T u_k / sigma_k, of length 1; zeros where sigma_k is 0."""
        if self.sigma[k] == 0.0:
            return np.zeros(self._shape)
        return (self.left[k] @ self._rows.astype(np.float64) / self.sigma[k]).reshape(self._shape)

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
    return Directions(sigma, left, rows, shape)


def directions_of(encoder: "Encoder", output: str, image: Image.Image, rank: int) -> Directions:
    """Singular values and vectors of the Jacobian of an encoder's output at an RGB picture."""
    from jepa_core import jacobian

    tensor = encoder.preprocess(image).to(encoder.device)
    rows = jacobian.engine_of(encoder, output).jacobian(tensor[None])[0]
    return decompose(rows.cpu().numpy(), encoder.input_shape, rank)
