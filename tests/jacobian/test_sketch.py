"""The calibrated sketch on made-up Grams whose scores are known, and how it meets images unlike its own."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from jepa_core.errors import NotEnoughData
from jepa_core.jacobian import sketch
from jepa_core.jacobian.sketch import Calibration, calibrate

K, RANK = 24, 22


def made(
    count: int, seed: int, *, shift: float = 0.0, spread: float = 0.3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grams of rank RANK (and noise beyond it), features that half explain their scores, and the scores."""
    generator = np.random.default_rng(seed)
    basis = np.linalg.qr(np.random.default_rng(99).standard_normal((K, K)))[0]
    level = generator.standard_normal(count)
    logs = np.linspace(2, -4, RANK) + 0.5 * level[:, None] + spread * generator.standard_normal((count, RANK)) + shift
    turns = np.linalg.qr(np.eye(K) + 0.05 * generator.standard_normal((count, K, K)))[0]
    eigenvalues = np.concatenate([np.exp(logs), np.full((count, K - RANK), 1e-14)], axis=1)
    turned = turns @ basis
    grams = (turned * eigenvalues[:, None]) @ turned.transpose(0, 2, 1)
    noise = generator.standard_normal((count, 6))
    features = np.c_[level + 0.5 * noise[:, 0] + shift, noise[:, 1:], np.ones(count)]
    return grams, features, 0.5 * logs.sum(axis=1)


def estimated(calibration: Calibration, grams: np.ndarray, features: np.ndarray) -> sketch.Estimates:
    return calibration.estimate(calibration.directions @ grams @ calibration.directions.T, features)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    grams, features, _scores = made(80, 0)
    return calibrate(grams, features, RANK, 6)


def test_estimates_rank_new_images_better_than_as_many_random_directions_or_the_features_alone():
    grams, features, _scores = made(80, 0, spread=0.8)
    calibration = calibrate(grams, features, RANK, 6)
    grams, features, scores = made(300, 1, spread=0.8)
    found = estimated(calibration, grams, features)
    random = np.linalg.qr(np.random.default_rng(0).standard_normal((K, 6)))[0].T
    whole = spearmanr(found.score, scores).statistic
    assert whole > 0.9
    assert whole > spearmanr(np.linalg.slogdet(random @ grams @ random.T)[1], scores).statistic + 0.02
    assert whole > spearmanr(features[:, 0], scores).statistic + 0.01
    assert np.abs(np.mean(found.score - scores)) < 0.3 * scores.std()


def test_the_interval_covers_nine_of_ten_new_images_and_is_narrower_than_the_scores_spread():
    covered, widths = [], []
    for seed in range(5):
        grams, features, _scores = made(80, 10 + seed)
        fresh, fresh_features, scores = made(200, 50 + seed)
        found = estimated(calibrate(grams, features, RANK, 6, seed), fresh, fresh_features)
        covered.append(np.mean((found.low <= scores) & (scores <= found.high)))
        widths.append(np.mean(found.high - found.low) / 2 / scores.std())
    assert 0.85 <= np.mean(covered) <= 0.97
    assert np.mean(widths) < 0.6


def test_images_unlike_the_calibration_images_are_flagged_and_get_wider_intervals(calibration):
    usual = estimated(calibration, *made(100, 2)[:2])
    strange = estimated(calibration, *made(100, 3, shift=8.0)[:2])
    assert usual.far.mean() < 0.2  # five in a hundred for their distance, if calibration were on many images
    assert strange.far.all()
    assert (strange.high - strange.low).min() > 2 * np.median(usual.high - usual.low)


def test_one_odd_calibration_image_does_not_hide_others_like_it():
    grams, features, _scores = made(80, 6)
    odd_grams, odd_features, _scores = made(1, 7, shift=8.0)
    calibration = calibrate(np.concatenate([grams, odd_grams]), np.concatenate([features, odd_features]), RANK, 4)
    assert estimated(calibration, *made(50, 8, shift=8.0)[:2]).far.all()


def test_a_disagreement_of_the_two_parts_alone_is_flagged(calibration):
    grams, features, _scores = made(20, 4)
    other = made(20, 4, shift=6.0)[0]  # the features stay those of usual images
    assert not estimated(calibration, grams, features).far.all()
    assert estimated(calibration, other, features).far.all()


def test_noise_beyond_the_rank_does_not_change_an_estimate(calibration):
    grams, features, _scores = made(30, 5)
    noisy = grams + 1e-12 * np.eye(K)
    assert np.allclose(
        estimated(calibration, noisy, features).score, estimated(calibration, grams, features).score, atol=1e-6
    )
    assert calibrate(grams, features, RANK, 4).fidelity == pytest.approx(
        calibrate(noisy, features, RANK, 4).fidelity, abs=1e-3
    )


def test_more_products_give_narrower_intervals():
    grams, features, _scores = made(120, 6, spread=0.8)
    widths = [float(calibrate(grams, features, RANK, r).half_width) for r in (1, 18)]
    assert widths[1] < 0.6 * widths[0]


def test_a_calibration_is_the_same_again_and_survives_being_stored():
    grams, features, _scores = made(40, 7)
    first, again = (calibrate(grams, features, RANK, 4, seed=3) for _ in range(2))
    assert first.id == again.id
    assert calibrate(grams, features, RANK, 4, seed=4).id != first.id
    back = Calibration.from_bytes(first.to_bytes())
    assert back.id == first.id
    fresh = made(10, 8)
    assert np.array_equal(estimated(back, *fresh[:2]).score, estimated(first, *fresh[:2]).score)


def test_an_image_that_is_not_finite_or_singular_gets_no_number(calibration):
    grams, features, _scores = made(3, 9)
    small = calibration.directions @ grams @ calibration.directions.T
    small[1] = np.nan
    small[2] = 0.0
    score = calibration.estimate(small, features).score
    assert np.isfinite(score).tolist() == [True, False, False]


def test_the_gradient_of_the_correlation_is_right(monkeypatch):
    grams, _features, scores = made(20, 11)
    seen = {}

    def watch(loss, start, **_options):
        step = 1e-3 * np.random.default_rng(0).standard_normal(start.shape)
        seen["difference"] = loss(start + step)[0] - loss(start - step)[0]
        seen["gradient"] = 2 * loss(start)[1] @ step
        return type("Found", (), {"x": start})

    monkeypatch.setattr(sketch, "minimize", watch)
    sketch._fit_directions(grams, scores, RANK, 4, np.random.default_rng(0))
    assert seen["gradient"] == pytest.approx(seen["difference"], rel=1e-2)


def test_too_few_images_are_refused():
    grams, features, _scores = made(10, 12)
    with pytest.raises(NotEnoughData, match="on 10 images; at least 16 are needed; choose a larger dataset or full"):
        calibrate(grams, features, RANK, 4)
