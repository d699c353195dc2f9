"""An encoder taken apart: families of encoders go the usual way, each value is computed once, and no zeros are."""

from collections.abc import Callable
from functools import cache

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.exactness import enliven
from jepa_core.jacobian import linearize
from jepa_core.jacobian.batch_plan import Plan
from jepa_core.jacobian.engine import Engine
from jepa_core.jacobian.linearize import Linearized
from tests.jacobian.test_vjp_rules import operations


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def vit(name: str = "vit_tiny_patch16_224", **options: object) -> nn.Module:
    """A tiny version of a timm ViT, its weights random but not degenerate."""
    sizes = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "depth": 1, "num_heads": 3}
    return lively(timm.create_model(name, num_classes=0, **sizes | options))


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def lively(net: nn.Module) -> nn.Module:
    enliven(net)
    return net.eval().requires_grad_(False)


def engine_of(net: Callable[[Tensor], Tensor], size: int = 16, plan: Plan | None = None) -> Engine:
    engine = Engine(net, torch.zeros(3, size, size))
    engine.plan = plan or engine.plan
    return engine


def difference(engine: Engine, images: Tensor) -> float:
    """How far the Jacobians of the usual and of the general way are apart, as a share of their length."""
    found, truth = engine.jacobian(images), engine._general_rows(images, torch.eye(engine.k), engine.k)[0]
    return float((found - truth).norm() / truth.norm())


class Net(nn.Module):
    """Patches, a layer for each token, and whatever pooling is given."""

    def __init__(self, pool: Callable[[Tensor], Tensor], patches: nn.Module | None = None, bend: Callable = F.gelu):
        super().__init__()
        self.patches = patches or nn.Conv2d(3, 8, 4, 4)
        self.layer, self.head = nn.Linear(8, 12), nn.Linear(12, 8)
        self.pool, self.bend = pool, bend
        lively(self)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).mT
        return self.pool(self.head(self.bend(self.layer(tokens))))


def average(tokens: Tensor) -> Tensor:
    return tokens.mean(1)


# --- families of encoders ---------------------------------------------------------------------------------------------

FAMILIES: dict[str, tuple[str, dict[str, object], int]] = {
    "DINOv2, LayerScale": ("vit_small_patch14_dinov2", {"img_size": 28, "patch_size": 14}, 28),
    "DINOv2, registers": ("vit_small_patch14_reg4_dinov2", {"img_size": 28, "patch_size": 14}, 28),
    "DINOv2 giant, SwiGLU": ("vit_giant_patch14_dinov2", {"img_size": 28, "patch_size": 14}, 28),
    "DINOv3, rotary embedding": ("vit_small_patch16_dinov3", {}, 16),
    "I-JEPA, average pooling": ("vit_huge_patch14_gap_224", {}, 16),
    "CLIP, pre-norm, quick GELU": ("vit_base_patch16_clip_quickgelu_224", {}, 16),
    "SigLIP, attention pooling": ("vit_base_patch16_siglip_224", {}, 16),
}
NETWORKS: dict[str, tuple[str, dict[str, object], int]] = {
    "ConvNeXt": ("convnext_atto", {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}, 32),
    "ResNet, ReLU": ("resnet18", {"layers": (1, 1, 1, 1), "channels": (8, 16, 24, 32)}, 32),
    "Swin": (
        "swin_tiny_patch4_window7_224",
        {"img_size": 16, "window_size": 2, "embed_dim": 8, "depths": (2,), "num_heads": (2,)},
        16,
    ),
}


@cache
def member(family: str) -> tuple[nn.Module, Engine]:
    name, options, size = (FAMILIES | NETWORKS)[family]
    net = vit(name, **options) if family in FAMILIES else lively(timm.create_model(name, num_classes=0, **options))
    engine = engine_of(net, size)
    assert engine.plan.cotangents == engine.k
    engine.plan = Plan(1, engine.k)
    return net, engine


