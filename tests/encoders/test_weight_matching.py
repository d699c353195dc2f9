"""Files with weights as people's training writes them: which part is taken, and what is refused."""

import argparse
import json
from collections import OrderedDict, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch

from jepa_core.encoders import (
    architecture_index,
    checkpoint_files,
    checkpoint_parts,
    custom,
    timm_weights,
    weight_matching,
)
from jepa_core.encoders.registry import get_spec, list_encoders, load_encoder
from jepa_core.errors import EncoderError

State = dict[str, torch.Tensor]


def fresh(name: str, seed: int = 0, **kwargs) -> State:
    """Random weights of a network of timm, no two tensors alike."""
    torch.manual_seed(seed)
    network = timm.create_model(name, pretrained=False, **({"num_classes": 0} | kwargs))
    return {key: tensor.clone() for key, tensor in network.state_dict().items()}


VIT, OTHER = fresh("test_vit"), fresh("test_vit", seed=1)


def under(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def add(tmp_path: Path, content: object, like: str = "timm:test_vit", name: str = "w.pth"):
    if name.endswith(".safetensors"):
        safetensors.torch.save_file(content, tmp_path / name)
    else:
        torch.save(content, tmp_path / name)
    return custom.add("mine", like, str(tmp_path / name), "cpu")


def has(encoder, state: State) -> bool:
    """Whether an encoder's backbone has just these weights."""
    found = encoder.module("backbone").state_dict()
    return found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)


# --- which part is taken ----------------------------------------------------------------------------------------------

HEAD = {"weight": torch.randn(5, 64), "bias": torch.randn(5)}
ADAM = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.randn(64)}}, "param_groups": [{"params": [0]}]}
DECODER = {
    "decoder_embed.weight": torch.randn(8, 64),
    "decoder_blocks.0.x": torch.randn(8),
    "mask_token": torch.ones(9),
}


def dinov2() -> State:
    """Blocks in chunks and a mask token, as DINOv2 trains them."""
    network = timm.create_model("test_vit", pretrained=False, num_classes=0)
    depth = len(network.blocks)
    names = {f"blocks.{block}.": f"blocks.{block // 2}.{block}." for block in range(depth)}
    found = {}
    for name, tensor in VIT.items():
        block = next((block for block in names if name.startswith(block)), None)
        found[name.replace(block, names[block]) if block else name] = tensor
    return found | {"mask_token": torch.randn(1, 64)}


