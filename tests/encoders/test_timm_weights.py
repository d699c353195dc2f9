"""Encoders of timm: loaded from a hub on loopback through the code path of the real ones, with tiny weights."""

import io
import json
import logging
from dataclasses import replace

import pytest
import safetensors.torch
import timm
import torch

from jepa_core.encoders import catalog, cost, timm_weights
from jepa_core.encoders.encoder import Encoder
from jepa_core.encoders.registry import get_spec, list_encoders, load_encoder
from jepa_core.errors import EncoderError
from jepa_core.jacobian import engine
from jepa_core.scoring.encoder_output import EncoderOutput

TINY = {"embed_dim": 48, "depth": 2, "num_heads": 2}
# name in the catalogue: what makes its architecture tiny
FAMILIES = {
    "ijepa-h14-1k": TINY | {"img_size": 28},
    "dinov2-s14": TINY | {"img_size": 28},
    "dinov2-s14-reg": TINY | {"img_size": 28},
    "dinov3-s16": TINY | {"img_size": 32},
    "metaclip-b32-400m": TINY | {"img_size": 64},
    "dino-s16": TINY | {"img_size": 32},
    "mae-b16": TINY | {"img_size": 32},
    "supervised-s16": TINY | {"img_size": 32},
    "supervised-resnet50": {"layers": (1, 1, 1, 1), "channels": (8, 8, 16, 16)},
}


def tiny(name: str):
    """The spec of the catalogue with a small network."""
    spec = next(spec for spec in catalog.specs() if spec.name == name)
    kwargs = FAMILIES[name]
    side = kwargs.get("img_size", 64)
    backbone = kwargs.get("embed_dim", 64)
    outputs = {output: backbone if output == "backbone" else k for output, k in spec.outputs.items()}
    return replace(spec, architecture_kwargs=kwargs, outputs=outputs, data_config={"input_size": [3, side, side]})


def published(spec) -> tuple[dict, object]:
    """Random weights in the layout of the publisher, and the network that they came from."""
    torch.manual_seed(0)
    model = timm.create_model(spec.architecture, pretrained=False, **spec.architecture_kwargs)
    for weight in model.parameters():  # so that nothing is zero or one because it started so
        torch.nn.init.normal_(weight, std=0.1)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    if spec.family == "I-JEPA":
        return {"encoder": {f"module.{name}": tensor for name, tensor in weights.items()}, "epoch": 300}, model
    return weights, model


def put(server, spec, weights) -> None:
    """Where the real ones are: a safetensors file on the hub, I-JEPA's a pickle on a server of its own."""
    if spec.family == "I-JEPA":
        file = io.BytesIO()
        torch.save(weights, file)
        server.files["ijepa/IN1K-vit.h.14-300e.pth.tar"] = file.getvalue()
    else:
        repository = timm.get_pretrained_cfg(spec.architecture).hf_hub_id
        server.files[f"{repository}/model.safetensors"] = safetensors.torch.save(weights)


@pytest.fixture
def hub(hub_server, monkeypatch):
    """The hub, which also stands for the server of I-JEPA's weights."""
    real = timm.get_pretrained_cfg

    def moved(name, **kwargs):
        config = real(name, **kwargs)
        if config and config.url:
            config.url = config.url.replace("https://dl.fbaipublicfiles.com", hub_server.address)
        return config

    monkeypatch.setattr(timm, "get_pretrained_cfg", moved)
    return hub_server


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_loads_what_its_publisher_gives_and_scores_it(hub, name):
    spec = tiny(name)
    weights, model = published(spec)
    put(hub, spec, weights)
    encoder = Encoder(spec, timm_weights.load_net(spec))
    images = torch.randn(2, *encoder.input_shape, generator=torch.Generator().manual_seed(1))
    model.eval()
    for output, k in spec.outputs.items():
        expected = model(images) if output == spec.default_output and spec.head else None
        if expected is None:
            expected = model.forward_head(model.forward_features(images), pre_logits=True)
        found = encoder.module(output)(images)
        assert found.shape == (2, k)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        ours = engine.engine_of(encoder, output).jacobian(images).flatten(2).double()
        module = encoder.module(output).double()
        naive = torch.autograd.functional.jacobian(lambda x, f=module: f(x).sum(0), images.double())
        naive = naive.transpose(0, 1).flatten(2)
        module.float()
        assert (ours - naive).norm() / naive.norm() < 1e-5