@pytest.mark.parametrize("family", FAMILIES | NETWORKS)
def test_an_encoder_goes_the_usual_way_and_its_jacobian_is_autograds(family):
    _net, engine = member(family)
    assert engine.shared is True
    assert difference(engine, 1.5 * random(2, *engine._probe.shape[1:])) <= 1e-5


@pytest.mark.parametrize("family", ["DINOv2, LayerScale", *NETWORKS])
def test_the_features_of_an_image_are_numbers_of_its_own(family):
    _net, engine = member(family)
    images = random(4, *engine._probe.shape[1:])
    alone = engine.gram(images).features
    assert alone.isfinite().all()
    assert torch.equal(engine.gram(images).features, alone)
    try:
        engine.plan = Plan(2, engine.k)
        torch.testing.assert_close(engine.gram(images).features, alone, rtol=1e-3, atol=1e-3)
    finally:
        engine.plan = Plan(1, engine.k)


def test_images_of_a_batch_keep_their_own_constants():
    engine = engine_of(vit("vit_small_patch16_dinov3"), plan=Plan(3, 24))
    assert difference(engine, random(3, 3, 16, 16) * torch.tensor([0.5, 1.0, 2.0])[:, None, None, None]) <= 1e-5


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.flatten(1)[:, :5],
        lambda x: x.flatten(1) @ random(768, 5),
        nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.Flatten()).eval().requires_grad_(False),
    ],
    ids=["crop", "matrix", "patches"],
)
def test_a_linear_map_goes_the_usual_way_too(f):
    engine = engine_of(f)
    assert engine.shared
    assert difference(engine, random(2, 3, 16, 16)) <= 1e-6


@pytest.mark.parametrize("family", FAMILIES)
def test_one_image_and_one_cotangent_go_the_usual_way_too(family):
    """A side of length 1 has a stride that means nothing, and may be another one than was traced."""
    net, engine = member(family)
    images = random(2, *engine._probe.shape[1:])
    single = Engine(net, images[0], rows=1)
    assert single.shared
    single.plan = Plan(1, 1)
    direction = random(1, engine.k)
    assert torch.allclose(single.jacobian(images, direction), direction @ engine.jacobian(images), atol=1e-5)


def test_operations_in_place_are_followed():
    def f(images: Tensor) -> Tensor:
        h = images.flatten(1)[:, :10].sin()
        h += 1
        h.view(-1, 5).mul_(2)
        h[:, 0] = 3 * h[:, 1]
        h[:, 3] = 0
        return h

    engine, images = engine_of(f), random(2, 3, 16, 16)
    assert engine.shared
    assert difference(engine, images) <= 1e-6
    torch.testing.assert_close(engine.gram(images).embedding, f(images))


# --- each value once --------------------------------------------------------------------------------------------------


def test_what_depends_on_weights_alone_is_computed_when_the_graph_is_made():
    class Normed(Net):
        def forward(self, images: Tensor) -> Tensor:
            weight = (self.layer.weight / 3).softmax(-1)
            return self.pool(self.head(F.linear(self.patches(images).flatten(2).mT, weight).tanh()))

    net, images = Normed(average), random(3, 3, 16, 16)
    engine = engine_of(net, plan=Plan(1, 2))
    engine.gram(images)
    assert "_softmax" in operations(lambda: net(images))
    assert "_softmax" not in operations(lambda: engine.gram(images))
    assert engine.shared
    assert difference(engine, images) <= 1e-6


def test_the_forward_part_runs_once_for_each_part_of_the_images_however_many_chunks_there_are():
    net, images = vit(), random(4, 3, 16, 16)
    engine = engine_of(net)
    counted = {}
    for cotangents in (24, 8, 3):
        engine.plan = Plan(2, cotangents)
        engine.gram(images)  # the graph is traced
        counted[cotangents] = operations(lambda: engine.gram(images))
    for once in ("_softmax", "exp", "erf", "convolution", "rsqrt", "var_mean", "gelu", "gelu_backward"):
        assert counted[3].count(once) == counted[8].count(once) == counted[24].count(once), once
    assert counted[24].count("convolution") == 2  # two parts
    assert counted[3].count("mm") > 3 * counted[24].count("mm") / 2


