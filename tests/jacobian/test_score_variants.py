"""Variants of the score from one spectrum: what each adds up, by hand and beside Eq. 5."""

import numpy as np
import pytest

from jepa_core.jacobian.score_variants import VARIANTS, head_score, quarter, trimmed_score
from jepa_core.jacobian.spectrum import gaussian_score, jepa_score, listing_score

SIGMA = np.exp(np.array([[7.0, 5.0, 3.0, 1.0, -1.0, -3.0, -5.0, -7.0, -40.0]]))  # the last is noise: the rank is 8


def test_the_head_is_the_largest_quarter_and_trimmed_is_all_but_the_smallest():
    assert head_score(SIGMA, 8) == pytest.approx([12.0])
    assert trimmed_score(SIGMA, 8) == pytest.approx([12.0])  # 7 + 5 + 3 + 1 - 1 - 3
    assert trimmed_score(SIGMA, 4) == pytest.approx([15.0])
    assert jepa_score(SIGMA, 8) - trimmed_score(SIGMA, 8) == pytest.approx([-12.0])


@pytest.mark.parametrize(("rank", "size"), [(1, 1), (4, 1), (5, 2), (8, 2), (382, 96)])
def test_a_quarter_is_never_nothing(rank, size):
    assert quarter(rank) == size


def test_a_single_singular_value_is_head_and_whole():
    assert head_score(SIGMA, 1) == trimmed_score(SIGMA, 1) == pytest.approx([7.0])


def test_every_variant_is_high_where_all_singular_values_are_larger():
    spectra, norms = np.stack([SIGMA[0], 2 * SIGMA[0]]), np.ones(2)
    for variant in VARIANTS.values():
        low, high = variant.score(spectra, 8, norms)
        assert low < high


def test_the_variants_of_the_paper_are_those_of_the_spectrum():
    norms = np.array([4.0])
    assert VARIANTS["jepa"].score(SIGMA, 8, norms) == jepa_score(SIGMA, 8)
    assert VARIANTS["listing"].score(SIGMA, 8, norms) == listing_score(SIGMA)
    assert VARIANTS["gaussian"].score(SIGMA, 8, norms) == gaussian_score(SIGMA, 8, norms)
