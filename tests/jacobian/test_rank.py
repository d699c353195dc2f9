"""What the last layers allow: each kind of ending, the rank it is given, and the rank that its spectra have."""

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from benchmarks.exactness import enliven
from jepa_core.jacobian import engine
from jepa_core.jacobian.rank import architectural_rank
from jepa_core.jacobian.spectrum import Rank, disagrees, singular_values

K = 12
SHAPE = (1, 8, 8)


class Tokens(nn.Module):
    """Patches of 4 x 4 as 4 mixed tokens of K numbers, then `norm` on each, then `pool`, then `last`."""

    def __init__(self, norm: nn.Module, pool: str, last: nn.Module | None = None) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, K, 4, stride=4)
        self.mix = nn.Linear(4, 4)
        self.norm, self.pool, self.last = norm, pool, last or nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2)
        tokens = self.norm(torch.tanh(self.mix(tokens)).mT)
        pooled = {"first": tokens[:, 0], "average": tokens.mean(1), "but first": tokens[:, 1:].mean(1)}[self.pool]
        return self.last(pooled)


class Maps(nn.Module):
    """The patches pooled to a map of 1 x 1 with K channels, then `norm`."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.patches, self.pool, self.norm = nn.Conv2d(1, K, 4, stride=4), nn.AdaptiveAvgPool2d(1), norm

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(self.pool(torch.tanh(self.patches(images)))).flatten(1)


def ready(net: nn.Module) -> nn.Module:
    enliven(net)
    return net.eval().requires_grad_(False)


def images(count: int = 8, shape: tuple[int, int, int] = SHAPE) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(1))


# fmt: off
ENDINGS = [
    ("LayerNorm last", Tokens(nn.LayerNorm(K), "first"), K - 2, "a LayerNorm is the last step, which leaves K - 2"),
    ("LayerNorm without its affine part", Tokens(nn.LayerNorm(K, elementwise_affine=False), "first"), K - 2, "K - 2"),
    ("LayerNorm, then average pooling", Tokens(nn.LayerNorm(K), "average"), K - 1,
     "a LayerNorm followed by average pooling leaves K - 1"),
    ("LayerNorm, then average of all but the class token", Tokens(nn.LayerNorm(K), "but first"), K - 1, "K - 1"),
    ("average pooling, then LayerNorm", Tokens(nn.Identity(), "average", nn.LayerNorm(K)), K - 2, "K - 2"),
    ("two LayerNorms around the pooling", Tokens(nn.LayerNorm(K), "average", nn.LayerNorm(K)), K - 2, "K - 2"),
    ("RMSNorm last", Tokens(nn.RMSNorm(K), "first"), K - 1, "a RMSNorm is the last step, which leaves K - 1"),
    ("RMSNorm, then average pooling", Tokens(nn.RMSNorm(K), "average"), K, "no layer at the end removes a direction"),
    ("timm's RmsNorm last", Tokens(timm.layers.RmsNorm(K), "first"), K - 1, "a RMSNorm is the last step"),
    ("timm's RmsNormFp32 last", Tokens(timm.layers.RmsNormFp32(K), "first"), K - 1, "a RMSNorm is the last step"),
    ("timm's RmsNorm2d, channels first", Maps(timm.layers.RmsNorm2d(K)), K - 1, "a RMSNorm is the last step"),
    ("timm's RmsNorm2dFp32, channels first", Maps(timm.layers.RmsNorm2dFp32(K)), K - 1, "a RMSNorm is the last step"),
    ("timm's RmsNorm, then average pooling", Tokens(timm.layers.RmsNorm(K), "average"), K, "no layer at the end"),
    ("timm's SimpleNorm last", Tokens(timm.layers.SimpleNorm(K), "first"), K - 1, "a SimpleNorm is the last step"),
    ("timm's SimpleNorm2d, channels first", Maps(timm.layers.SimpleNorm2d(K)), K - 1, "a SimpleNorm is the last step"),
    ("a narrower projection afterwards", Tokens(nn.LayerNorm(K), "first", nn.Linear(K, 5)), 5, "no layer at the end"),
    ("no norm", Tokens(nn.Identity(), "first"), K, "no layer at the end removes a direction"),
]
# fmt: on


@pytest.mark.parametrize(("net", "rank", "reason"), [ending[1:] for ending in ENDINGS], ids=[e[0] for e in ENDINGS])
def test_an_ending_allows_the_rank_that_its_spectra_have(net, rank, reason):
    found = architectural_rank(ready(net), images(2))
    assert found.rank == rank
    assert reason in found.reason
    spectra = singular_values(engine.Engine(net, images()[0]).gram(images()).gram.numpy())
    assert not disagrees(spectra, rank).any()


TIMM = [
    ("ViT, class token", "vit_tiny_patch16_224", {}, 2),
    ("ViT, average pooling, then LayerNorm", "vit_tiny_patch16_224", {"global_pool": "avg"}, 2),
    ("ViT, LayerNorm, then average pooling", "vit_tiny_patch16_224", {"global_pool": "avg", "fc_norm": False}, 1),
    ("DINOv2 with registers", "vit_small_patch14_reg4_dinov2", {}, 2),
]


@pytest.mark.parametrize(("model", "kwargs", "lost"), [row[1:] for row in TIMM], ids=[row[0] for row in TIMM])
def test_timms_transformers_lose_what_their_last_norm_takes(model, kwargs, lost):
    small = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 1, "num_heads": 2}
    net = ready(timm.create_model(model, num_classes=0, **small, **kwargs))
    assert architectural_rank(net, images(2, (3, 16, 16))).rank == 24 - lost


def test_timms_convnext_ends_in_a_layer_norm():
    net = ready(timm.create_model("convnext_atto", num_classes=0, depths=(1, 1, 1, 1), dims=(8, 8, 16, 16)))
    assert architectural_rank(net, images(2, (3, 32, 32))).rank == 14


def test_timms_resnet_loses_what_its_last_relu_stops():
    net = ready(timm.create_model("resnet18", num_classes=0, layers=(1, 1, 1, 1), channels=(8, 8, 8, 16)))
    found = architectural_rank(net, images(2, (3, 32, 32)))
    assert 4 < found.rank < 16  # the ReLU behind a map of 1 x 1 stops some of the 16 numbers
    assert found.reason.startswith("some numbers of an image stand still")


def test_fewer_inputs_than_outputs_limit_the_rank():
    net = ready(nn.Sequential(nn.Flatten(), nn.Linear(4, K)))
    found = architectural_rank(net, images(2, (1, 2, 2)))
    assert found == Rank(4, f"the input has only 4 numbers, fewer than the {K} of the embedding")


def test_no_hook_is_left_behind():
    net = ready(Tokens(nn.LayerNorm(K), "first"))
    architectural_rank(net, images(2))
    assert not any(module._forward_hooks for module in net.modules())


def test_an_image_beyond_the_usual_is_flagged():
    # Pixels that saturate the tanh make the Jacobian vanish: more directions are lost than the norm takes.
    net = ready(Tokens(nn.LayerNorm(K), "first"))
    usual, extreme = images(2)
    both = torch.stack([usual, 1e4 * extreme.abs()])
    spectra = singular_values(engine.Engine(net, usual).gram(both).gram.numpy())
    assert disagrees(spectra, K - 2).tolist() == [False, True]
    assert np.isfinite(spectra).all()
