"""Files with weights as people's training writes them: which part is taken, and what is refused."""

import argparse
import json
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch

from jepa_core import architectures, checkpoints, fitting, own_weights, part_names, pretrained
from jepa_core.encoders import get_spec, list_encoders, load_encoder
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
    return own_weights.add("mine", like, str(tmp_path / name), "cpu")


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
        content = dict(checkpoints._tensors(content, set()))
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
    net, part, _said = pretrained.load_given(spec, tmp_path / "w.pth")
    assert part == "state_dict.backbone."
    assert torch.equal(net.backbone.state_dict()["layer1.0.conv1.weight"], network.layer1[0].conv1.weight)


def get_spec_of(architecture: str, **kwargs):
    from dataclasses import replace

    return replace(get_spec("supervised-resnet50"), architecture=architecture, architecture_kwargs=kwargs, like="x")


def test_a_format_is_known_by_its_first_bytes(tmp_path):
    safetensors.torch.save_file(VIT, tmp_path / "w.ckpt")
    assert has(own_weights.add("mine", "timm:test_vit", str(tmp_path / "w.ckpt"), "cpu"), VIT)
    torch.save(VIT, tmp_path / "w.safetensors")
    assert has(own_weights.add("mine", "timm:test_vit", str(tmp_path / "w.safetensors"), "cpu"), VIT)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_is_taken(tmp_path, kind):
    encoder = add(tmp_path, {name: tensor.to(kind) for name, tensor in VIT.items()})
    assert has(encoder, {name: tensor.to(kind).float() for name, tensor in VIT.items()})


# --- what is refused --------------------------------------------------------------------------------------------------

QKV = "blocks.0.attn.qkv.weight"
LORA = {"blocks.0.attn.qkv.lora_A.default.weight": torch.randn(4, 64)}


def changed(name: str, change) -> State:
    return VIT | {name: change(VIT[name].clone())}


def filled(value: float):
    return lambda tensor: tensor.fill_(value)


def broken(tensor: torch.Tensor) -> torch.Tensor:
    tensor[0, 0] = float("nan")
    return tensor


