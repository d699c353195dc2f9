"""Encoders: cards become specs, weights are identified by their content, and what does not fit is told."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from jepa_core import images
from jepa_core.encoders import registry
from jepa_core.encoders.card import spec_from_card
from jepa_core.encoders.encoder import Encoder, _devices, build_net, default_device, weights_digest
from jepa_core.encoders.registry import get_spec, list_encoders, load_encoder
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import EncoderError, UnknownName
from jepa_core.jacobian.spectrum import Rank


@pytest.fixture(autouse=True)
def nothing_bundled(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "ASSETS", tmp_path)


def test_a_card_in_the_cache_makes_an_encoder_known(install_tiny):
    assert list_encoders() == {}
    install_tiny()
    spec = get_spec("tiny")
    assert (spec.source, spec.default_output, spec.outputs) == (
        "bundled",
        "projector",
        {"projector": 16, "backbone": 96},
    )
    assert spec.weights.name == "tiny.safetensors"


def test_a_bundled_name_is_never_replaced_by_one_in_the_cache(install_tiny, tmp_path):
    card = install_tiny()
    (tmp_path / "encoders").mkdir()
    (tmp_path / "encoders" / "tiny.json").write_text(json.dumps(json.loads(card.read_text()) | {"licence": "bundled"}))
    assert get_spec("tiny").licence == "bundled"


def test_the_rank_on_a_card_is_read(install_tiny):
    install_tiny(ranks={"projector": {"rank": 15, "reason": "measured"}})
    assert get_spec("tiny").ranks == {"projector": Rank(15, "measured")}


def test_an_unknown_encoder_is_told_with_the_names_there_are(install_tiny):
    install_tiny()
    for load in (get_spec, load_encoder):
        with pytest.raises(
            UnknownName, match=r"^Unknown encoder: 'tny'\. Must be one of: tiny\. More can be downloaded"
        ):
            load("tny")


def test_an_unknown_output_is_told_with_the_names_there_are(tiny):
    with pytest.raises(
        UnknownName, match=r"^Unknown output of encoder 'tiny': 'logits'\. Must be one of: projector, backbone\.$"
    ):
        tiny.module("logits")


def test_the_outputs_are_the_projector_and_the_backbone(tiny):
    inputs = torch.randn(2, *tiny.input_shape)
    assert tiny.module()(inputs).shape == (2, 16)
    assert torch.equal(tiny.module("projector")(inputs), tiny.module()(inputs))
    assert tiny.module("backbone")(inputs).shape == (2, 96)


def test_a_loaded_encoder_is_frozen_and_in_eval_mode(tiny):
    module = tiny.module()
    assert not any(part.training for part in module.modules())
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert tiny.parameters == sum(parameter.numel() for parameter in module.parameters())


def test_the_input_is_the_normalised_crop(tiny):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 24, 3), dtype=np.uint8))
    crop = np.asarray(images.crop(picture, tiny.data_config), dtype=np.float32) / 255
    tensor = tiny.preprocess(picture)
    assert tensor.shape == tiny.input_shape == (1, 16, 16)
    assert np.allclose(tensor[0].numpy(), (crop - 0.3) / 0.35, atol=1e-6)


def test_the_card_and_the_loaded_encoder_name_the_same_transform(tiny):
    assert tiny.transform == tiny.spec.transform
    assert json.loads(tiny.transform)["mean"] == [0.3]


def test_an_encoder_without_projector_gives_its_backbone():
    spec = EncoderSpec("plain", "none", "bundled", "resnet18", {"backbone": 16}, {"channels": (8, 8, 8, 16)})
    encoder = Encoder(spec, build_net(spec))
    assert encoder.module()(torch.randn(1, 3, 32, 32)).shape == (1, 16)


# --- weights ----------------------------------------------------------------------------------------------------------


def net() -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


def changed(change) -> torch.nn.Module:
    other = net()
    with torch.no_grad():
        change(other)
    return other


@pytest.mark.parametrize(
    "change",
    [
        lambda other: other[0].weight[0, 0].add_(1e-6),
        lambda other: other[1].running_mean[0].add_(1e-6),  # a buffer, not a parameter
        lambda other: setattr(other[0].weight, "data", other[0].weight.reshape(3, 2)),  # the same bytes
        lambda other: setattr(other[0].bias, "data", other[0].bias.view(torch.bfloat16)),
        lambda other: other.append(torch.nn.Linear(1, 1)),
    ],
)
def test_any_change_of_the_weights_is_another_digest(change):
    assert weights_digest(net()) == weights_digest(net())
    assert weights_digest(changed(change)) != weights_digest(net())


def test_the_digest_says_nothing_of_memory_layout():
    other = changed(lambda other: other[0].weight.set_(other[0].weight.T.contiguous().T))
    assert weights_digest(other) == weights_digest(net())


# --- devices ----------------------------------------------------------------------------------------------------------

ABSENT = "cuda" if sys.platform == "darwin" else "mps"


@pytest.mark.parametrize("device", [ABSENT, "cuda:99", "gpu"])
def test_a_device_that_is_not_there_is_told_with_those_that_are(install_tiny, device):
    install_tiny()
    with pytest.raises(EncoderError) as caught:
        load_encoder("tiny", device)
    there = " or ".join(_devices())
    assert there.endswith("cpu")
    assert str(caught.value) == (
        f"The device {device!r} is not to be had on this machine; {there} is accepted; "
        "choose that, or name no device to get the best there is."
    )


def test_the_best_device_there_is_is_the_default(install_tiny):
    install_tiny()
    assert load_encoder("tiny").device == default_device() == _devices()[0]


# --- files that do not fit --------------------------------------------------------------------------------------------


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def other_architecture(path: Path) -> None:
    safetensors.torch.save_file({"weight": torch.zeros(2)}, path)


@pytest.mark.parametrize("spoil", [Path.unlink, damage, other_architecture])
def test_weights_that_do_not_load_are_told_in_one_line(install_tiny, spoil):
    weights = install_tiny().with_suffix(".safetensors")
    spoil(weights)
    with pytest.raises(EncoderError) as caught:
        load_encoder("tiny", "cpu")
    sentence = str(caught.value)
    assert sentence.startswith(f"The weights {weights} do not load into encoder 'tiny' (")
    assert sentence.endswith("is accepted; make it again with the command that its card names.")
    assert "\n" not in sentence


def test_weights_of_another_card_are_told(install_tiny):
    install_tiny(weights_digest="0" * 64)
    with pytest.raises(EncoderError, match="are not those that the card of encoder 'tiny' describes; a pair written"):
        load_encoder("tiny", "cpu")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"name": "tiny"}', "\x00"])
def test_a_damaged_card_is_told_with_its_path(cache, content):
    card = cache / "tiny.json"
    card.write_text(content)
    with pytest.raises(EncoderError, match=r"The model card .*tiny\.json cannot be read \(.*; make it again or remove"):
        spec_from_card(card)
