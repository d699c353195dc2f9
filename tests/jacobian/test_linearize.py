"""An encoder taken apart: families of encoders go the usual way, each value is computed once, and no zeros are."""

from collections.abc import Callable
from functools import cache

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from benchmarks.exactness import enliven
from jepa_core.jacobian.batch_plan import BatchPlan
from jepa_core.jacobian.engine import Engine
from jepa_core.jacobian.graph_steps import divide as divide_file
from jepa_core.jacobian.graph_steps.cut_patch_embedding import cut_patch_embedding
from jepa_core.jacobian.graph_steps.divide import divide
from jepa_core.jacobian.graph_steps.step import GraphError
from jepa_core.jacobian.graph_steps.trace import trace
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


def engine_of(net: Callable[[Tensor], Tensor], size: int = 16, plan: BatchPlan | None = None) -> Engine:
    engine = Engine(net, torch.zeros(3, size, size))
    engine.plan = plan or engine.plan
    return engine


def difference(engine: Engine, images: Tensor) -> float:
    """How far the Jacobians of the two backends are apart, as a share of their length."""
    plan = BatchPlan(len(images), engine.k)
    found, truth = engine.jacobian(images), engine.autograd.rows(images, torch.eye(engine.k), plan, pixels=True).rows
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
def member(family: str) -> tuple[nn.Module, Engine, int]:
    """The network, its engine, and the side of its images."""
    name, options, size = (FAMILIES | NETWORKS)[family]
    net = vit(name, **options) if family in FAMILIES else lively(timm.create_model(name, num_classes=0, **options))
    engine = engine_of(net, size)
    assert engine.plan.cotangents == engine.k
    engine.plan = BatchPlan(1, engine.k)
    return net, engine, size


@pytest.mark.parametrize("family", FAMILIES | NETWORKS)
def test_an_encoder_goes_the_usual_way_and_its_jacobian_is_autograds(family):
    _net, engine, size = member(family)
    assert engine.backend is engine.traced
    assert difference(engine, 1.5 * random(2, 3, size, size)) <= 1e-5


@pytest.mark.parametrize("family", ["DINOv2, LayerScale", *NETWORKS])
def test_the_features_of_an_image_are_numbers_of_its_own(family):
    _net, engine, size = member(family)
    images = random(4, 3, size, size)
    alone = engine.gram(images).features
    assert alone.isfinite().all()
    assert torch.equal(engine.gram(images).features, alone)
    try:
        engine.plan = BatchPlan(2, engine.k)
        torch.testing.assert_close(engine.gram(images).features, alone, rtol=1e-3, atol=1e-3)
    finally:
        engine.plan = BatchPlan(1, engine.k)


def test_images_of_a_batch_keep_their_own_constants():
    engine = engine_of(vit("vit_small_patch16_dinov3"), plan=BatchPlan(3, 24))
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
    assert engine.backend is engine.traced
    assert difference(engine, random(2, 3, 16, 16)) <= 1e-6


@pytest.mark.parametrize("family", FAMILIES)
def test_one_image_and_one_cotangent_go_the_usual_way_too(family):
    """A side of length 1 has a stride that means nothing, and may be another one than was traced."""
    net, engine, size = member(family)
    images = random(2, 3, size, size)
    single = Engine(net, images[0], rows=1)
    assert single.backend is single.traced
    single.plan = BatchPlan(1, 1)
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
    assert engine.backend is engine.traced
    assert difference(engine, images) <= 1e-6
    torch.testing.assert_close(engine.gram(images).embedding, f(images))


# --- each value once --------------------------------------------------------------------------------------------------


def test_what_depends_on_weights_alone_is_computed_when_the_graph_is_made():
    class Normed(Net):
        def forward(self, images: Tensor) -> Tensor:
            weight = (self.layer.weight / 3).softmax(-1)
            return self.pool(self.head(F.linear(self.patches(images).flatten(2).mT, weight).tanh()))

    net, images = Normed(average), random(3, 3, 16, 16)
    engine = engine_of(net, plan=BatchPlan(1, 2))
    engine.gram(images)
    assert "_softmax" in operations(lambda: net(images))
    assert "_softmax" not in operations(lambda: engine.gram(images))
    assert engine.backend is engine.traced
    assert difference(engine, images) <= 1e-6


def test_the_forward_part_runs_once_for_each_part_of_the_images_however_many_chunks_there_are():
    net, images = vit(), random(4, 3, 16, 16)
    engine = engine_of(net)
    counted = {}
    for cotangents in (24, 8, 3):
        engine.plan = BatchPlan(2, cotangents)
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

    engine = engine_of(Counted(average), plan=BatchPlan(2, 3))
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
    engine, truth = engine_of(net, plan=BatchPlan(16, 8)), engine_of(net, plan=BatchPlan(1, 8)).gram(images)
    monkeypatch.setattr("jepa_core.jacobian.traced.Linearized", Counted)
    for count in (40, 40, 1, 2, 3, 14, 15, 16, 17, 31):
        found = engine.gram(images[:count])
        assert torch.allclose(found.gram, truth.gram[:count], rtol=1e-4)
        assert torch.allclose(found.features, truth.features[:count], rtol=1e-3, atol=1e-4)
    assert traced == [16, 2]


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