def test_a_loaded_encoder_is_recalled(hub, monkeypatch):
    spec = tiny("dinov2-s14")
    monkeypatch.setattr(catalog, "specs", lambda: iter([spec]))
    put(hub, spec, published(spec)[0])
    assert get_spec("dinov2-s14").weights_digest == ""
    assert "dinov2-s14" not in list_encoders()
    reports = []
    encoder = load_encoder("dinov2-s14", "cpu", lambda done, total: reports.append((done, total)))
    assert reports[-1][0] == reports[-1][1] > 0
    known = get_spec("dinov2-s14")
    assert known.weights_digest == encoder.weights
    assert list_encoders()["dinov2-s14"] == known
    assert EncoderOutput.of(known).config() == EncoderOutput.of(encoder).config()
    before = hub.sent
    assert load_encoder("dinov2-s14", "cpu").weights == encoder.weights
    assert hub.sent == before


def test_a_pickle_of_more_than_weights_is_refused(hub):
    class Run:
        def __reduce__(self):
            return print, ("a program",)

    spec = tiny("ijepa-h14-1k")
    file = io.BytesIO()
    torch.save(Run(), file)
    hub.files["ijepa/IN1K-vit.h.14-300e.pth.tar"] = file.getvalue()
    with pytest.raises(EncoderError, match="a pickle of more than weights, which could run a program"):
        timm_weights.load_net(spec)


@pytest.mark.parametrize(
    "content",
    [b"", b"not weights", safetensors.torch.save({"other": torch.zeros(1)})],
    ids=["empty", "damaged", "of another encoder"],
)
def test_weights_that_do_not_fit_are_said(hub, content):
    spec = tiny("dinov2-s14")
    hub.files["timm/vit_small_patch14_dinov2.lvd142m/model.safetensors"] = content
    with pytest.raises(EncoderError, match=r"do not load into vit_small_patch14_dinov2.lvd142m \(.*\); the whole file"):
        timm_weights.load_net(spec)


def test_weights_that_lack_some_are_refused_also_without_a_classifier(hub):
    # timm loads such a file for a network without its classifier, and leaves random what it lacks.
    spec = tiny("supervised-s16")
    weights, _model = published(spec)
    del weights["blocks.1.mlp.fc2.bias"]
    put(hub, spec, weights)
    with pytest.raises(EncoderError, match=r"do not load into .* \(Missing keys \(blocks\.1\.mlp\.fc2\.bias\)\)"):
        timm_weights.load_net(spec)


def test_a_load_leaves_the_log_as_it_was(hub, caplog):
    spec = tiny("supervised-s16")
    put(hub, spec, published(spec)[0])
    logger = logging.getLogger("timm.models._builder")
    before = logger.level, list(logger.filters)
    caplog.set_level(logging.WARNING)
    timm_weights.load_net(spec)
    assert (logger.level, logger.filters) == before
    assert not [record for record in caplog.records if record.name.startswith("timm")]


@pytest.mark.parametrize("content", ["{", '{"dinov2-s14": {"other": 1}}', '{"dinov2-s14": 1}', "[]"])
def test_a_damaged_memory_of_weights_is_made_anew(hub, monkeypatch, content):
    spec = tiny("dinov2-s14")
    monkeypatch.setattr(catalog, "specs", lambda: iter([spec]))
    put(hub, spec, published(spec)[0])
    path = timm_weights._path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    assert "dinov2-s14" not in list_encoders()
    encoder = load_encoder("dinov2-s14", "cpu")
    assert get_spec("dinov2-s14").weights_digest == encoder.weights


def test_the_terminal_says_what_it_downloads_and_scores(hub, monkeypatch, command):
    spec = tiny("dinov2-s14")
    monkeypatch.setattr(catalog, "specs", lambda: iter([spec]))
    monkeypatch.setattr(cost, "engine_rate", lambda _device, precision="fp32": 1e9)  # noqa: ARG005
    put(hub, spec, published(spec)[0])
    asked = ("score", "--encoder", "dinov2-s14", "--data", "digits-test", "--limit", "3", "--device", "cpu", "--json")
    status, out, err = command(*asked)
    assert status == 0
    assert "The weights of dinov2-s14 (0.3 MB; licence: Apache 2.0; not gated: anyone may download them) are" in err
    assert "A full score takes about 0.0" in err
    first = json.loads(out)
    assert len(first) == 3
    status, out, err = command(*asked)
    assert "downloaded" not in err
    assert "0 images scored" in err
    assert json.loads(out) == first


def test_a_study_downloads_scores_and_shows_an_encoder_at_its_first_run(hub, monkeypatch, command, folder, tmp_path):
    spec = tiny("dinov2-s14")
    monkeypatch.setattr(catalog, "specs", lambda: iter([spec]))
    monkeypatch.setattr(cost, "engine_rate", lambda _device, precision="fp32": 1e9)  # noqa: ARG005
    put(hub, spec, published(spec)[0])
    out = tmp_path / "figure1.png"
    asked = ("figure1", "--encoder", "dinov2-s14", "--data", folder, "--device", "cpu", "--out", out)
    status, _out, err = command(*asked)
    assert status == 0, err
    assert "are downloaded from" in err
    assert out.exists()
