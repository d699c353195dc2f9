"""Walks: an image moved along a direction, its score and its embedding on the way."""

import numpy as np
import pytest
import torch

from jepa_core.explain import directions, walks
from jepa_core.scoring.score_images import score_images
from tests.helpers import picture


@pytest.fixture(scope="module")
def walked(tiny_files):
    """A walk of the tiny encoder along its second direction, with its directions."""
    from jepa_core.encoders import registry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_card_paths", lambda: iter([tiny_files / "tiny.json"]))
        encoder = registry.load_encoder("tiny", "cpu")
    found = directions.directions_of(encoder, "projector", picture(0), rank=16)
    told = []
    both = walks.walks(encoder, "projector", picture(0), found, 1, lambda *step: told.append(step))
    return encoder, found, both, told


def test_the_lengths_are_even_and_have_the_image_in_their_middle(walked):
    _encoder, _found, both, _told = walked
    assert np.allclose(both.along.lengths, np.arange(-6.0, 7.0))
    assert np.array_equal(both.along.lengths, both.random.lengths)
    assert both.along.lengths[walks.STEPS] == 0.0


def test_the_middle_is_the_image_itself(walked):
    encoder, _found, both, _told = walked
    expected = score_images([picture(0)], encoder)["jepa_score"][0]
    for walk in (both.along, both.random):
        assert walk.scores[walks.STEPS] == pytest.approx(expected, abs=1e-3)
        assert walk.distances[walks.STEPS] == 0.0
        assert walk.clipped[walks.STEPS] == 0
        shown = (encoder.preprocess(picture(0)).numpy() * 0.35 + 0.3) * 255
        assert np.abs(walk.pictures[walks.STEPS].transpose(2, 0, 1) - shown).max() <= 0.51


def test_every_step_is_the_clipped_picture_scored_in_float64(walked):
    encoder, found, both, _told = walked
    exact = encoder.module("projector").double()
    start = encoder.preprocess(picture(0)).double()
    for walk, direction in ((both.along, found.right(1)), (both.random, walks.random_direction((1, 16, 16)))):
        for step in (0, 4, 7, 12):
            moved = start + walk.lengths[step] * torch.from_numpy(direction)
            clipped = moved.clip((0 - 0.3) / 0.35, (1 - 0.3) / 0.35)
            jacobian = torch.autograd.functional.jacobian(lambda x: exact(x[None])[0], clipped).flatten(1)
            assert walk.scores[step] == pytest.approx(torch.linalg.svdvals(jacobian).log().sum().item(), abs=5e-3)
            with torch.no_grad():
                distance = (exact(clipped[None]) - exact(start[None])).norm().item()
            assert walk.distances[step] == pytest.approx(distance, rel=1e-4)
            changed = ((moved - clipped).abs() * 0.35 >= 0.5 / 255).any(dim=0).sum().item()
            assert walk.clipped[step] == changed
    encoder.module("projector").float()


def test_the_prediction_is_the_length_of_j_times_the_direction(walked):
    _encoder, found, both, _told = walked
    assert both.along.slope == pytest.approx(found.sigma[1], rel=1e-6)
    drawn = walks.random_direction((1, 16, 16)).ravel()
    right = np.stack([found.right(k).ravel() for k in range(16)])
    assert both.random.slope == pytest.approx(np.linalg.norm(found.sigma * (right @ drawn)), rel=1e-5)
    assert np.allclose(both.along.predicted, found.sigma[1] * np.abs(both.along.lengths))


def test_long_steps_clip_and_the_pictures_stay_pictures(walked):
    _encoder, _found, both, _told = walked
    assert both.along.clipped[both.along.lengths == 0] == 0
    assert max(both.along.clipped[0], both.along.clipped[-1]) > 0
    assert both.along.clipped.max() <= 256
    assert both.along.pictures.shape == (13, 16, 16, 1)


def test_the_random_direction_has_length_1_and_follows_its_seed():
    first = walks.random_direction((3, 5, 7))
    assert np.linalg.norm(first) == pytest.approx(1.0)
    assert np.array_equal(first, walks.random_direction((3, 5, 7)))
    assert not np.array_equal(first, walks.random_direction((3, 5, 7), seed=1))


def test_the_work_is_told_in_scores(walked):
    _encoder, _found, _both, told = walked
    assert told[0] == (0, 26)
    assert told[-1] == (26, 26)
    assert [done for done, _all in told] == sorted(done for done, _all in told)


def test_it_stops_between_steps_when_asked_to(walked):
    encoder, found, _both, _told = walked
    assert walks.walks(encoder, "projector", picture(0), found, 0, cancelled=lambda: True) is None


def test_a_jacobian_that_is_not_finite_leaves_a_gap():
    grams = np.stack([np.diag([4.0, 1.0]), np.full((2, 2), np.nan)])
    scores = walks._scores(grams, 2)
    assert scores[0] == pytest.approx(np.log(2.0))
    assert np.isnan(scores[1])
