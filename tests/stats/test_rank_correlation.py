"""Spearman's rank correlation: by scipy, by least squares, and its interval by known truths."""

import numpy as np
import pytest
from scipy.stats import bootstrap, rankdata, spearmanr

from jepa_core.stats.rank_correlation import partial_spearman, spearman, spearman_with_interval


def test_spearman_is_scipys_and_a_constant_has_none():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 5, 60).astype(float)
    y = x + rng.normal(size=60)
    assert spearman(x, y) == pytest.approx(spearmanr(x, y).statistic)
    assert np.isnan(spearman(np.ones(60), y))


def test_partial_spearman_is_the_correlation_of_what_the_third_leaves_of_the_ranks():
    rng = np.random.default_rng(0)
    z = rng.normal(size=200)
    x, y = z + rng.normal(size=200), z + rng.normal(size=200)
    left = []
    for column in (x, y):
        ranks, given = rankdata(column), np.column_stack([np.ones(200), rankdata(z)])
        left.append(ranks - given @ np.linalg.lstsq(given, ranks, rcond=None)[0])
    assert partial_spearman(x, y, z) == pytest.approx(np.corrcoef(*left)[0, 1])
    assert spearman(x, y) > 0.3 > abs(partial_spearman(x, y, z))
    assert np.isnan(partial_spearman(x, z, z))
    assert np.isnan(partial_spearman(np.ones(200), y, z))


def test_the_rank_correlation_is_spearmans_with_the_interval_of_scipys_bootstrap_also_with_ties():
    generator = np.random.default_rng(4)
    first = generator.integers(0, 15, 120).astype(float)
    second = first + generator.normal(0, 6, 120)
    rho, low, high = spearman_with_interval(first, second)
    assert rho == pytest.approx(spearmanr(first, second).statistic)
    expected = bootstrap(
        (first, second),
        lambda one, other: spearmanr(one, other).statistic,
        n_resamples=1000,
        vectorized=False,
        paired=True,
        confidence_level=0.9,
        method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.03)
    assert low < rho < high


def test_the_interval_of_a_rank_correlation_holds_the_truth_nine_times_in_ten():
    # Spearman's rho of a bivariate normal with correlation 1/2 is 6 / pi asin(1/4).
    truth, generator, held = 6 / np.pi * np.arcsin(0.25), np.random.default_rng(1), 0
    for _ in range(100):
        one, other = generator.normal(size=(2, 60))
        _rho, low, high = spearman_with_interval(one, one / 2 + np.sqrt(0.75) * other)
        held += low <= truth <= high
    assert 0.81 <= held / 100 <= 0.98  # three standard deviations below 0.9, nearly that above


def test_only_the_orders_of_two_columns_are_correlated():
    one, other = np.random.default_rng(0).normal(size=(2, 50))
    assert spearman_with_interval(one, other) == pytest.approx(spearman_with_interval(np.exp(one), 3 * other - 7))
    low, high = spearman_with_interval(one, other)[1:]
    assert spearman_with_interval(one, -other)[1:] == pytest.approx((-high, -low))
    one[0] = -np.inf
    assert np.isfinite(spearman_with_interval(one, other)).all()


def test_one_value_for_all_has_no_spearman_with_interval():
    assert np.isnan(spearman_with_interval(np.zeros(5), np.arange(5.0))).all()
    # A draw without the one that differs has none either, and is left out of the interval.
    assert np.isfinite(spearman_with_interval(np.array([1.0, 0, 0, 0, 0]), np.arange(5.0))).all()
