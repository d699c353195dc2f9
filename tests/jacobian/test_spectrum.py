"""From Grams to singular values, and from singular values to scores, by hand and against naive formulas."""

import numpy as np
import pytest

from jepa_core.jacobian.spectrum import (
    Rank,
    disagrees,
    gaussian_score,
    gaussian_term,
    jepa_score,
    listing_score,
    multi_view_score,
    observed_rank,
    singular_values,
)

RNG = np.random.default_rng(0)


# --- singular values --------------------------------------------------------------------------------------------------


def test_singular_values_of_a_gram_are_those_of_the_matrix():
    matrix = RNG.standard_normal((5, 7, 20))
    assert np.allclose(
        singular_values(matrix @ matrix.swapaxes(1, 2)), np.linalg.svd(matrix, compute_uv=False), rtol=1e-12
    )


def test_they_are_resolved_down_to_1e_7_of_the_largest():
    sigma = np.array([1.0, 1e-3, 1e-6, 1e-7])
    turn = np.linalg.qr(RNG.standard_normal((4, 4)))[0]
    found = singular_values(turn @ np.diag(sigma**2) @ turn.T)
    assert np.allclose(np.log(found), np.log(sigma), atol=2e-2)


def test_rounding_below_zero_becomes_zero():
    row = RNG.standard_normal((1, 4))
    found = singular_values(row.T @ row - 1e-17 * np.eye(4))
    assert (found[1:] >= 0).all()
    assert found[-1] == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_gram_that_is_not_finite_is_refused(value):
    with pytest.raises(np.linalg.LinAlgError, match="The Gram has entries that are not finite"):
        singular_values(np.array([[1.0, value], [value, 1.0]]))


# --- scores -----------------------------------------------------------------------------------------------------------

SIGMA = np.array([4.0, 2.0, 0.5, 1e-9])


@pytest.mark.parametrize(
    ("rank", "expected"),
    [(1, np.log(4)), (2, np.log(8)), (3, np.log(4)), (4, np.log(4e-9))],
)
def test_eq_5_sums_the_logs_of_the_first_rank_values(rank, expected):
    assert jepa_score(SIGMA, rank) == pytest.approx(expected)


def test_the_listing_sums_all_logs_clipped_at_1e_6():
    assert listing_score(SIGMA) == pytest.approx(np.log(4) + np.log(1e-6))
    assert listing_score(np.zeros(3)) == pytest.approx(3 * np.log(1e-6))


def test_the_listing_is_eq_5_where_nothing_is_clipped_and_the_rank_is_full():
    spectra = np.sort(RNG.uniform(0.1, 3.0, (6, 5)))[:, ::-1]
    assert np.allclose(listing_score(spectra), jepa_score(spectra, 5))


def test_a_zero_within_the_rank_gives_minus_infinity_and_no_warning():
    assert jepa_score(np.array([1.0, 0.0]), 2) == -np.inf


def test_float32_spectra_are_summed_in_float64():
    spectrum = np.full(2000, 1.1, dtype=np.float32)
    assert jepa_score(spectrum, 2000) == pytest.approx(2000 * np.log(np.float64(np.float32(1.1))), rel=1e-13)


@pytest.mark.parametrize("rank", [0, -1, 5])
def test_a_rank_outside_the_spectrum_is_refused(rank):
    with pytest.raises(
        ValueError, match=rf"The rank must lie between 1 and the 4 singular values there are\. Got {rank}\."
    ):
        jepa_score(SIGMA, rank)


def test_the_gaussian_term_is_minus_half_the_squared_norm():
    embedding = np.array([3.0, 4.0])
    assert gaussian_term(np.square(embedding).sum()) == -12.5
    assert gaussian_score(SIGMA, 3, np.array(25.0)) == pytest.approx(np.log(4) - 12.5)


