"""Sketches of Grams that are made up: what their pivots tell, and what noise beyond the rank does to them."""

import numpy as np
import pytest

from jepa_core.jacobian.sketch import log_pivots, most_rows, whitened_directions

K, RANK = 24, 22


def grams(count: int, seed: int = 0, noise: float = 0.0) -> np.ndarray:
    """Gram matrices of rank RANK with singular values over many powers of ten, and noise beyond the rank."""
    generator = np.random.default_rng(seed)
    logs = np.linspace(2, -4, RANK) + 0.5 * generator.standard_normal((count, RANK))
    turns = np.linalg.qr(np.eye(K) + 0.05 * generator.standard_normal((count, K, K)))[0]
    values = np.concatenate([np.exp(2 * logs), np.full((count, K - RANK), noise)], axis=1)
    return (turns * values[:, None]) @ turns.transpose(0, 2, 1)


@pytest.fixture
def directions() -> np.ndarray:
    return whitened_directions(grams(40).mean(axis=0), RANK, 6)


def test_directions_are_as_many_as_asked_for_but_not_more_than_the_rank():
    mean = grams(40).mean(axis=0)
    assert whitened_directions(mean, RANK, 6).shape == (6, K)
    assert whitened_directions(mean, RANK, 100).shape == (RANK, K)


def test_the_mean_gram_is_the_same_along_all_of_them(directions):
    assert np.allclose(directions @ grams(40).mean(axis=0) @ directions.T, np.eye(6))


def test_one_seed_gives_the_same_directions_again(directions):
    mean = grams(40).mean(axis=0)
    assert np.array_equal(whitened_directions(mean, RANK, 6), directions)
    assert not np.allclose(whitened_directions(mean, RANK, 6, seed=1), directions)


def test_pivots_add_up_to_half_the_log_determinant(directions):
    small = directions @ grams(9, 1) @ directions.T
    assert np.allclose(log_pivots(small).sum(axis=1), 0.5 * np.linalg.slogdet(small)[1])


def test_the_first_pivots_are_those_of_fewer_directions(directions):
    full = log_pivots(directions @ grams(9, 1) @ directions.T)
    fewer = log_pivots(directions[:3] @ grams(9, 1) @ directions[:3].T)
    assert np.allclose(full[:, :3], fewer)


def test_noise_beyond_the_rank_changes_nothing(directions):
    clean, noisy = (log_pivots(directions @ grams(9, 1, noise) @ directions.T) for noise in (0.0, 1e-12))
    assert np.allclose(clean, noisy, atol=1e-6)


@pytest.mark.parametrize("spoiled", [np.nan, 0.0, -1.0])
def test_what_is_not_positive_definite_gets_no_number_and_the_others_keep_theirs(directions, spoiled):
    small = directions @ grams(3, 1) @ directions.T
    small[1, 2, 2] = spoiled
    found = log_pivots(small)
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[[0, 2]]).all()


def test_one_direction_for_every_six_numbers_and_one_at_least():
    assert [most_rows(k) for k in (1, 16, 192, 384)] == [1, 3, 32, 64]