def test_the_encoder_itself_is_not_run_again_once_it_is_traced():
    calls = []

    class Counted(Net):
        def forward(self, images: Tensor) -> Tensor:
            calls.append(len(images))
            return super().forward(images)

    engine = engine_of(Counted(average), plan=Plan(2, 3))
    expected = engine.gram(random(4, 3, 16, 16)).gram
    calls.clear()
    assert torch.equal(engine.gram(random(4, 3, 16, 16)).gram, expected)
    assert calls == []


def test_few_graphs_are_kept_and_those_of_full_parts_are_not_traced_again(monkeypatch):
    traced = []

    class Counted(Linearized):
        def __init__(self, f: Callable, images: Tensor, *rest: object) -> None:
            traced.append(len(images))
            super().__init__(f, images, *rest)

    images = random(40, 3, 16, 16)
    net = Net(average)
    engine, truth = engine_of(net, plan=Plan(16, 8)), engine_of(net, plan=Plan(1, 8)).gram(images)
    monkeypatch.setattr("jepa_core.jacobian.engine.Linearized", Counted)
    for count in (40, 40, 1, 2, 3, 14, 15, 16, 17, 31):
        found = engine.gram(images[:count])
        assert torch.allclose(found.gram, truth.gram[:count], rtol=1e-4)
        assert torch.allclose(found.features, truth.features[:count], rtol=1e-3, atol=1e-4)
    assert traced == [16, 2]
    assert len(engine._traced) == 2


def test_products_have_a_type_of_their_own_and_the_forward_part_keeps_that_of_the_images():
    net, images = Net(average), random(2, 3, 16, 16)
    traced = Linearized(net, images, 3, torch.bfloat16)
    with torch.no_grad():
        embedding, *_sizes, constants = traced.constants(images)
        rows = traced.product(random(3, 2, 8), constants)
    torch.testing.assert_close(embedding, net(images))
    assert {constant.dtype for constant in constants} == {torch.bfloat16}
    assert rows.dtype == torch.bfloat16
    assert rows.shape == (3 * 2, 8, 4, 4)


# --- zeros ------------------------------------------------------------------------------------------------------------