def test_with_the_gaussian_term_it_is_the_log_density_where_the_encoder_whitens():
    # x ~ N(0, C) and f(x) = L^-1 x ~ N(0, I), so log p(x) is known in closed form.
    root = np.array([[2.0, 0.0], [0.7, 0.3]])
    whiten = np.linalg.inv(root)
    x = RNG.standard_normal((50, 2)) @ root.T
    log_p = -0.5 * np.einsum("ni,ij,nj->n", x, np.linalg.inv(root @ root.T), x) - np.log(
        2 * np.pi * np.linalg.det(root)
    )
    sigma = np.broadcast_to(singular_values(whiten @ whiten.T), (50, 2))
    score = gaussian_score(sigma, 2, np.square(x @ whiten.T).sum(axis=1))
    assert np.ptp(score - log_p) < 1e-10  # equal up to a constant


# --- several views ----------------------------------------------------------------------------------------------------


def test_eq_4_is_the_naive_formula():
    scores = RNG.normal(0, 3, (7, 4))
    assert np.allclose(multi_view_score(scores), -np.log(np.mean(np.exp(-scores), axis=0)))


@pytest.mark.parametrize("scale", [-1e5, 1e5])
def test_eq_4_neither_overflows_nor_underflows(scale):
    scores = np.array([scale, scale + 1.0])
    assert multi_view_score(scores) == pytest.approx(scale - np.log(np.mean([1.0, np.exp(-1.0)])))


def test_one_view_keeps_its_score():
    assert multi_view_score(np.array([[-3.5, 2.0]])).tolist() == [-3.5, 2.0]


# --- rank -------------------------------------------------------------------------------------------------------------


def spectra(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


FULL = [10.0, 3.0, 1.0, 0.5]
ONE_LOST = [10.0, 3.0, 1.0, 1e-7]
TWO_LOST = [10.0, 3.0, 1e-6, 1e-7]


@pytest.mark.parametrize(
    ("spectrum", "rank", "wrong"),
    [
        (FULL, 4, False),
        (FULL, 3, True),  # no step after the third
        (ONE_LOST, 3, False),
        (ONE_LOST, 4, True),  # the fourth is noise
        (ONE_LOST, 2, True),
        (TWO_LOST, 2, False),
        (TWO_LOST, 3, True),
        ([0.0, 0.0, 0.0, 0.0], 4, True),  # a picture that the encoder does not see at all
    ],
)
def test_a_spectrum_that_does_not_have_the_rank_disagrees(spectrum, rank, wrong):
    assert disagrees(np.array([spectrum]), rank).tolist() == [wrong]


def test_disagreement_is_told_image_by_image():
    assert disagrees(spectra(ONE_LOST, FULL, TWO_LOST), 3).tolist() == [False, True, True]


def test_the_architectures_rank_is_confirmed_and_keeps_its_reason():
    found = observed_rank(Rank(3, "a reason"), spectra(ONE_LOST, ONE_LOST, ONE_LOST))
    assert found == Rank(3, "a reason; confirmed on 3 calibration images")


@pytest.mark.parametrize(("odd", "rank"), [(1, 3), (2, 2)])
def test_one_odd_image_of_four_shows_nothing_else_and_two_do(odd, rank):
    shown = [ONE_LOST] * (4 - odd) + [TWO_LOST] * odd
    assert observed_rank(Rank(3, "a reason"), spectra(*shown)).rank == rank


def test_else_it_is_what_all_calibration_images_show_and_says_that_it_is_not_used():
    found = observed_rank(Rank(4, "no layer at the end removes a direction"), spectra(TWO_LOST, ONE_LOST, TWO_LOST))
    assert found.rank == 2
    assert found.reason == (
        "no layer at the end removes a direction (4), but 3 calibration images show 2 above rounding noise; "
        "scores are summed over 4"
    )


def test_a_rank_is_at_least_one():
    assert observed_rank(Rank(4, "a reason"), spectra([0.0] * 4, [0.0] * 4)).rank == 1
