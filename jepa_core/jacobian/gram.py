"""The Gram of a Jacobian, accumulated in float64.

Squaring halves the digits, and a float32 Gram would lose every singular value below 3e-4 of the largest. In float64 the
floor is 1.5e-8 of the largest.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

COLUMNS = 16_384
"""Columns of one image's J turned to float64 at a time: bounds the copy to K x 16,384 x 8 bytes (100 MB at K = 768)."""


def gram_matrix(rows: Float[Tensor, "*batch k pixels"], columns: int = COLUMNS) -> Float[Tensor, "*batch k k"]:
    """G = J J^T in float64, image by image and block of columns by block of columns.

    >>> gram_matrix(torch.tensor([[3.0, 4.0]])).item()
    25.0
    """
    device = "cpu" if rows.device.type == "mps" else rows.device  # mps has no float64
    gram = torch.zeros(*rows.shape[:-1], rows.shape[-2], dtype=torch.float64, device=device)
    for image in np.ndindex(rows.shape[:-2]):
        for block in rows[image].split(columns, dim=-1):
            gram[image] += _wide_product(block.to(device))
    return gram


def _wide_product(block: Tensor) -> Tensor:
    wide = block.double()  # gone on return, before the next block is turned
    return wide @ wide.mT
