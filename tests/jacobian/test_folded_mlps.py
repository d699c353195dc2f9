"""Each token's MLP as one matrix: exact for every family of encoders, and used only where it pays and there is room."""

import pytest
import torch
from torch import Tensor, nn

from jepa_core.jacobian import folded_mlps
from jepa_core.jacobian.batch_plan import BatchPlan, Sizes, room_between_segments
from jepa_core.jacobian.engine import Engine
from jepa_core.jacobian.folded_mlps import FoldedMlps
from tests.jacobian.test_linearize import FAMILIES, NETWORKS, Net, average, difference, lively, random, vit

SUMS = {"CLIP, pre-norm, quick GELU"}  # whose slope is a sum of two in the graph, which is no MLP for it


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def narrow(monkeypatch) -> None:
    """Narrow MLPs are folded, too."""
    monkeypatch.setattr(folded_mlps, "WIDTH", 1)


@pytest.fixture
def uses(monkeypatch) -> list[int]:
    """The chunks of each use of folded MLPs."""
    found: list[int] = []
    products = FoldedMlps.products

    def counted(folded, directions, inputs):
        found.append(len(directions))
        return products(folded, directions, inputs)

    monkeypatch.setattr(FoldedMlps, "products", counted)
    return found


def engine_of(net: nn.Module, plan: BatchPlan, size: int = 16, dtype: torch.dtype = torch.float64, **options) -> Engine:
    engine = Engine(net.to(dtype), torch.zeros(3, size, size, dtype=dtype), **options)
    assert engine.backend is engine.traced
    engine.plan = plan
    return engine


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("family", FAMILIES)
def test_the_jacobian_is_autograds_in_float64(family, uses):
    name, options, size = FAMILIES[family]
    net = vit(name, **options | {"depth": 2})
    engine = engine_of(net, BatchPlan(1, 10), size)
    assert difference(engine, random(2, 3, size, size).double()) <= 1e-10
    assert bool(uses) == (family not in SUMS)
    assert set(uses) <= {3}  # 24 rows, ten at a time


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("family", NETWORKS)
def test_other_networks_keep_their_jacobian(family):
    name, options, size = NETWORKS[family]
    import timm

    net = lively(timm.create_model(name, num_classes=0, **options))
    assert difference(engine_of(net, BatchPlan(1, 10), size), random(1, 3, size, size).double()) <= 1e-10


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("plan", [BatchPlan(1, 1), BatchPlan(1, 24), BatchPlan(3, 24), BatchPlan(2, 7)])
def test_images_and_cotangents_may_be_taken_together_in_any_numbers(plan, uses):
    engine = engine_of(vit("vit_small_patch16_dinov3", depth=2), plan)
    assert difference(engine, random(3, 3, 16, 16).double()) <= 1e-10
    assert uses


@pytest.mark.usefixtures("narrow")
def test_a_gram_is_the_one_of_plain_products_up_to_rounding(uses):
    engine = engine_of(vit("vit_huge_patch14_gap_224", depth=2), BatchPlan(1, 10), dtype=torch.float32)
    images = random(2, 3, 16, 16)
    folded = engine.gram(images).gram
    assert len(uses) == 2
    engine.traced.forget()
    plain = engine.gram(images).gram
    assert len(uses) == 2
    torch.testing.assert_close(folded, plain, rtol=1e-4, atol=1e-5 * float(plain.abs().max()))


# --- where it is not used ---------------------------------------------------------------------------------------------


def test_a_narrow_mlp_is_not_folded(uses):
    engine = engine_of(vit("vit_huge_patch14_gap_224"), BatchPlan(1, 10))
    engine.gram(random(1, 3, 16, 16).double())
    assert not uses


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(("rows", "used"), [(4, False), (13, False), (20, True), (24, True)])
def test_few_rows_do_not_pay(rows, used, uses):
    """With d = 24 and h = 96 r rows take 8 d d r multiplications, or 4 d^3 + d d r."""
    engine = engine_of(vit("vit_huge_patch14_gap_224"), BatchPlan(1, 10))
    engine.gram(random(1, 3, 16, 16).double(), torch.eye(24)[:rows])
    assert bool(uses) == used


@pytest.mark.usefixtures("narrow")
def test_without_room_in_the_budget_nothing_is_folded(uses):
    engine = engine_of(vit("vit_huge_patch14_gap_224"), BatchPlan(1, 10), budget=1 << 12)
    assert difference(engine, random(1, 3, 16, 16).double()) <= 1e-10
    assert not uses


@pytest.mark.usefixtures("narrow")
def test_bfloat16_is_not_folded(uses):
    net = vit("vit_huge_patch14_gap_224")
    engine = Engine(net, torch.zeros(3, 16, 16), precision="bf16")
    engine.gram(random(1, 3, 16, 16))
    assert not uses


@pytest.mark.usefixtures("narrow")
def test_a_lack_of_memory_between_segments_is_met_without_them(monkeypatch):
    engine = engine_of(vit("vit_huge_patch14_gap_224"), BatchPlan(1, 10))
    images = random(1, 3, 16, 16).double()
    expected = engine.gram(images).gram

    def refused(*_given):
        raise torch.OutOfMemoryError("no memory between segments")

    monkeypatch.setattr(FoldedMlps, "products", refused)
    torch.testing.assert_close(engine.gram(images).gram, expected)
    assert engine.plan == BatchPlan(1, 5)


@pytest.mark.usefixtures("narrow")
def test_matrices_that_give_other_products_than_the_graph_are_not_used(monkeypatch, uses):
    right = folded_mlps._matrices
    monkeypatch.setattr(folded_mlps, "_matrices", lambda *given: lambda token: 1.01 * right(*given)(token))
    engine = engine_of(vit("vit_huge_patch14_gap_224"), BatchPlan(1, 10))
    assert difference(engine, random(1, 3, 16, 16).double()) <= 1e-10
    assert not uses


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize("rows", [1, 8, 9])
def test_what_lies_between_segments_is_counted(rows):
    """16 tokens of 8 numbers for each row, in whole chunks of three rows, and the results in their place."""
    engine = engine_of(Net(average), BatchPlan(1, 3))
    engine.gram(random(1, 3, 16, 16).double())
    (graph,) = (graph for size, graph in engine.traced._graphs.items() if size == engine.plan)
    assert graph._folded.bytes(rows) == 3 * -(-rows // 3) * 16 * 8 * 8


def test_the_room_is_what_a_budget_leaves():
    sizes = Sizes(saved=1000, largest=100, row=10)
    assert room_between_segments(sizes, 7, 1 << 30) == (1 << 30) - 1500 - 70 - (1 << 25)
    assert room_between_segments(sizes, 7, 100) == 0


class Branching(nn.Module):
    """An MLP between whose layers another one begins."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.layer, self.head = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 32), nn.Linear(32, 8)
        self.other = nn.Linear(32, 8)
        lively(self)

    def forward(self, images: Tensor) -> Tensor:
        inner = nn.functional.gelu(self.layer(self.patches(images).flatten(2).mT))
        return (self.head(inner) * 2 + self.other(inner).sin()).mean(1)


@pytest.mark.usefixtures("narrow")
def test_an_mlp_with_a_branch_inside_is_left_whole(uses):
    engine = engine_of(Branching(), BatchPlan(1, 3))
    assert difference(engine, random(1, 3, 16, 16).double()) <= 1e-10
    assert not uses