# --- compiled graphs, errors ------------------------------------------------------------------------------------------


def linearized() -> tuple[Linearized, Tensor, list[Tensor]]:
    """A graph, and what its product is given."""
    made = Linearized(vit(depth=2), random(2, 3, 16, 16), 3, torch.float32)
    return made, random(3, 2, 24, seed=1), made.constants(random(2, 3, 16, 16, seed=2))[2]


@pytest.fixture
def compiled(monkeypatch) -> list[nn.Module]:
    """The graphs that were compiled, by the part of the compiler that is there without a C compiler."""
    compile_graph, made_of = torch.compile, []

    def compile_eagerly(graph: nn.Module, *, dynamic: bool) -> Callable:
        made_of.append(graph)
        return compile_graph(graph, dynamic=dynamic, backend="eager")

    monkeypatch.setattr(torch, "compile", compile_eagerly)
    return made_of


@torch.no_grad()
def test_a_compiled_graph_gives_the_same_products_and_is_made_once(compiled):
    made, directions, constants = linearized()
    before = made.product(directions, constants).clone()
    assert made.bytes > 0
    for _ in range(2):
        made.compile(directions, constants)
        assert made.bytes == 0  # the fixed memory is given up
        assert torch.equal(made.product(directions, constants), before)
    assert len(compiled) == 1


@torch.no_grad()
def test_a_compiled_look_gives_the_same_and_is_made_once(compiled):
    made, *_ = linearized()
    images = random(2, 3, 16, 16, seed=2)
    before = made.look(images)
    for _ in range(2):
        made.compile_look(images)
        for found, expected in zip(made.look(images), before, strict=True):
            assert torch.equal(found, expected)
    assert len(compiled) == 1


@torch.no_grad()
def test_a_graph_that_cannot_be_compiled_goes_on_as_it_is(monkeypatch, caplog):
    def compile_graph(_graph: nn.Module, dynamic: bool) -> Callable:  # noqa: ARG001 (torch's signature)
        def fail(*_given: Tensor) -> Tensor:
            raise RuntimeError("no compiler here")

        return fail

    monkeypatch.setattr(torch, "compile", compile_graph)
    made, directions, constants = linearized()
    before = made.product(directions, constants).clone()
    made.compile(directions, constants)
    assert "could not be compiled (no compiler here)" in caplog.text
    assert torch.equal(made.product(directions, constants), before)


def test_on_a_cpu_nothing_is_compiled(monkeypatch):
    monkeypatch.delattr(torch, "compile")
    engine = Engine(Net(average), torch.zeros(3, 16, 16), compiled_after=0)
    assert engine.gram(random(2, 3, 16, 16)).gram.isfinite().all()
    assert engine.forward(random(2, 3, 16, 16))[0].isfinite().all()


def test_an_error_says_at_which_step_of_the_graph_it_came_and_shows_the_graph(monkeypatch):
    def broken(_graph: object, _source: object) -> set:
        raise KeyError("no such node")

    monkeypatch.setattr(divide_file, "_reached", broken)
    with pytest.raises(GraphError, match=r"^dividing the graph: 'no such node'") as caught:
        Linearized(Net(average), torch.zeros(1, 3, 16, 16), 2, torch.float32)
    assert "convolution = convolution(x_1, _param_constant0, _param_constant1)" in caught.value.__notes__[0]
    engine = Engine(Net(average), torch.zeros(3, 16, 16))
    assert engine.backend is engine.autograd
    assert "it cannot be traced (dividing the graph: 'no such node')" in engine.why_not_traced


def test_a_step_that_leaves_a_graph_in_no_order_is_found(monkeypatch):
    graph = trace(Net(average), torch.zeros(1, 3, 16, 16), 2)

    def out_of_order(self: fx.Graph, *_options: object) -> bool:
        last = [node for node in self.nodes if node.op == "call_function"][-1]
        next(iter(self.nodes)).prepend(last)  # before what it is made of
        return True

    monkeypatch.setattr(fx.Graph, "eliminate_dead_code", out_of_order)
    with pytest.raises(GraphError, match=r"^cutting the patch embedding off: .*before it has been defined"):
        cut_patch_embedding(graph)
    monkeypatch.undo()
    graph = trace(Net(average), torch.zeros(1, 3, 16, 16), 2)
    monkeypatch.setattr(fx.Graph, "eliminate_dead_code", out_of_order)
    with pytest.raises(GraphError, match=r"^dividing the graph: .*before it has been defined"):
        divide(graph)
