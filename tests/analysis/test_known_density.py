"""Scores held against the density that pictures are drawn from."""

import numpy as np
import pandas as pd
import pytest

from jepa_core.analysis import known_density
from jepa_core.datasets import known_density as drawn


def test_the_density_is_the_drawn_worlds_own_and_one_deviation_serves_all_channels() -> None:
    found = known_density.log_density([0, 5, 9], [0.5])
    assert found == pytest.approx(drawn.known_log_density("test", [0, 5, 9], np.full(3, 0.5))[1])


def test_correlations_are_of_the_order_and_of_the_values() -> None:
    truth = np.array([0.0, 1.0, 2.0, 3.0])
    table = pd.DataFrame({"jepa_score": 2 * truth, "gaussian_score": -(truth**3), "squared_norm": [2.0, 8.0, 4.0, 6.0]})
    read = known_density.readings(table)
    assert list(read) == list(known_density.READINGS)
    assert read["Gaussian term alone"].tolist() == [-1.0, -4.0, -2.0, -3.0]
    pearson = np.corrcoef(truth, -(truth**3))[0, 1]
    alone = np.corrcoef(truth, read["Gaussian term alone"])[0, 1]
    assert known_density.correlations_in_words(truth, read) == (
        f"JEPA-SCORE 1.00 and 1.00, with the Gaussian term {pearson:.2f} and -1.00, "
        f"Gaussian term alone {alone:.2f} and -0.40"
    )
