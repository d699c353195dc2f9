"""The regression over several sets, against its definition and against sets that are alike, shifted, and unrelated."""

import numpy as np
import pytest

from jepa_core.stats import gaussian_process
from jepa_core.stats.gaussian_process import fit

F = 12
TRUE = np.random.default_rng(7).standard_normal(F)


def made(count: int, seed: int, offset: float = 0.0, slope: np.ndarray = TRUE) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    points = generator.standard_normal((count, F))
    return points, points @ slope + offset + 0.1 * generator.standard_normal(count)


def joined(pool, own):
    points = np.concatenate([pool[0], own[0]])
    values = np.concatenate([pool[1], own[1]])
    return points, values, np.repeat([0, 1], [len(pool[0]), len(own[0])])


def error(found, test) -> float:
    return float(np.sqrt(np.mean(np.square(found.predict(test[0], 1)[0] - test[1]))))


def test_left_out_errors_are_those_of_a_fit_without_the_point():
    points, values = made(40, 0)
    found = fit(points, values, np.zeros(40, int))
    errors, deviations = found.left_out()
    weights, place = found.weights, 7
    rest = np.arange(40) != place
    standard = (points - found.center) / found.scale
    groups = np.zeros(40, int)
    inner = gaussian_process._covariance(
        weights, gaussian_process._terms(standard[rest], groups[rest], standard[rest], groups[rest])
    ) + (weights[-1] + gaussian_process._JITTER) * np.eye(39)
    cross = gaussian_process._covariance(
        weights, gaussian_process._terms(standard[[place]], groups[:1], standard[rest], groups[rest])
    )[0]
    target = (values - found.mean) / found.unit
    own = gaussian_process._covariance(
        weights, gaussian_process._terms(standard[[place]], groups[:1], standard[[place]], groups[:1])
    )[0, 0]
    mean = cross @ np.linalg.solve(inner, target[rest])
    variance = own + weights[-1] + gaussian_process._JITTER - cross @ np.linalg.solve(inner, cross)
    assert errors[place] == pytest.approx(found.unit * (target[place] - mean), rel=1e-6)
    assert deviations[place] == pytest.approx(found.unit * np.sqrt(variance), rel=1e-6)


def test_what_another_set_teaches_is_used_where_it_is_alike():
    own, test = made(12, 1), made(300, 2)
    alone = fit(own[0], own[1], np.ones(12, int))
    assert error(fit(*joined(made(150, 3), own)), test) < 0.5 * error(alone, test)


def test_a_set_that_is_shifted_needs_few_images_of_its_own():
    own, test = made(12, 1, offset=40.0), made(300, 2, offset=40.0)
    assert error(fit(*joined(made(150, 3), own)), test) < 0.3


def test_an_unrelated_set_does_little_harm_and_the_deviation_says_what_is_not_known():
    own, test = made(60, 1, slope=-TRUE[::-1]), made(300, 2, slope=-TRUE[::-1])
    found = fit(*joined(made(150, 3), own))
    assert error(found, test) < 1.5 * error(fit(own[0], own[1], np.ones(60, int)), test) + 0.1
    mean, deviation = found.predict(test[0], 1)
    assert 0.6 < np.std((mean - test[1]) / deviation) < 1.5


def test_a_set_without_any_image_is_predicted_with_a_larger_deviation_than_one_with_some():
    pool, test = made(100, 3), made(50, 2, offset=5.0)
    none = fit(*pool, np.zeros(100, int)).predict(test[0], 1)[1]
    some = fit(*joined(pool, made(20, 1, offset=5.0))).predict(test[0], 1)[1]
    assert none.mean() > some.mean()


def test_coordinates_that_never_change_and_units_change_nothing():
    points, values = made(40, 0)
    plain = fit(points, values, np.zeros(40, int)).predict(points, 0)[0]
    scaled = np.concatenate([1000 * points, np.full((40, 2), 3.0)], axis=1)
    found = fit(scaled, values, np.zeros(40, int))
    assert np.isfinite(found.predict(scaled, 0)[0]).all()
    assert np.corrcoef(found.predict(scaled, 0)[0], plain)[0, 1] > 0.999


def test_a_small_set_is_among_what_the_weights_are_chosen_on():
    groups = np.repeat([0, 1], [2000, 20])
    chosen = gaussian_process._balanced(groups, np.random.default_rng(0))
    assert len(chosen) == gaussian_process._CHOSEN_ON
    assert (groups[chosen] == 1).sum() == 20
