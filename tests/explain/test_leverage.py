"""Leverage: how much a score hangs on each pixel."""

import numpy as np
import pytest
import torch

from jepa_core.explain import directions
from jepa_core.jacobian.spectrum import jepa_score, singular_values
from tests.helpers import picture

SHAPE = (2, 3, 4)
JACOBIAN = np.random.default_rng(5).standard_normal((6, 24))


def truth(jacobian: torch.Tensor, rank: int) -> np.ndarray:
    """The diagonal of J^T G^+ J, by the pseudo-inverse of the Gram cut to the rank."""
    gram = jacobian @ jacobian.T
    values, vectors = torch.linalg.eigh(gram)
    kept = vectors[:, -rank:]
    inverse = kept @ torch.diag(1 / values[-rank:]) @ kept.T
    return torch.diagonal(jacobian.T @ inverse @ jacobian).numpy()


@pytest.mark.parametrize("rank", [1, 4, 6])
def test_it_is_the_diagonal_of_the_projection_summed_over_channels(rank):
    found = directions.decompose(JACOBIAN, SHAPE, rank)
    expected = truth(torch.from_numpy(JACOBIAN), rank).reshape(SHAPE).sum(axis=0)
    assert found.leverage.shape == SHAPE[1:]
    assert np.allclose(found.leverage, expected, rtol=1e-10)


@pytest.mark.parametrize("rank", [1, 4, 6])
def test_the_entries_add_up_to_the_rank(rank):
    assert directions.decompose(JACOBIAN, SHAPE, rank).leverage.sum() == pytest.approx(rank, rel=1e-12)


def test_it_is_the_derivative_of_the_score_by_the_log_of_a_pixels_scale():
    found = directions.decompose(JACOBIAN, (1, 4, 6), rank=6)
    step = 1e-5
    for pixel in (0, 7, 23):

        def score(scale: float, pixel=pixel) -> float:
            scaled = JACOBIAN.copy()
            scaled[:, pixel] *= scale
            return jepa_score(singular_values(scaled @ scaled.T), 6)

        slope = (score(np.exp(step)) - score(np.exp(-step))) / (2 * step)
        assert found.leverage.ravel()[pixel] == pytest.approx(slope, abs=1e-8)


def test_the_blocks_it_is_computed_in_make_no_difference(monkeypatch):
    whole = directions.decompose(JACOBIAN, SHAPE, 6).leverage
    monkeypatch.setattr(directions, "_COLUMNS", 5)
    assert np.allclose(directions.decompose(JACOBIAN, SHAPE, 6).leverage, whole, rtol=1e-13)


def test_a_direction_of_length_zero_has_no_part_in_it():
    found = directions.decompose(np.diag([2.0, 1.0, 0.0]), (1, 1, 3), rank=3)
    assert np.allclose(found.leverage, [[1.0, 1.0, 0.0]])


@pytest.mark.parametrize("output", ["projector", "backbone"])
def test_of_an_encoder_it_is_that_of_autograds_jacobian_in_float64(tiny, output):
    rank = {"projector": 16, "backbone": 94}[output]  # a LayerNorm, then the class token: K - 2
    found = directions.directions_of(tiny, output, picture(0), rank)
    exact = tiny.module(output).double()
    tensor = tiny.preprocess(picture(0)).double()
    jacobian = torch.autograd.functional.jacobian(lambda x: exact(x[None])[0], tensor).flatten(1)
    tiny.module(output).float()
    expected = truth(jacobian, rank).reshape(16, 16)
    assert np.allclose(found.leverage, expected, atol=2e-3 * expected.max())
    assert found.leverage.sum() == pytest.approx(rank, rel=1e-9)


# --- the work on the Jacobian -----------------------------------------------------------------------------------------


def test_the_work_is_told_in_rows_of_the_jacobian_and_gives_the_same_in_any_number_of_steps(tiny, monkeypatch):
    whole = directions.directions_of(tiny, "projector", picture(1), 16)
    engine = next(kept for kept in tiny.kept.values() if kept.k == 16)
    monkeypatch.setattr(engine, "plan", engine.plan._replace(cotangents=4))
    monkeypatch.setattr(directions, "_PARTS", 4)
    told = []
    parted = directions.directions_of(tiny, "projector", picture(1), 16, lambda *step: told.append(step))
    assert told == [(0, 16), (4, 16), (8, 16), (12, 16), (16, 16)]
    assert np.allclose(parted.leverage, whole.leverage, atol=1e-4)


def test_it_stops_between_steps_when_asked_to(tiny):
    assert directions.directions_of(tiny, "projector", picture(1), 16, cancelled=lambda: True) is None


# --- left singular vectors in words -----------------------------------------------------------------------------------


def test_the_largest_entries_of_a_left_vector_are_named_from_1():
    vector = np.array([0.1, -0.8, 0.2, 0.5, 0.2])
    assert directions.largest(vector) == [1, 3, 2]
    assert directions.left_in_words(vector).startswith("Numbers 2, 4 and 3 of the embedding move most: 95 %")
    assert "3 among 5 would be 60 %" in directions.left_in_words(vector)


def test_an_embedding_of_one_number_has_one_to_name():
    assert directions.left_in_words(np.array([1.0])).startswith("Number 1 of the embedding moves most: 100 %")


def test_the_words_have_the_largest_the_mean_and_the_sum_of_a_map() -> None:
    leverage = np.array([[0.5, 1.25], [0.0, 0.25]])
    assert directions.leverage_in_words(leverage, 2) == (
        "at most 1.2, on average 0.5 a pixel",
        "sum 2.00; the rank is 2",
    )
