"""Files with weights that do not fit: each is refused in a sentence that says what, and what would fit."""

import pytest
import torch

from jepa_core.encoders import timm_weights
from jepa_core.encoders.registry import list_encoders, load_encoder
from jepa_core.errors import EncoderError
from tests.encoders.test_weight_matching import HEAD, LORA, OTHER, VIT, State, add, fresh, get_spec_of, under

QKV = "blocks.0.attn.qkv.weight"


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
        lambda: fresh("resnet34"),
        r'"layer1\.2\..*" would be left out\); .*, timm:resnet34\.',
    ),
    "a deeper ViT": ("timm:test_vit", lambda: fresh("test_vit", depth=8), r'"blocks\.6\..*" would be left out'),
    "a shallower ViT": (
        "timm:test_vit",
        lambda: fresh("test_vit", depth=4),
        r'Missing key\(s\) in state_dict: "blocks\.4\.',
    ),
    "another width": (
        "timm:test_vit",
        lambda: fresh("test_vit", embed_dim=96),
        r"size mismatch for cls_token: \(1, 1, 96\) in",
    ),
    "another patch": (
        "timm:test_vit",
        lambda: fresh("test_vit", patch_size=8),
        r"size mismatch for patch_embed\.proj\.weight: \(64, 3, 8, 8\) in the file, \(64, 3, 16, 16\)",
    ),
    "another input size": (
        "timm:test_vit",
        lambda: fresh("test_vit", img_size=96),
        r'"pos_embed" is for another input size, 96 px, .*: write @PX .*; .*, timm:test_vit@96\.',
    ),
    "LayerScale": (
        "timm:test_vit",
        lambda: fresh("test_vit", init_values=0.1),
        r'"blocks\.0\.ls1\.gamma" .* \(timm\'s init_val',
    ),
    "LayerScale within": (
        "timm:test_vit",
        lambda: {"model": under("backbone.", fresh("test_vit", init_values=0.1))},
        r'"model\.backbone\.blocks\.0\.ls1\.gamma" would be left out: it is LayerScale',
    ),
    "registers": (
        "timm:test_vit",
        lambda: fresh("test_vit", reg_tokens=2),
        r"size mismatch for pos_embed: \(1, 103, 64\)",
    ),
    "a norm before": (
        "timm:test_vit",
        lambda: VIT | under("norm_pre.", {"weight": torch.ones(64)}),
        r'"norm_pre\.weight" would be left out',
    ),
    "normed queries": (
        "timm:test_vit",
        lambda: fresh("test_vit", qk_norm=True),
        r'"blocks\.0\.attn\.q_norm\.weight" would',
    ),
    "a norm behind pooling": (
        "timm:test_vit",
        lambda: VIT | under("fc_norm.", {"weight": torch.ones(64)}),
        r'"fc_norm\.weight"',
    ),
    "a part beside": (
        "timm:test_vit",
        lambda: under("backbone.", VIT) | under("fusion.", HEAD),
        r'"fusion\.weight" would be left out, and lies beside "backbone"',
    ),
    "unmerged LoRA": (
        "timm:test_vit",
        lambda: VIT | LORA,
        r'adapters .* "blocks\.0\.attn\.qkv\.lora_A\.default\.weight": merge',
    ),
    "peft": (
        "timm:test_vit",
        lambda: under("base_model.model.", {name.replace("qkv.", "qkv.base_layer."): VIT[name] for name in VIT}),
        r"adapters beside or without its weights, the first is",
    ),
    "LoRA alone": ("timm:test_vit", lambda: LORA, "adapters beside or without its weights"),
    "an adapter": ("timm:test_vit", lambda: {"model": VIT, "adapter": HEAD}, 'the first is "adapter.weight": merge'),
    "NaN": ("timm:test_vit", lambda: changed(QKV, broken), rf'"{QKV}" holds numbers that are not finite'),
    "infinite": (
        "timm:test_vit",
        lambda: changed("norm.bias", filled(float("inf"))),
        '"norm.bias" holds numbers that are not',
    ),
    "too large for float32": (
        "timm:test_vit",
        lambda: changed("norm.bias", lambda tensor: tensor.double() + 1e300),
        '"norm.bias" holds numbers that are not finite',
    ),
    "zeros": ("timm:test_vit", lambda: changed(QKV, filled(0)), rf'all numbers of "{QKV}" are 0'),
    "no variances": (
        "timm:resnet18",
        lambda: fresh("resnet18") | {"bn1.running_var": -torch.ones(64)},
        r'"bn1\.running_var" holds variances that are none',
    ),
    "whole numbers": (
        "timm:test_vit",
        lambda: changed(QKV, lambda tensor: tensor.to(torch.int8)),
        f'"{QKV}" is of type int8',
    ),
    "float8": (
        "timm:test_vit",
        lambda: changed(QKV, lambda t: t.to(torch.float8_e4m3fn)),
        f'"{QKV}" is of type float8_e4m3fn',
    ),
    "complex": (
        "timm:test_vit",
        lambda: changed(QKV, lambda t: t.to(torch.complex64)),
        f'"{QKV}" is of type complex64',
    ),
    "sparse": (
        "timm:test_vit",
        lambda: changed(QKV, lambda t: t.to_sparse()),
        f'"{QKV}" is of type float32, sparse_coo',
    ),
    "a single number": (
        "timm:test_vit",
        lambda: changed("norm.bias", lambda t: t[:1]),
        r"size mismatch for norm\.bias: \(1,\)",
    ),
    "transposed": (
        "timm:test_vit",
        lambda: changed(QKV, lambda t: t.T.contiguous()),
        rf"size mismatch for {QKV}: \(64, 192\)",
    ),
    "transposed patches": (
        "timm:test_vit",
        lambda: changed("patch_embed.proj.weight", lambda tensor: tensor.flatten(1).T.contiguous()),
        r"size mismatch for patch_embed\.proj\.weight: \(768, 64\)",
    ),
    "channels last": (
        "timm:test_vit",
        lambda: changed("patch_embed.proj.weight", lambda tensor: tensor.permute(0, 2, 3, 1).contiguous()),
        r"size mismatch for patch_embed\.proj\.weight: \(64, 16, 16, 3\)",
    ),
    "two that fit": (
        "timm:test_vit",
        lambda: {"rgb": VIT, "depth": OTHER},
        "two parts that fit",
    ),
    "another family": ("timm:test_vit", lambda: {"backbone": fresh("resnet18")}, r"Missing key.*, timm:resnet18\."),
    "no numbers": (
        "timm:test_vit",
        lambda: changed(QKV, lambda t: t.to("meta")),
        f'"{QKV}" has a shape and no numbers',
    ),
    "a scale of the output": ("timm:test_vit", lambda: VIT | {"scale": torch.randn(64)}, '"scale" would be left out'),
    "no tensors": ("timm:test_vit", lambda: {"epoch": 3}, "hold no tensors"),
    "a module": (
        "timm:test_vit",
        lambda: {"model": torch.nn.Linear(2, 2)},
        r"could run a program \(torch\.nn\.modules\.linear",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_weights_that_do_not_fit_are_refused_in_a_sentence(tmp_path, case):
    like, content, said = WRONG[case]
    with pytest.raises(EncoderError, match=said) as raised:
        add(tmp_path, content(), like)
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
    assert timm_weights.load_given(spec, tmp_path / "w.pth")[1] == ""
    torch.save(bare | {name: tensor + 1 for name, tensor in zeros.items()}, tmp_path / "w.pth")
    with pytest.raises(EncoderError, match=r'"blocks\.0\.attn\.qkv\.bias" would be left out'):
        timm_weights.load_given(spec, tmp_path / "w.pth")
