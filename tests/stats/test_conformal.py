"""What is normal: percentiles with their uncertainty, conformal p-values and their guarantee, many images at once."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from jepa_core.errors import NotEnoughData
from jepa_core.stats.conformal import Reference, adjusted, percentile

RNG = np.random.default_rng(0)
INLIERS = RNG.normal(0, 1, 70).round(1)  # rounded, so that there are many ties
NOTHING = np.empty(0)

# --- percentile -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "expected"),
    [(0.0, 0.0), (1.0, 10.0), (1.5, 20.0), (2.0, 50.0), (3.0, 90.0), (9.0, 100.0), (-np.inf, 0.0), (np.inf, 100.0)],
)
def test_percentile_is_the_share_below_with_ties_counting_half(score, expected):
    reference = np.array([2.0, 1.0, 2.0, 3.0, 2.0])
    assert percentile(np.array([score]), reference)[0] == pytest.approx(expected)


def test_percentiles_of_the_reference_itself_average_to_50():
    assert percentile(INLIERS, INLIERS).mean() == pytest.approx(50.0)


def test_an_empty_reference_is_told_in_a_sentence():
    with pytest.raises(NotEnoughData, match="The reference has no scored images; a percentile needs some; score"):
        percentile(np.array([1.0]), NOTHING)


# --- a percentile's uncertainty ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "low", "high"),
    [
        (0.5, 0.0, 100 * (1 - 0.05 ** (1 / 40))),  # none of 40 below: the upper end leaves 5 % to no hit
        (41.0, 100 * 0.05 ** (1 / 40), 100.0),
    ],
)
def test_the_interval_of_a_percentile_at_the_ends_by_hand(score, low, high):
    place = Reference("held-out images", np.arange(1.0, 41.0)).place(score)
    assert (place.low, place.high) == pytest.approx((low, high))


def test_the_interval_of_a_percentile_is_scipys_exact_one():
    for score in (0.5, 1.5, 20.5, 39.5):
        place = Reference("held-out images", np.arange(1.0, 41.0)).place(score)
        expected = binomtest(int(score), 40).proportion_ci(0.9, method="exact")
        assert (place.low, place.high) == pytest.approx((100 * expected.low, 100 * expected.high))


def test_a_tie_widens_the_interval_to_both_of_its_sides():
    place = Reference("held-out images", np.array([1.0] * 10 + [2.0] * 30 + [3.0] * 10)).place(2.0)
    assert place.percentile == 50.0
    # 10 of 50 are below, 40 are not above: each end is where the binomial leaves 5 %.
    assert binom.sf(9, 50, place.low / 100) == pytest.approx(0.05)
    assert binom.cdf(40, 50, place.high / 100) == pytest.approx(0.05)


@pytest.mark.parametrize("truth", [0.02, 0.3, 0.97])
def test_nine_in_ten_references_or_more_have_the_true_percentile_in_their_interval(truth):
    held = 0
    for _ in range(300):
        place = Reference("held-out images", RNG.uniform(size=60)).place(truth)
        held += place.low <= 100 * truth <= place.high
    assert held / 300 > 0.9 - 3 * np.sqrt(0.9 * 0.1 / 300)


# --- p-values ---------------------------------------------------------------------------------------------------------


def test_p_values_by_counting():
    reference, scores = Reference("held-out images", INLIERS), np.array([-np.inf, -1.3, 0.0, 0.05, 2.0, np.inf])
    low = np.array([(1 + (score >= INLIERS).sum()) / 71 for score in scores])
    high = np.array([(1 + (score <= INLIERS).sum()) / 71 for score in scores])
    assert reference.p_lower(scores) == pytest.approx(low)
    assert reference.p_two_sided(scores) == pytest.approx(np.minimum(1, 2 * np.minimum(low, high)))
    place = reference.place(-1.3)
    assert (place.p_lower, place.p_two_sided) == (reference.p_lower(scores)[1], reference.p_two_sided(scores)[1])
    assert (place.percentile, place.size) == (percentile(scores[1:2], INLIERS)[0], 70)


def test_a_score_that_is_far_too_high_is_untypical_but_not_unlikely():
    place = Reference("held-out images", INLIERS).place(100.0)
    assert (place.p_lower, place.p_two_sided) == (1.0, pytest.approx(2 / 71))


ALPHAS = np.array([0.01, 0.05, 0.1, 0.33])
SEEDS, ROUNDS, EACH = range(5), 150, 20


def rates(n: int, draw: Callable[[np.random.Generator, int], np.ndarray], side: str) -> np.ndarray:
    """How often p <= alpha on images that no reference knows: each round draws n references and new images."""
    found = []
    for seed in SEEDS:
        generator = np.random.default_rng(seed)
        for _ in range(ROUNDS):
            p = getattr(Reference("held-out images", draw(generator, n)), side)(draw(generator, EACH))
            found.append((p[:, None] <= ALPHAS).mean(axis=0))
    return np.mean(found, axis=0)


def promised(n: int, sides: int) -> tuple[np.ndarray, np.ndarray]:
    """The rates that are promised without ties, and the standard error with which `rates` finds them.

    A reference's own rate is Beta-distributed; the images of a round share it.
    """
    calls = sides * np.floor(ALPHAS / sides * (n + 1) + 1e-9)  # 0.05 * 20 / 2 must not come out as 0.4999
    rate = calls / (n + 1)
    variance = rate * (1 - rate) * (1 + (n + 1) / EACH) / (n + 2)
    return rate, np.sqrt(variance / (len(SEEDS) * ROUNDS))


@pytest.mark.parametrize("n", [50, 200, 700])
@pytest.mark.parametrize(("side", "sides"), [("p_lower", 1), ("p_two_sided", 2)])
def test_on_new_images_p_values_are_as_small_as_promised(n, side, sides):
    rate, error = promised(n, sides)
    found = rates(n, lambda generator, size: generator.normal(size=size), side)
    assert (np.abs(found - rate) <= 3 * error).all()


@pytest.mark.parametrize("n", [50, 200, 700])
@pytest.mark.parametrize(("side", "sides"), [("p_lower", 1), ("p_two_sided", 2)])
def test_with_ties_p_values_are_small_less_often(n, side, sides):
    rate, error = promised(n, sides)
    found = rates(n, lambda generator, size: generator.normal(size=size).round(), side)
    assert (found <= rate + 3 * error).all()
    assert found[-1] < rate[-1] - 3 * error[-1]  # ties count against a call, so this is not luck


@pytest.mark.parametrize(("size", "sides", "least"), [(18, 1, 19), (38, 2, 39), (1, 1, 19)])
def test_a_reference_that_cannot_speak_at_5_percent_says_so_and_gives_no_p_value(size, sides, least):
    reference = Reference("digits-test, class 3", np.arange(float(size)))
    ask = reference.p_lower if sides == 1 else reference.p_two_sided
    sentence = (
        rf"'digits-test, class 3' has {size} scored images, too few .* at 5 %; at least {least} are needed; score"
    )
    with pytest.raises(NotEnoughData, match=sentence):
        ask(np.array([0.0]))
    place = reference.place(0.0)
    assert (place.p_lower if sides == 1 else place.p_two_sided) is None
    assert place.percentile == pytest.approx(50 / size)
    larger = Reference("digits-test", np.arange(float(least)))
    assert larger.too_few(sides) == ""
    assert (larger.p_lower if sides == 1 else larger.p_two_sided)(np.array([-1.0]))[0] == 0.05


def test_a_reference_keeps_its_scores_as_they_were():
    scores = np.array([3.0, 1.0, 2.0])
    reference = Reference("held-out images", scores)
    scores[:] = 0
    assert reference.scores.tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="read-only"):
        reference.scores[0] = 9


def test_a_reference_of_nothing_is_refused():
    with pytest.raises(NotEnoughData, match="The reference has no scored images"):
        Reference("held-out images", NOTHING)


# --- many images at once ----------------------------------------------------------------------------------------------


def test_benjamini_and_hochberg_by_hand():
    # Sorted: .005 * 5/1 = .025, .011 * 5/2 = .0275, .02 * 5/3 = .0333, .04 * 5/4 = .05, .13; from the largest on, each
    # at most the next.
    found = adjusted(np.array([0.04, 0.005, 0.13, 0.011, 0.02]))
    assert found == pytest.approx([0.05, 0.025, 0.13, 0.0275, 0.1 / 3])
    # A larger p-value may lower a smaller one's: .03 * 2/1 would be .06, but both are called at .04.
    assert adjusted(np.array([0.03, 0.04])) == pytest.approx([0.04, 0.04])


def test_false_calls_among_many_images_stay_within_the_rate():
    shares = []
    for _ in range(200):
        reference = Reference("held-out images", RNG.normal(size=300))
        called = adjusted(reference.p_lower(np.concatenate([RNG.normal(size=30), RNG.normal(-6, 1, 10)]))) <= 0.2
        shares.append(called[:30].sum() / max(called.sum(), 1))
    # Within q times the share of images that belong, 0.2 * 30 / 40.
    assert np.mean(shares) <= 0.15 + 3 * np.std(shares) / np.sqrt(200)
    assert np.mean(shares) > 0.05  # it is not achieved by calling nothing
