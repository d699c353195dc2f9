"""Deep linear JEPA and MAE: descent on networks against the equations, and the order of features."""

import numpy as np
import pytest
import torch

from jepa_core.theory import features
from jepa_core.theory.experiment import Cell
from jepa_core.theory.features import FEATURES, OBJECTIVES, Settings, critical_time, fixed_point, half_time


def result(settings: Settings) -> features.Result:
    *_, last = features.run(settings)
    return last.result


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_gradients_are_autograds(objective: str, depth: int):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 50, 3, generator=generator, dtype=torch.float64)
    layers, last = torch.randn(depth + 1, 3, 3, generator=generator, dtype=torch.float64).split([depth, 1])
    layers, last = layers.clone().requires_grad_(), last[0].clone().requires_grad_()
    whole = torch.eye(3, dtype=torch.float64)
    for layer in layers:
        whole = layer @ whole
    target = y @ whole.detach().T if objective == "JEPA" else y
    ((x @ whole.T @ last.T - target).square().sum() / (2 * len(x))).backward()
    numbers = layers.detach().numpy(), last.detach().numpy()
    by_layer, by_last = features.gradients(objective, *numbers, (x.T @ x / 50).numpy(), (y.T @ x / 50).numpy())
    np.testing.assert_allclose(by_layer, layers.grad.numpy(), rtol=1e-9)
    np.testing.assert_allclose(by_last, last.grad.numpy(), rtol=1e-9)


@pytest.mark.parametrize("depth", [1, 2])
def test_descent_keeps_to_the_equation(depth: int):
    found = result(Settings(depth=depth, covariance=(1.0, 1.0), regression=(1.0, 0.5)))
    for objective in OBJECTIVES:
        for line in found[objective]:
            assert line["half_descent"] == pytest.approx(line["half_flow"], rel=0.05)


@pytest.mark.parametrize(
    ("objective", "depth", "rho", "expected"),
    [
        ("JEPA", 1, 1.0, 102.6),
        ("JEPA", 1, 0.5, 103.8),
        ("JEPA", 2, 1.0, 393),
        ("JEPA", 2, 0.5, 465),
        ("JEPA", 4, 0.5, 1352),
        ("MAE", 2, 1.0, 8.88),
        ("MAE", 4, 0.5, 10.22),
    ],
)
def test_half_way_times_are_those_of_another_integration(objective: str, depth: int, rho: float, expected: float):
    assert half_time(objective, depth, 1.0, rho, 0.01) == pytest.approx(expected, rel=2e-3)


def test_a_shallow_jepa_has_the_closed_form_of_its_equation():
    """For L = 1 and sigma_xx = lambda / rho, dw/dt = lambda w^2 (1 - w / rho) separates into partial fractions."""
    rho, size, half = 0.7, 0.02, 0.35

    def time(w: float) -> float:
        return -1 / w + np.log(w / (rho - w)) / rho

    assert half_time("JEPA", 1, 1.0, rho, size) == pytest.approx(time(half) - time(size), rel=1e-6)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("depth", [1, 3])
def test_nothing_moves_at_the_fixed_point(objective: str, depth: int):
    end = fixed_point(objective, depth, 0.6)
    assert features.slope(objective, depth, 2.0, 0.6, end) == pytest.approx(0.0, abs=1e-12)
    assert features.slope(objective, depth, 2.0, 0.6, end / 2) > 0


def test_the_prediction_comes_close_as_the_start_shrinks():
    off = [critical_time(2, 1.0, 0.5, size) / half_time("JEPA", 2, 1.0, 0.5, size) for size in (1e-2, 1e-4)]
    assert abs(off[1] - 1) < abs(off[0] - 1) < 0.05


def test_jepa_and_mae_disagree_on_which_feature_comes_first():
    found = result(Settings(depth=2, covariance=(1.0, 0.9), regression=(0.5, 1.0)))
    assert features.order(found["JEPA"]) == [1, 0]
    assert features.order(found["MAE"]) == [0, 1]


@pytest.mark.parametrize("process", features.PROCESSES)
def test_a_process_has_the_covariances_it_is_asked_for(process: str):
    settings = Settings(covariance=(1.0, 0.5), regression=(0.5, 0.9), process=process, samples=200_000)
    exact = features.covariances(Settings(covariance=(1.0, 0.5), regression=(0.5, 0.9)))
    for found, expected in zip(features.covariances(settings), exact, strict=True):
        np.testing.assert_allclose(found, expected, atol=0.02)


def test_the_table_has_a_line_for_each_feature_and_objective():
    settings = Settings(depth=1, size=0.1)
    table = FEATURES.table([Cell(settings, result(settings))])
    assert list(table["objective"]) == ["JEPA", "JEPA", "MAE", "MAE"]
    assert (table["off %"].abs() < 5).all()