def flops(net: nn.Module, images: Tensor, *, all_zeros: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[int, Tensor]:
    """Of the Jacobians in the usual way, with all zeros computed or not; and the Jacobians."""
    with monkeypatch.context() as patch:
        if all_zeros:
            patch.setattr(linearize, "leave_out_zeros", lambda *_args: None)
        engine = engine_of(net, plan=Plan(len(images), 24))
        engine.jacobian(images)
    assert engine.shared
    with FlopCounterMode(display=False) as counter:
        rows = engine.jacobian(images)
    return counter.get_total_flops(), rows


def test_behind_a_class_token_the_last_blocks_mlp_is_computed_for_one_token(monkeypatch):
    net, images = vit(global_pool="token"), random(2, 3, 16, 16)
    fewer, rows = flops(net, images, all_zeros=False, monkeypatch=monkeypatch)
    more, expected = flops(net, images, all_zeros=True, monkeypatch=monkeypatch)
    mlp = 2 * 2 * 24 * 96  # of one token, one cotangent: there and back
    projection = 2 * 24 * 24
    assert more - fewer >= 2 * 24 * 16 * (mlp + projection)  # images, cotangents, tokens but one
    torch.testing.assert_close(rows, expected)


def test_behind_average_pooling_nothing_is_zero(monkeypatch):
    net, images = vit(global_pool="avg"), random(2, 3, 16, 16)
    counts = [flops(net, images, all_zeros=both, monkeypatch=monkeypatch)[0] for both in (False, True)]
    assert counts[0] == counts[1]


def test_the_zeros_of_parts_of_the_embedding_and_of_the_channels_are_left_out(monkeypatch):
    def f(images: Tensor) -> Tensor:
        return F.gelu(images.reshape(-1, 48, 16) @ random(16, 24) @ random(24, 24)[:, 4:])[:, 3, :]

    images = random(2, 3, 16, 16)
    fewer, rows = flops(f, images, all_zeros=False, monkeypatch=monkeypatch)
    more, expected = flops(f, images, all_zeros=True, monkeypatch=monkeypatch)
    assert fewer < more / 10
    torch.testing.assert_close(rows, expected)


def hidden(tokens: Tensor) -> Tensor:
    """Attention of one head in which a token sees those with a positive mean only, and itself."""
    seen = (tokens.mean(-1, keepdim=True) > 0).mT | torch.eye(tokens.shape[1], dtype=torch.bool)
    return F.scaled_dot_product_attention(*[tokens[:, None]] * 3, attn_mask=seen[:, None])[:, 0, 0]


def kept(tokens: Tensor) -> Tensor:
    """The mean of the three tokens with the largest first number."""
    places = tokens[:, :, 0].topk(3, dim=1).indices
    return tokens.gather(1, places[:, :, None].expand(-1, -1, tokens.shape[2])).mean(1)


@pytest.mark.parametrize(
    "pool",
    [
        hidden,
        lambda tokens: tokens.amax(1),
        lambda tokens: torch.where(tokens > 0.5, tokens, 0.0).mean(1),
        lambda tokens: F.relu(tokens - 1).mean(1),
    ],
    ids=["attention mask", "amax", "where", "relu"],
)
def test_what_is_hidden_in_some_images_only_is_not_left_out(pool):
    engine = engine_of(Net(pool))
    assert engine.shared
    assert difference(engine, random(6, 3, 16, 16, seed=7)) <= 1e-5


@pytest.mark.parametrize(
    "pool",
    [
        kept,
        lambda tokens: tokens.max(1).values,
        lambda tokens: F.adaptive_max_pool1d(tokens.mT, 1).flatten(1),
        lambda tokens: tokens.sort(1).values[:, -2],
        lambda tokens: tokens.median(1).values,
    ],
    ids=["best tokens", "max", "max pooling", "second", "median"],
)
def test_what_is_picked_in_some_images_only_is_not_left_out(pool):
    assert difference(engine_of(Net(pool)), random(6, 3, 16, 16, seed=7)) <= 1e-5


def test_a_compiled_graph_gives_the_same_products(monkeypatch: pytest.MonkeyPatch) -> None:
    compile_graph = torch.compile
    monkeypatch.setattr(torch, "compile", lambda graph, dynamic: compile_graph(graph, dynamic=dynamic, backend="eager"))
    made = Linearized(vit(depth=2), random(2, 3, 16, 16), 3, torch.float32)
    directions, constants = random(3, 2, 24, seed=1), made.constants(random(2, 3, 16, 16, seed=2))[2]
    before = made.product(directions, constants).clone()
    plain = Linearized(vit(depth=2), random(2, 3, 16, 16), 3, torch.float32)._product
    made._compile(plain, (directions, *made._for_product, *constants))
    assert made._product is not plain  # torch wraps it
    assert made.bytes == 0  # the fixed memory is given up
    assert torch.equal(made.product(directions, constants), before)


def test_a_graph_that_cannot_be_compiled_goes_on_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_graph(_graph: nn.Module, dynamic: bool) -> Callable:  # noqa: ARG001 (torch's signature)
        def fail(*_given: Tensor) -> Tensor:
            raise RuntimeError("no compiler here")

        return fail

    monkeypatch.setattr(torch, "compile", compile_graph)
    made = Linearized(vit(), random(2, 3, 16, 16), 3, torch.float32)
    directions, constants = random(3, 2, 24, seed=1), made.constants(random(2, 3, 16, 16, seed=2))[2]
    before = made.product(directions, constants).clone()
    made._compile(made._product, ())
    assert torch.equal(made.product(directions, constants), before)
