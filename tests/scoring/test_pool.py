"""The full scores that the explorer comes with: for every bundled output, and never of the set at hand."""

from dataclasses import replace

import numpy as np
import pytest

from jepa_core.datasets.registry import get_dataset
from jepa_core.encoders.registry import get_spec, list_encoders
from jepa_core.jacobian.sketch import most_rows
from jepa_core.scoring import calibration, pool
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.store.results import Store

OUTPUTS = [EncoderOutput(spec, name) for spec in list_encoders().values() for name in spec.outputs]
DIGITS = EncoderOutput(get_spec("digits"), "projector")


@pytest.mark.parametrize("output", OUTPUTS, ids=str)
def test_every_bundled_output_has_one_that_fits(output):
    found = pool.shipped(output)
    count = len(found.digests)
    assert 500 <= count <= calibration.POOL
    assert len(set(found.digests.tolist())) == count
    assert found.scores.shape == (count,)
    assert found.features.shape[0] == count
    assert found.features.shape[1] > output.k
    assert found.directions.shape == (min(most_rows(output.k), output.rank.rank), output.k)
    assert found.pivots.shape == (count, len(found.directions))
    assert all(np.isfinite(part).all() for part in (found.scores, found.features, found.pivots))


def test_it_predicts_scores_that_were_left_out():
    found = pool.shipped(DIGITS)
    nothing = np.zeros(len(found.scores), dtype=bool)
    known = calibration.Known([], found.scores, found.features, found.pivots, nothing, nothing)
    errors = calibration.calibrate(known).error
    assert errors < 0.2 * found.scores.var()


def test_one_of_other_weights_is_none():
    assert pool.shipped(replace(DIGITS, spec=replace(DIGITS.spec, weights_digest="other"))) is None


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_one_that_cannot_be_read_is_none(monkeypatch, tmp_path, content):
    monkeypatch.setattr(pool, "ASSETS", tmp_path)
    path = pool.path_of(DIGITS)
    path.parent.mkdir()
    path.write_bytes(content)
    assert pool.shipped(DIGITS) is None


def test_what_is_written_is_read_again(monkeypatch, tmp_path):
    found = pool.shipped(DIGITS)
    monkeypatch.setattr(pool, "ASSETS", tmp_path)
    pool.write(DIGITS, found)
    again = pool.shipped(DIGITS)
    assert np.array_equal(again.digests, found.digests)
    assert np.allclose(again.features, found.features, rtol=1e-3, atol=1e-6)
    assert np.array_equal(again.directions, found.directions)


def test_images_of_the_set_at_hand_are_not_taken_from_it():
    digests = [item.digest for item in get_dataset("digits-train").items()]
    here = calibration.known(Store(), DIGITS, "fp32", [], digests)
    elsewhere = calibration.known(Store(), DIGITS, "fp32", [], [])
    assert len(elsewhere.digests) - len(here.digests) == len(set(digests) & set(elsewhere.digests)) > 100


def test_scores_in_another_precision_are_not_mixed_with_it():
    assert calibration.known(Store(), DIGITS, "bf16", [], []).digests == []
