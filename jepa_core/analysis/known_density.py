"""Scores of drawn pictures held against the density that they are drawn from (`datasets.known_density`)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from jepa_core.datasets import known_density

READINGS = ("JEPA-SCORE", "with the Gaussian term", "Gaussian term alone")
"""What is held against the density, by the titles that people see."""


def log_density(positions: Sequence[int], scale: Sequence[float]) -> Float[ndarray, "n"]:
    """The known log-density of test pictures at these positions.

    `scale` is the standard deviation that an encoder's transform divides each channel by; one number serves all three.
    """
    return known_density.known_log_density("test", positions, np.resize(scale, 3))[1]


def readings(table: pd.DataFrame) -> dict[str, Float[ndarray, "n"]]:
    """A score table's values of `READINGS`, by title."""
    values = (table["jepa_score"], table["gaussian_score"], -table["squared_norm"] / 2)
    return {name: one.to_numpy() for name, one in zip(READINGS, values, strict=True)}


def correlations_in_words(truth: Float[ndarray, "n"], read: Mapping[str, Float[ndarray, "n"]]) -> str:
    """Pearson's and Spearman's correlation of each reading with the known log-density."""
    known = pd.Series(truth)
    return ", ".join(
        f"{name} {known.corr(pd.Series(values), method='pearson'):.2f} and "
        f"{known.corr(pd.Series(values), method='spearman'):.2f}"
        for name, values in read.items()
    )
