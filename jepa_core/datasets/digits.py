"""Scikit-learn's handwritten digits, cut into three fixed parts: train to fit, validation to choose, test to report.

1797 grey pictures of 8 x 8 pixels with labels 0 to 9. They come with scikit-learn, so nothing is downloaded.
Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, CC BY 4.0.
"""

import numpy as np
from jaxtyping import Int, UInt8
from numpy import ndarray

from jepa_core.errors import UnknownName

# Where each part starts and ends in the order drawn below. Changing either makes every reported figure another figure.
PARTS = {"train": slice(0, 1077), "validation": slice(1077, 1437), "test": slice(1437, 1797)}
_ORDER_SEED = 0


def load_split(part: str) -> tuple[UInt8[ndarray, "n 8 8"], Int[ndarray, "n"]]:
    """The pictures (uint8, 0 is paper and 255 is ink) and labels of a part; `UnknownName` for a part there is not.

    >>> pictures, labels = load_split("test")
    >>> pictures.shape, labels.shape
    ((360, 8, 8), (360,))
    """
    if part not in PARTS:
        raise UnknownName("part of the digits", part, PARTS)
    from sklearn.datasets import load_digits  # imports most of scikit-learn; those who only list datasets must not wait

    bunch = load_digits()
    order = np.random.default_rng(_ORDER_SEED).permutation(len(bunch.target))[PARTS[part]]
    pictures = np.round(bunch.images[order] * 255 / 16).astype(np.uint8)  # the source counts ink from 0 to 16
    return pictures, bunch.target[order]
