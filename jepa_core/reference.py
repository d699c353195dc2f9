"""What is normal for an encoder: where a score falls among the scores of held-out images."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from jepa_core.errors import NotEnoughData


def percentile(scores: Float[ndarray, "n"], reference: Float[ndarray, "m"]) -> Float[ndarray, "n"]:
    """Percentile (0 to 100) of each score in the reference: the share of the reference below it, ties counting half.

    2 means that 98 % of the reference is more likely. Raises `NotEnoughData` for an empty reference.

    >>> percentile(np.array([0.0, 2.0, 9.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    array([  0. ,  37.5, 100. ])
    """
    if not reference.size:
        raise NotEnoughData("The reference has no scored images; a percentile needs some; score the reference first.")
    ordered = np.sort(reference)
    below = np.searchsorted(ordered, scores, side="left")
    not_above = np.searchsorted(ordered, scores, side="right")
    return 50.0 * (below + not_above) / reference.size
