"""The world with a known density: the truth it claims is the truth."""

import numpy as np
import pytest
from scipy import stats

from jepa_core.datasets import known_density, registry

SCALE = np.array([0.2, 0.25, 0.3])


def drawn(count: int, split: str = "test") -> tuple[np.ndarray, np.ndarray]:
    found = [known_density.sample(split, position) for position in range(count)]
    return np.array([kind for kind, _factors in found]), np.array([factors for _kind, factors in found])


def test_masses_and_mixtures_are_probabilities():
    assert sum(kind.mass for kind in known_density.KINDS) == pytest.approx(1)
    line = np.linspace(-8, 8, 20_001)
    for kind in known_density.KINDS:
        assert len(kind.factors) == len(known_density.FACTORS)
        for mixture in kind.factors:
            assert np.trapezoid(np.exp(mixture.log_density(line)), line) == pytest.approx(1, abs=1e-6)


def test_kinds_and_factors_are_drawn_from_the_densities_they_claim():
    kinds, factors = drawn(2000)
    counts = np.bincount(kinds, minlength=len(known_density.KINDS))
    assert stats.chisquare(counts, [2000 * kind.mass for kind in known_density.KINDS]).pvalue > 1e-3
    for number, kind in enumerate(known_density.KINDS):
        for column, mixture in enumerate(kind.factors):
            weight, mean, deviation = np.array(mixture.parts).T

            def below(values, weight=weight, mean=mean, deviation=deviation):
                return (weight * stats.norm.cdf(np.asarray(values)[:, None], mean, deviation)).sum(axis=1)

            assert stats.kstest(factors[kinds == number, column], below).pvalue > 1e-4


def test_the_splits_are_different_pictures_and_each_is_drawn_alike_again():
    pictures = {
        split: [known_density.draw(split, position).tobytes() for position in range(20)]
        for split in known_density.SEEDS
    }
    assert len({data for part in pictures.values() for data in part}) == 60
    known_density.sample.cache_clear()
    assert known_density.draw("test", 7).tobytes() == pictures["test"][7]


@pytest.mark.parametrize("kind", known_density.KINDS, ids=known_density.NAMES)
def test_the_renderers_jacobian_is_its_derivative(kind):
    factors = np.array([0.3, -0.4, 0.2, 0.5, -0.3, 0.6])
    found = known_density.jacobian(kind, factors[None], SCALE)[0]
    step = 1e-6
    for column in range(6):
        ends = [known_density.render(kind, factors + sign * step * np.eye(6)[column]) / SCALE for sign in (1, -1)]
        slope = ((ends[0] - ends[1]) / (2 * step)).transpose(2, 0, 1).ravel()
        assert np.allclose(found[:, column], slope, atol=1e-6)


@pytest.mark.parametrize("kind", known_density.KINDS, ids=known_density.NAMES)
def test_pictures_stay_in_range_and_every_factor_shows(kind):
    rng = np.random.default_rng(0)
    factors = np.array([[mixture.draw(rng) for mixture in kind.factors] for _ in range(20)])
    for row in factors:
        picture = known_density.render(kind, row)
        assert picture.min() > 0
        assert picture.max() < 1
    smallest = np.linalg.svd(known_density.jacobian(kind, factors, SCALE), compute_uv=False)[:, -1]
    assert (smallest > 0.05).all(), "g must be injective near every picture"


def test_two_angles_or_hues_never_look_alike():
    for kind in known_density.KINDS:
        for column in (3, 4):
            pictures = [known_density.render(kind, value * np.eye(6)[column]) for value in np.linspace(-3, 3, 13)]
            apart = [np.abs(a - b).max() for i, a in enumerate(pictures) for b in pictures[i + 1 :]]
            assert min(apart) > 1e-3


def test_the_density_does_not_depend_on_how_factors_are_written():
    """Twice the factor is another parameter of the same pictures: log p(z) falls by log 2, and so does the volume."""
    kinds, factors = drawn(5)
    whole = known_density.log_density(kinds, factors, SCALE)
    by_hand = []
    for number, row in zip(kinds, factors, strict=True):
        kind = known_density.KINDS[number]
        columns = known_density.jacobian(kind, row[None], SCALE)[0] / 2  # d g / d (2 z)
        logs = sum(mixture.log_density(row[i : i + 1])[0] - np.log(2) for i, mixture in enumerate(kind.factors))
        by_hand.append(np.log(kind.mass) + logs - np.linalg.slogdet(columns.T @ columns)[1] / 2)
    assert np.allclose(whole, by_hand)


def test_left_out_factors_do_not_count():
    kinds, factors = drawn(50)
    left = (0, 1, 3)
    one = kinds == kinds[0]
    moved = factors.copy()
    moved[:, 2] = 0.1
    with_size = known_density.log_density(kinds[one], factors[one], SCALE)
    part = known_density.log_density(kinds[one], moved[one], SCALE, left)
    assert not np.allclose(with_size, part)
    only = known_density.KINDS[kinds[0]]
    columns = known_density.jacobian(only, moved[one], SCALE)[:, :, list(left)]
    volume = np.linalg.slogdet(columns.transpose(0, 2, 1) @ columns)[1] / 2
    logs = sum(only.factors[i].log_density(moved[one][:, i]) for i in left)
    assert np.allclose(part, np.log(only.mass) + logs - volume)


def test_the_dataset_shows_the_same_pictures():
    spec = registry.get_dataset("world-test")
    assert spec.labels() == known_density.NAMES
    item = spec.item(11)
    assert item.label == known_density.NAMES[known_density.sample("test", 11)[0]]
    assert item.read().endswith(known_density.draw("test", 11).tobytes())


def test_the_known_density_is_that_of_the_drawn_pictures():
    kinds, density = known_density.known_log_density("test", [3, 11], SCALE)
    one = known_density.sample("test", 11)
    assert kinds.tolist() == [known_density.sample("test", 3)[0], one[0]]
    assert density[1] == known_density.log_density(np.array([one[0]]), np.array([one[1]]), SCALE)[0]