# layout: (content, part that is taken, what is said of it)
LAYOUTS = {
    "bare": (VIT, ""),
    "with a classifier": (VIT | under("head.", HEAD), "Left out of it: head."),
    "backbone": (under("backbone.", VIT) | under("head.", HEAD), "Taken of it: backbone; left out: head."),
    "encoder": (under("encoder.", VIT) | under("projector.0.", HEAD), "Taken of it: encoder; left out: projector."),
    "module": (under("module.", VIT), "Taken of it: module."),
    "compiled and parallel": (under("_orig_mod.module.", VIT), "Taken of it: _orig_mod.module."),
    "model": ({"model": VIT, "optimizer": ADAM, "epoch": 3}, "Taken of it: model; left out: optimizer."),
    "an unknown wrapper": (under("net.trunk.", VIT) | under("net.probe.", HEAD), "net.trunk; left out: net.probe."),
    "DINO": (
        {
            "student": under("module.backbone.", OTHER) | under("module.head.last_layer.", HEAD),
            "teacher": under("backbone.", VIT) | under("head.last_layer.", HEAD),
            "optimizer": ADAM,
            "epoch": 100,
            "args": argparse.Namespace(arch="vit_tiny", out=Path("/x"), counts=defaultdict(int, a=1)),
            "dino_loss": OrderedDict(center=torch.zeros(1, 8)),
        },
        "teacher.backbone, the average that its training kept; left out: dino_loss, optimizer, student, teacher.head.",
    ),
    "DINOv2": (
        {"teacher": under("backbone.", dinov2()) | under("dino_head.mlp.0.", HEAD) | under("ibot_head.", HEAD)},
        "teacher.backbone, the average that its training kept; left out: teacher.backbone.mask_token, teacher.dino",
    ),
    "I-JEPA": (
        {
            "encoder": under("module.", OTHER),
            "predictor": under("module.predictor_blocks.0.", HEAD),
            "target_encoder": under("module.", VIT),
            "opt": ADAM,
            "scaler": None,
            "epoch": 300,
        },
        "target_encoder.module, the average that its training kept; left out: encoder, opt, predictor.",
    ),
    "MAE": (
        {"model": VIT | DECODER, "optimizer": ADAM, "args": argparse.Namespace(mask_ratio=0.75)},
        "Taken of it: model; left out: model.decoder_blocks, model.decoder_embed, model.mask_token, optimizer.",
    ),
    "Lightning": (
        {
            "epoch": 1,
            "pytorch-lightning_version": "2.0",
            "state_dict": under("model.backbone.", VIT) | under("model.classifier.", HEAD),
            "loops": {"fit_loop": {"state_dict": {}}},
            "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}},
            "optimizer_states": [ADAM],
            "hyper_parameters": {"lr": np.float64(0.1)},
        },
        "state_dict.model.backbone; left out: callbacks, optimizer_states, state_dict.model.classifier.",
    ),
    "lightly, DINO": (
        {
            "state_dict": under("student_backbone.", OTHER)
            | under("student_head.", HEAD)
            | under("teacher_backbone.vit.", VIT)
            | under("teacher_head.", HEAD)
            | {"criterion.center.center": torch.zeros(1, 8)}
        },
        "state_dict.teacher_backbone.vit, the average that its training kept; left out: state_dict.criterion",
    ),
    "lightly, a momentum encoder": (
        under("backbone.", VIT) | under("backbone_momentum.", OTHER) | under("projection_head.", HEAD),
        "Taken of it: backbone; left out: backbone_momentum, projection_head.",
    ),
    "MoCo": (
        under("encoder_q.", VIT) | under("encoder_k.", OTHER) | {"queue": torch.randn(8, 4)},
        "Taken of it: encoder_q; left out: encoder_k, queue.",
    ),
    "timm's average": (
        {"state_dict": OTHER, "state_dict_ema": under("module.", VIT), "arch": "test_vit"},
        "state_dict_ema.module, the average that its training kept; left out: state_dict.",
    ),
    "OpenCLIP": (
        under("visual.trunk.", VIT) | {"visual.head.proj.weight": torch.randn(8, 64), "text.weight": torch.randn(9)},
        "Taken of it: visual.trunk; left out: text, visual.head.",
    ),
    "the same twice": ({"a": VIT, "b": {name: tensor.clone() for name, tensor in VIT.items()}}, "a; left out: b."),
    "a student of a larger teacher": (
        {"student": VIT, "teacher": fresh("test_vit", embed_dim=32)},
        "Taken of it: student; left out: teacher.",
    ),
}


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_part_of_a_training_is_found_and_said(tmp_path, layout, name):
    content, said = LAYOUTS[layout]
    if name.endswith(".safetensors"):  # has no dictionaries in dictionaries
        content = dict(checkpoint_files._tensors(content, set()))
        content = {key: tensor.contiguous().clone() for key, tensor in content.items()}
    encoder = add(tmp_path, content, name=name)
    assert has(encoder, VIT)
    assert said in encoder.spec.description
    assert ("Taken" in encoder.spec.description) == (encoder.spec.part != "" or "visual" in said)
    again = load_encoder("mine", "cpu")
    assert has(again, VIT)
    assert again.spec.description == encoder.spec.description


def test_a_resnet_that_was_made_a_list_of_layers_loads(tmp_path):
    # As lightly's examples make them: nn.Sequential(*list(resnet.children())[:-1]).
    torch.manual_seed(0)
    network = timm.create_model("resnet18", num_classes=3, layers=(1, 1, 1, 1), channels=(4, 4, 4, 4))
    state = under("backbone.", torch.nn.Sequential(*list(network.children())[:-1]).state_dict())
    spec = get_spec_of("resnet18", layers=(1, 1, 1, 1), channels=(4, 4, 4, 4))
    torch.save({"state_dict": state}, tmp_path / "w.pth")
    net, part, _said = timm_weights.load_given(spec, tmp_path / "w.pth")
    assert part == "state_dict.backbone."
    assert torch.equal(net.backbone.state_dict()["layer1.0.conv1.weight"], network.layer1[0].conv1.weight)


def get_spec_of(architecture: str, **kwargs):
    return replace(get_spec("supervised-resnet50"), architecture=architecture, architecture_kwargs=kwargs, like="x")


