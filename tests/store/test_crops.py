"""The picture beside a score, and the directions behind one."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from jepa_core import images
from jepa_core.datasets.registry import get_dataset
from jepa_core.errors import DatasetError
from jepa_core.explain import directions
from jepa_core.jacobian.spectrum import jepa_score
from jepa_core.scoring.score_images import score_images
from jepa_core.store import crops
from jepa_core.store.records import Member
from jepa_core.store.results import Store
from tests.helpers import picture, png, run

# --- the picture beside a score ---------------------------------------------------------------------------------------


def test_the_picture_shown_is_the_crop_that_was_scored_and_is_kept(store, tiny, folder):
    run(store, tiny, folder)
    dataset = get_dataset(str(folder))
    member = store.members(dataset.name)[0]
    shown = crops.scored_crop(store, tiny.transform, dataset, member)
    with Image.open(io.BytesIO(shown)) as opened:
        expected = images.crop(picture(0), json.loads(tiny.transform))
        assert np.array_equal(np.asarray(opened), np.asarray(expected))
    (folder / "even" / "0.png").unlink()
    assert crops.scored_crop(Store(), tiny.transform, dataset, member) == shown


def test_a_picture_that_is_not_the_scored_one_any_more_is_not_shown(store, tiny, folder):
    run(store, tiny, folder)
    dataset = get_dataset(str(folder))
    member = store.members(dataset.name)[0]
    (folder / "even" / "0.png").write_bytes(png(99))
    with pytest.raises(DatasetError, match=r"even/0\.png is not the picture that was scored \(its bytes changed\)"):
        crops.scored_crop(store, tiny.transform, dataset, member)
    with pytest.raises(DatasetError, match=r"x\.png is not in pictures any more"):
        crops.scored_crop(store, tiny.transform, dataset, Member("x.png", 500, "", "0"))


# --- directions -------------------------------------------------------------------------------------------------------

JACOBIAN = np.random.default_rng(3).standard_normal((6, 2 * 3 * 4)).astype(np.float32)
JACOBIAN_SHAPE = (2, 3, 4)


def test_the_triplets_put_the_jacobian_together_again():
    found = directions.decompose(JACOBIAN, JACOBIAN_SHAPE, rank=6)
    right = np.stack([found.right(k).ravel() for k in range(6)])
    assert np.allclose(found.left.T * found.sigma @ right, JACOBIAN, atol=1e-5)
    assert np.allclose(found.sigma, np.linalg.svd(JACOBIAN, compute_uv=False), rtol=1e-5)
    assert np.allclose(found.left @ found.left.T, np.eye(6), atol=1e-10)
    assert np.allclose(right @ right.T, np.eye(6), atol=1e-8)
    assert found.right(0).shape == JACOBIAN_SHAPE


def test_the_logs_add_up_to_the_score():
    found = directions.decompose(JACOBIAN, JACOBIAN_SHAPE, rank=5)
    assert sum(found.log_sigma(k) for k in range(5)) == pytest.approx(jepa_score(found.sigma, 5))


def test_directions_beyond_the_rank_are_left_out():
    found = directions.decompose(JACOBIAN, JACOBIAN_SHAPE, rank=4)
    assert (found.sigma.shape, found.left.shape) == ((4,), (4, 6))


def test_the_sign_is_fixed_by_the_largest_entry_on_the_embedding_side():
    found = directions.decompose(JACOBIAN, JACOBIAN_SHAPE, rank=6)
    assert (found.left[np.arange(6), np.abs(found.left).argmax(axis=1)] > 0).all()
    # Another rounding, another order of the pixels: the same signs.
    noisy = directions.decompose(JACOBIAN * (1 + 1e-6 * np.sign(JACOBIAN)), JACOBIAN_SHAPE, rank=6)
    turned = directions.decompose(JACOBIAN[:, ::-1], JACOBIAN_SHAPE, rank=6)
    for k in range(6):
        assert np.allclose(noisy.left[k], found.left[k], atol=1e-3)
        assert np.allclose(turned.right(k).ravel()[::-1], found.right(k).ravel(), atol=1e-5)


def test_negating_the_image_side_negates_the_right_vectors_alone():
    found = directions.decompose(JACOBIAN, JACOBIAN_SHAPE, rank=6)
    negated = directions.decompose(-JACOBIAN, JACOBIAN_SHAPE, rank=6)
    assert np.allclose(negated.left, found.left)
    assert np.allclose(negated.right(2), -found.right(2))


def test_near_equal_neighbours_are_told():
    sigma = [5.0, 4.0, 3.95, 3.90, 1.0]
    found = directions.decompose(np.diag(sigma), (1, 1, 5), rank=5)
    assert [found.near_equal(k) for k in range(5)] == [[], [2], [1, 3], [2], []]


def test_a_direction_of_zero_length_is_a_picture_of_zeros():
    found = directions.decompose(np.diag([2.0, 0.0]), (1, 1, 2), rank=2)
    assert np.array_equal(found.right(1), np.zeros((1, 1, 2)))
    assert found.log_sigma(1) == -np.inf


def test_the_directions_of_an_encoder_are_those_of_its_score(tiny):
    found = directions.directions_of(tiny, "projector", picture(0), rank=16)
    assert sum(found.log_sigma(k) for k in range(16)) == pytest.approx(
        score_images([picture(0)], tiny)["jepa_score"][0], abs=1e-4
    )
    # A small step along v_k moves the embedding by sigma_k along u_k.
    tensor = tiny.preprocess(picture(0))
    step = 1e-2 * torch.from_numpy(found.right(0)).float()
    moved = (tiny.module()((tensor + step)[None]) - tiny.module()((tensor - step)[None]))[0].numpy() / 2e-2
    assert np.allclose(moved, found.sigma[0] * found.left[0], atol=0.02 * found.sigma[0])