# what is wrong: (like, content, what is said)
WRONG = {
    "a larger network": (
        "timm:resnet18",
        fresh("resnet34"),
        r'"layer1\.2\..*" would be left out\); .*, timm:resnet34\.',
    ),
    "a deeper ViT": ("timm:test_vit", fresh("test_vit", depth=8), r'"blocks\.6\..*" would be left out'),
    "a shallower ViT": ("timm:test_vit", fresh("test_vit", depth=4), r'Missing key\(s\) in state_dict: "blocks\.4\.'),
    "another width": (
        "timm:test_vit",
        fresh("test_vit", embed_dim=96),
        r"size mismatch for cls_token: \(1, 1, 96\) in",
    ),
    "another patch": (
        "timm:test_vit",
        fresh("test_vit", patch_size=8),
        r"size mismatch for patch_embed\.proj\.weight: \(64, 3, 8, 8\) in the file, \(64, 3, 16, 16\)",
    ),
    "another patch of the list": (
        "timm:vit_tiny_patch16_224",
        fresh("vit_tiny_patch16_224", patch_size=32, img_size=384),
        r"size mismatch for patch_embed",
    ),
    "another input size": (
        "timm:test_vit",
        fresh("test_vit", img_size=96),
        r'"pos_embed" is for another input size, 96 px, .*: write @PX .*; .*, timm:test_vit@96\.',
    ),
    "LayerScale": (
        "timm:test_vit",
        fresh("test_vit", init_values=0.1),
        r'"blocks\.0\.ls1\.gamma" .* \(timm\'s init_val',
    ),
    "LayerScale within": (
        "timm:test_vit",
        {"model": under("backbone.", fresh("test_vit", init_values=0.1))},
        r'"model\.backbone\.blocks\.0\.ls1\.gamma" would be left out: it is LayerScale',
    ),
    "registers": ("timm:test_vit", fresh("test_vit", reg_tokens=2), r"size mismatch for pos_embed: \(1, 103, 64\)"),
    "a norm before": (
        "timm:test_vit",
        VIT | under("norm_pre.", {"weight": torch.ones(64)}),
        r'"norm_pre\.weight" would be left out',
    ),
    "normed queries": ("timm:test_vit", fresh("test_vit", qk_norm=True), r'"blocks\.0\.attn\.q_norm\.weight" would'),
    "a norm behind pooling": (
        "timm:test_vit",
        VIT | under("fc_norm.", {"weight": torch.ones(64)}),
        r'"fc_norm\.weight"',
    ),
    "a part beside": (
        "timm:test_vit",
        under("backbone.", VIT) | under("fusion.", HEAD),
        r'"fusion\.weight" would be left out, and lies beside "backbone"',
    ),
    "unmerged LoRA": (
        "timm:test_vit",
        VIT | LORA,
        r'adapters .* "blocks\.0\.attn\.qkv\.lora_A\.default\.weight": merge',
    ),
    "peft": (
        "timm:test_vit",
        under("base_model.model.", {name.replace("qkv.", "qkv.base_layer."): VIT[name] for name in VIT}),
        r"adapters beside or without its weights, the first is",
    ),
    "LoRA alone": ("timm:test_vit", LORA, "adapters beside or without its weights"),
    "an adapter": ("timm:test_vit", {"model": VIT, "adapter": HEAD}, 'the first is "adapter.weight": merge'),
    "NaN": ("timm:test_vit", changed(QKV, broken), rf'"{QKV}" holds numbers that are not finite'),
    "infinite": ("timm:test_vit", changed("norm.bias", filled(float("inf"))), '"norm.bias" holds numbers that are not'),
    "too large for float32": (
        "timm:test_vit",
        changed("norm.bias", lambda tensor: tensor.double() + 1e300),
        '"norm.bias" holds numbers that are not finite',
    ),
    "zeros": ("timm:test_vit", changed(QKV, filled(0)), rf'all numbers of "{QKV}" are 0'),
    "no variances": (
        "timm:resnet18",
        (weights := fresh("resnet18")) | {"bn1.running_var": -weights["bn1.running_var"]},
        r'"bn1\.running_var" holds variances that are none',
    ),
    "whole numbers": ("timm:test_vit", changed(QKV, lambda tensor: tensor.to(torch.int8)), f'"{QKV}" is of type int8'),
    "float8": ("timm:test_vit", changed(QKV, lambda t: t.to(torch.float8_e4m3fn)), f'"{QKV}" is of type float8_e4m3fn'),
    "complex": ("timm:test_vit", changed(QKV, lambda t: t.to(torch.complex64)), f'"{QKV}" is of type complex64'),
    "sparse": ("timm:test_vit", changed(QKV, lambda t: t.to_sparse()), f'"{QKV}" is of type float32, sparse_coo'),
    "a single number": (
        "timm:test_vit",
        changed("norm.bias", lambda t: t[:1]),
        r"size mismatch for norm\.bias: \(1,\)",
    ),
    "transposed": ("timm:test_vit", changed(QKV, lambda t: t.T.contiguous()), rf"size mismatch for {QKV}: \(64, 192\)"),
    "transposed patches": (
        "timm:test_vit",
        changed("patch_embed.proj.weight", lambda tensor: tensor.flatten(1).T.contiguous()),
        r"size mismatch for patch_embed\.proj\.weight: \(768, 64\)",
    ),
    "channels last": (
        "timm:test_vit",
        changed("patch_embed.proj.weight", lambda tensor: tensor.permute(0, 2, 3, 1).contiguous()),
        r"size mismatch for patch_embed\.proj\.weight: \(64, 16, 16, 3\)",
    ),
    "two that fit": (
        {"rgb": VIT, "depth": OTHER} and "timm:test_vit",
        {"rgb": VIT, "depth": OTHER},
        "two parts that fit",
    ),
    "another family": ("timm:test_vit", {"backbone": fresh("resnet18")}, r"Missing key.*, timm:resnet18\."),
    "no numbers": ("timm:test_vit", changed(QKV, lambda t: t.to("meta")), f'"{QKV}" has a shape and no numbers'),
    "a scale of the output": ("timm:test_vit", VIT | {"scale": torch.randn(64)}, '"scale" would be left out'),
    "no tensors": ("timm:test_vit", {"epoch": 3}, "hold no tensors"),
    "a module": (
        "timm:test_vit",
        {"model": torch.nn.Linear(2, 2)},
        r"could run a program \(torch\.nn\.modules\.linear",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_weights_that_do_not_fit_are_refused_in_a_sentence(tmp_path, case):
    like, content, said = WRONG[case]
    with pytest.raises(EncoderError, match=said) as raised:
        add(tmp_path, content, like)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 700
    assert "mine" not in list_encoders()


def test_an_input_size_that_was_asked_for_is_resampled_to(tmp_path):
    large = fresh("test_vit", img_size=192)
    encoder = add(tmp_path, large, "timm:test_vit@96")
    assert encoder.input_shape == (3, 96, 96)
    assert encoder.module()(torch.randn(1, 3, 96, 96)).shape == (1, 64)
    assert load_encoder("mine", "cpu").weights == encoder.weights
    same = add(tmp_path, large, "timm:test_vit@160")  # its own size, but asked for
    assert same.module("backbone").state_dict()["pos_embed"].shape == VIT["pos_embed"].shape
    with pytest.raises(EncoderError, match="size mismatch for patch_embed"):  # other patches are asked for by nothing
        add(tmp_path, fresh("test_vit", patch_size=8), "timm:test_vit@96")


def test_a_bias_of_zeros_that_the_architecture_lacks_is_no_loss(tmp_path):
    bare = fresh("test_vit", qkv_bias=False)
    spec = get_spec_of("test_vit", qkv_bias=False)
    zeros = {f"blocks.{block}.attn.qkv.bias": torch.zeros(192) for block in range(6)}
    torch.save(bare | zeros, tmp_path / "w.pth")
    assert pretrained.load_given(spec, tmp_path / "w.pth")[1] == ""
    torch.save(bare | {name: tensor + 1 for name, tensor in zeros.items()}, tmp_path / "w.pth")
    with pytest.raises(EncoderError, match=r'"blocks\.0\.attn\.qkv\.bias" would be left out'):
        pretrained.load_given(spec, tmp_path / "w.pth")


def test_a_file_that_an_earlier_version_took_is_told_when_it_is_refused(tmp_path):
    encoder = add(tmp_path, VIT)
    path = pretrained._path()
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
    path = pretrained._path()
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
    part = fitting.part_under(tensors, "", network, rename)
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
    assert part_names.rank(prefix) == rank


# --- the index of architectures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["test_vit", "test_resnet", "resnet34", "vit_tiny_patch16_224", "convnext_atto", "swin_tiny_patch4_window7_224"],
)
def test_the_index_is_what_timm_makes(name):
    assert name in architectures._index()[architectures.signature_of(name)]


def test_the_terminal_says_which_part_was_taken(tmp_path, command):
    torch.save({"teacher": under("backbone.", VIT), "student": under("backbone.", OTHER)}, tmp_path / "w.pth")
    asked = ("encoders", "mine", "--like", "timm:test_vit", "--weights", tmp_path / "w.pth")
    status, _out, err = command(*asked)
    assert status == 0, err
    assert "Taken of it: teacher.backbone, the average that its training kept; left out: student." in err
    _status, out, _err = command("encoders", "mine")
    assert "Taken of it: teacher.backbone" in out
    torch.save(VIT | LORA, tmp_path / "w.pth")
    status, out, err = command(*asked)
    assert (status, out, err.count("\n")) == (1, "", 1)