def test_a_format_is_known_by_its_first_bytes(tmp_path):
    safetensors.torch.save_file(VIT, tmp_path / "w.ckpt")
    assert has(custom.add("mine", "timm:test_vit", str(tmp_path / "w.ckpt"), "cpu"), VIT)
    torch.save(VIT, tmp_path / "w.safetensors")
    assert has(custom.add("mine", "timm:test_vit", str(tmp_path / "w.safetensors"), "cpu"), VIT)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_is_taken(tmp_path, kind):
    encoder = add(tmp_path, {name: tensor.to(kind) for name, tensor in VIT.items()})
    assert has(encoder, {name: tensor.to(kind).float() for name, tensor in VIT.items()})


# --- encoders of earlier versions -------------------------------------------------------------------------------------

LORA = {"blocks.0.attn.qkv.lora_A.default.weight": torch.randn(4, 64)}


def test_a_file_that_an_earlier_version_took_is_told_when_it_is_refused(tmp_path):
    encoder = add(tmp_path, VIT)
    path = timm_weights._path()
    kept = json.loads(path.read_text())
    for field in ("like", "part"):  # which that version did not keep
        del kept["mine"][field]
    path.write_text(json.dumps(kept))
    assert load_encoder("mine", "cpu").weights == encoder.weights
    torch.save(VIT | LORA, tmp_path / "w.pth")
    with pytest.raises(EncoderError, match=r"do not load into test_vit \(it has adapters"):
        load_encoder("mine", "cpu")


def test_an_ijepa_file_that_an_earlier_version_added_stays_what_it_was(tmp_path):
    both = {"encoder": under("module.", OTHER), "target_encoder": under("module.", VIT)}
    encoder = add(tmp_path, both)
    path = timm_weights._path()
    kept = json.loads(path.read_text())
    digest = add(tmp_path, OTHER, name="other.pth").weights  # timm's choice is the encoder
    del kept["mine"]["part"], kept["mine"]["like"]
    kept["mine"]["weights_digest"] = digest
    path.write_text(json.dumps(kept))
    assert load_encoder("mine", "cpu").weights == digest != encoder.weights


def test_a_renaming_is_followed_through_what_it_does():
    def rename(state: State, _network) -> State:
        q, k = state.pop("q"), state.pop("k")
        del state["lost"]
        return {"norm.weight": torch.cat([q, k]) + 1, "norm.bias": state["b"].reshape(-1)[:4]}

    network = torch.nn.Sequential(OrderedDict(norm=torch.nn.LayerNorm(4)))
    tensors = {"q": torch.ones(2), "k": torch.ones(2), "b": torch.ones(2, 4), "lost": torch.ones(3)}
    part = weight_matching.part_under(tensors, "", network, rename)
    assert part.sources == {"norm.weight": {"q", "k"}, "norm.bias": {"b"}}
    assert part.used == {"q", "k", "b"}
    assert part.whole


@pytest.mark.parametrize(
    ("prefix", "rank"),
    [
        ("teacher.backbone.", 1),
        ("target_encoder.module.", 1),
        ("model_ema.", 0),
        ("", 2),
        ("student.", 2),
        ("base_encoder.", 2),
        ("schema.", 2),
        ("momentum_encoder.", 3),
        ("gram_teacher.backbone.", 3),
        ("target_network.encoder.", 3),
    ],
)
def test_the_average_is_preferred_and_a_follower_is_not(prefix, rank):
    assert checkpoint_parts.rank(prefix) == rank


# --- the index of architectures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["test_vit", "test_resnet", "resnet34", "vit_tiny_patch16_224", "convnext_atto", "swin_tiny_patch4_window7_224"],
)
def test_the_index_is_what_timm_makes(name):
    assert name in architecture_index._index()[architecture_index.signature_of(name)]


def test_the_terminal_says_which_part_was_taken(tmp_path, command):
    torch.save({"teacher": under("backbone.", VIT), "student": under("backbone.", OTHER)}, tmp_path / "w.pth")
    asked = ("encoders", "mine", "--like", "timm:test_vit", "--weights", tmp_path / "w.pth")
    status, _out, err = command(*asked)
    assert status == 0, err
    assert "Taken of it: teacher.backbone, the average that its training kept; left out: student." in err
    assert "Taken of it: teacher.backbone" in list_encoders()["mine"].description
    torch.save(VIT | LORA, tmp_path / "w.pth")
    status, out, err = command(*asked)
    assert (status, out, err.count("\n")) == (1, "", 1)
