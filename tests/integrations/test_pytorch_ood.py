"""JEPA-SCORE as a detector of pytorch-ood: our own outlier scores, in that library's interface and sign."""

import sys
from importlib import reload

import numpy as np
import pytest
import torch

from jepa_core import images
from jepa_core.errors import EncoderError
from jepa_core.integrations import pytorch_ood as adapter
from jepa_core.scoring.score_images import score_images
from tests.helpers import picture


@pytest.fixture
def inputs(tiny) -> torch.Tensor:
    return torch.stack([tiny.preprocess(picture(seed)) for seed in range(5)])


@pytest.mark.parametrize("output", ["projector", "backbone"])
def test_it_is_minus_the_score_of_the_same_images_bit_for_bit(tiny, inputs, output):
    ours = score_images([images.to_png(picture(seed)) for seed in range(5)], tiny, output)["jepa_score"].to_numpy()
    detector = adapter.JEPAScore(tiny, output)
    found = detector.predict(inputs)
    assert found.shape == (5,)
    assert np.array_equal(found.numpy(), -ours)
    assert torch.equal(detector(inputs), found)
    assert detector.predict(inputs[:0]).shape == (0,)


def test_it_needs_no_fit_and_takes_an_encoder_by_its_name(tiny, inputs):
    detector = adapter.JEPAScore("tiny")
    assert detector.fit([(inputs, torch.zeros(5))], device="cpu") is detector
    assert detector.fit_features(inputs, torch.zeros(5)) is detector
    assert torch.equal(detector.predict(inputs), adapter.JEPAScore(tiny).predict(inputs))


def test_an_image_that_is_not_finite_has_no_score_and_the_others_keep_theirs(tiny, inputs):
    detector = adapter.JEPAScore(tiny)
    spoilt = inputs.clone()
    spoilt[2, 0, 3, 3] = torch.nan
    found = detector.predict(spoilt)
    assert found.isnan().tolist() == [False, False, True, False, False]
    others = [0, 1, 3, 4]
    assert torch.equal(found[others], detector.predict(inputs)[others])


def test_what_is_no_batch_of_images_is_one_sentence(tiny, inputs):
    detector = adapter.JEPAScore(tiny)
    with pytest.raises(EncoderError, match=r"shape \(1, 16, 16\) were given .* \(batch, 1, 16, 16\) is accepted"):
        detector.predict(inputs[0])
    with pytest.raises(NotImplementedError, match=r"features of shape \(5, 16\); .* only images are accepted"):
        detector.predict_features(torch.zeros(5, 16))


def test_without_the_library_it_is_a_class_of_its_own(tiny, inputs, monkeypatch):
    expected = adapter.JEPAScore(tiny).predict(inputs)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pytorch_ood.api", None)
        reload(adapter)
        assert adapter.JEPAScore.__bases__ == (object,)
        assert torch.equal(adapter.JEPAScore(tiny).predict(inputs), expected)
    reload(adapter)


def test_it_is_one_of_the_librarys_detectors(tiny, inputs):
    api = pytest.importorskip("pytorch_ood.api")
    detector = adapter.JEPAScore(tiny)
    assert isinstance(detector, api.Detector)
    from pytorch_ood.metrics import OODMetrics

    scores = detector.predict(inputs)
    metrics = OODMetrics()
    metrics.update(scores, torch.where(scores > scores.median(), -1, 0))  # the least likely are called outliers
    assert float(metrics.compute()["AUROC"]) == 1
