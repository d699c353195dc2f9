"""Which way's derivative is taken, and that it is the right one: float64 is asked where the ways differ."""

import logging
from collections.abc import Callable

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.exactness import enliven
from jepa_core.errors import EncoderError
from jepa_core.jacobian import finite_differences, last_layers
from jepa_core.jacobian.autograd import AutogradBackend
from jepa_core.jacobian.batch_plan import BatchPlan
from jepa_core.jacobian.engine import Engine
from jepa_core.jacobian.gram import gram_matrix
from jepa_core.jacobian.rank import architectural_rank
from jepa_core.scoring import rank as scoring_rank

_LEVIT = {"img_size": 64, "embed_dim": (16, 24, 32), "depth": (1, 1, 1), "num_heads": (1, 2, 2), "key_dim": 8}
_BLOCKS = {"depths": (1, 1, 1, 1)}

SMALL = [
    ("levit_128s", _LEVIT, 64),  # batch-norm behind flatten and transpose
    ("efficientformer_l1", {**_BLOCKS, "embed_dims": (8, 8, 16, 24)}, 224),
    ("test_vit", {"img_size": 32}, 32),
    ("test_resnet", {}, 32),
    ("test_convnext", {}, 32),
    ("mobilenetv3_small_050", {}, 32),
]


def ready(net: nn.Module) -> nn.Module:
    enliven(net)
    return net.eval().requires_grad_(False)


def noise(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def truth_of(net: nn.Module, images: Tensor, directions: Tensor) -> Tensor:
    """Rows (B, r, CHW) in float64: each image beside copies of itself, and a direction asked of each copy."""
    wide = finite_differences.in_float64(net)
    rows = []
    for image in images.double():
        for part in directions.double().split(64):
            copies = image.expand(max(2, len(part)), *image.shape).clone().requires_grad_()
            asked = (wide(copies)[: len(part)] * part).sum()
            rows.append(torch.autograd.grad(asked, copies)[0][: len(part)].flatten(1))
    return torch.cat(rows).unflatten(0, (len(images), len(directions)))


def off(found: Tensor, truth: Tensor) -> float:
    return float((found.double() - truth).norm() / truth.norm())


@pytest.mark.parametrize(("name", "kwargs", "size"), SMALL, ids=[row[0] for row in SMALL])
def test_both_ways_are_right_for_one_image_and_for_two(name, kwargs, size):
    net = ready(timm.create_model(name, num_classes=0, **kwargs))
    images = noise(2, 3, size, size)
    engine = Engine(net, images[0], rows=2)
    directions = noise(2, engine.k, seed=2)
    truth = truth_of(net, images, directions)
    assert engine.backend is engine.traced
    for backend, plan in (
        (engine.traced, engine.plan),
        (engine.autograd, BatchPlan(1, 1)),
        (engine.autograd, BatchPlan(2, 2)),
    ):
        engine.backend, engine.plan = backend, plan
        for count in (1, 2):
            assert off(engine.jacobian(images[:count], directions), truth[:count]) < 1e-4
        assert off(engine.gram(images[:1], directions).gram, gram_matrix(truth[:1])) < 1e-4


class Behind(nn.Module):
    """Batch-norm whose cotangent lies channels last, after `first`: what PyTorch gets wrong for a batch of one."""

    def __init__(self, first: Callable[[Tensor], Tensor] = lambda images: images) -> None:
        super().__init__()
        self.first, self.patches, self.norm = first, nn.Conv2d(3, 8, 2, 2), nn.BatchNorm2d(8)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.norm(self.patches(self.first(images))).flatten(2).transpose(1, 2)
        return (tokens * noise(*tokens.shape[1:], seed=5).to(tokens)).sum(1)


def untraceable(images: Tensor) -> Tensor:
    return images if float(images.detach().sum()) < 1e9 else 2 * images


@pytest.mark.parametrize("plan", [BatchPlan(1, 1), BatchPlan(1, 8), BatchPlan(3, 1), BatchPlan(4, 8)])
def test_the_general_way_never_differentiates_a_batch_of_one(plan, monkeypatch):
    net = ready(Behind(untraceable))
    images = noise(3, 3, 8, 8)
    engine = Engine(net, images[0])
    assert engine.backend is engine.autograd
    assert "cannot be traced" in engine.why_not_traced
    truth = truth_of(net, images, torch.eye(8))
    engine.plan = plan
    sizes: list[int] = []
    right = net.forward
    monkeypatch.setattr(
        net, "forward", lambda given: sizes.append(len(given) if given.requires_grad else 9) or right(given)
    )
    for count in (1, 2, 3):
        assert off(engine.jacobian(images[:count]), truth[:count]) < 1e-5
        assert off(engine.gram(images[:count]).gram, gram_matrix(truth[:count])) < 1e-5
    assert min(sizes) > 1


def test_also_not_after_memory_ran_out(monkeypatch):
    net = ready(Behind(untraceable))
    images = noise(3, 3, 8, 8)
    engine = Engine(net, images[0])
    engine.plan = BatchPlan(3, 8)
    right = engine.autograd.rows

    def scarce(given: Tensor, directions: Tensor, plan: BatchPlan, *, pixels: bool) -> object:
        if len(given) * plan.cotangents > 2:
            raise torch.OutOfMemoryError
        return right(given, directions, plan, pixels=pixels)

    monkeypatch.setattr(engine.autograd, "rows", scarce)
    assert off(engine.jacobian(images), truth_of(net, images, torch.eye(8))) < 1e-5
    assert engine.plan.cotangents <= 2


def test_a_traced_product_that_is_right_is_kept_where_autograd_is_wrong(monkeypatch, caplog):
    net = ready(Behind())
    right = AutogradBackend.rows

    def wrong(backend: AutogradBackend, *given: object, **options: bool) -> object:
        found = right(backend, *given, **options)
        return found._replace(rows=1.3 * found.rows)

    monkeypatch.setattr(AutogradBackend, "rows", wrong)
    engine = Engine(net, noise(3, 8, 8))
    assert engine.backend is engine.traced
    assert engine.why_not_traced == ""
    assert not [record for record in caplog.records if record.name.startswith("jepa_core")]


class _Halved(torch.autograd.Function):
    """x ** 2 with half of its slope."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x**2

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:  # noqa: ARG004
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        return grad * ctx.saved_tensors[0]


def test_an_encoder_that_both_ways_get_wrong_is_refused_where_they_differ_and_where_there_is_one():
    net = ready(Behind(lambda images: _Halved.apply(untraceable(images))))
    with pytest.raises(
        EncoderError, match=r"derivative cannot be computed: of finite differences the autograd one is .* off; "
    ):
        Engine(net, noise(3, 8, 8))


def test_an_encoder_that_gives_something_else_each_time_is_refused():
    torch.manual_seed(0)
    net = ready(Behind(lambda images: F.dropout(images, 0.5)))
    with pytest.raises(EncoderError):
        Engine(net, noise(3, 8, 8))


def test_an_encoder_that_lets_images_of_a_batch_meet_is_refused():
    net = ready(Behind(lambda images: images - images.mean(0)))
    with pytest.raises(EncoderError, match="another embedding when another image is in the batch"):
        Engine(net, noise(3, 8, 8))
    with pytest.raises(EncoderError, match="another image is in the batch"):
        Engine(ready(nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.Flatten())), noise(3, 4, 4))


def test_the_weights_stay_float32_and_where_they_are():
    net = ready(Behind(untraceable))
    before = {name: (value.data_ptr(), value.clone()) for name, value in net.state_dict().items()}
    Engine(net, noise(3, 8, 8))
    for name, value in net.state_dict().items():
        assert value.data_ptr() == before[name][0]
        assert value.dtype == before[name][1].dtype
        assert torch.equal(value, before[name][1])


def test_an_encoder_that_knows_no_float64_is_believed_and_that_is_said(caplog):
    def single(images: Tensor) -> Tensor:
        assert images.dtype == torch.float32
        return untraceable(images)

    with caplog.at_level(logging.WARNING):
        engine = Engine(ready(Behind(single)), noise(3, 8, 8))
    assert engine.backend is engine.autograd
    assert "could not be compared with finite differences" in caplog.text
    assert "cannot be traced" in engine.why_not_traced


@pytest.mark.parametrize("layer", ["bends", "float32 inside"])
def test_finite_differences_tell_right_from_wrong(layer):
    class Net(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            if layer == "bends":
                return images.flatten(1).relu().unflatten(1, (8, -1)).sum(2) ** 2
            return images.flatten(1)[:, :8].float().sin().to(images)

    images = noise(2, 3, 8, 8)
    cotangent = noise(1, 8, seed=2)
    truth = torch.stack(
        [(cotangent @ torch.func.jacrev(lambda x: Net()(x[None])[0])(image).flatten(1)) for image in images]
    )
    right, wrong = finite_differences.errors(Net(), images, cotangent, [truth, 1.05 * truth])
    assert right < 1e-3
    assert wrong > 2e-2


# --- the rank that architectures allow --------------------------------------------------------------------------------


class Head(nn.Module):
    """16 numbers of an image, then `steps`."""

    def __init__(self, *steps: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 16, 4, 4)
        self.steps = nn.ModuleList([step for step in steps if isinstance(step, nn.Module)])
        self.order = steps

    def forward(self, images: Tensor) -> Tensor:
        x = torch.tanh(self.patches(images)).flatten(2).mean(2)
        for step in self.order:
            x = step(x)
        return x


# fmt: off
HEADS = [
    ("a projection wider than what reaches it", (nn.Linear(16, 40),), 16, "numbers of the embedding are made of 16"),
    ("a wide one behind a norm", (nn.LayerNorm(16), nn.Linear(16, 40)), 14, "the last steps remove 26 of 40"),
    ("a bottleneck", (nn.Linear(16, 5), nn.GELU(), nn.Linear(5, 16)), 5, "made of 5"),
    ("a projection that averages nothing away", (nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 12)), 12, "no layer"),
    ("a unit sphere", (lambda x: F.normalize(x, dim=1),), 15, "remove 1 of 16"),
    ("a probability", (lambda x: x.softmax(1),), 15, "remove 1 of 16"),
    ("a norm by hand", (lambda x: (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True),), 14, "remove 2 of 16"),
    ("the mean of two normed halves", (lambda x: (F.layer_norm(x, (16,)) + F.layer_norm(x.flip(1) ** 2, (16,))) / 2,),
     15, "remove 1 of 16"),
    ("a ReLU in between", (nn.Linear(16, 40), nn.ReLU(), nn.Linear(40, 12)), 12, "no layer"),
]
# fmt: on


@pytest.mark.parametrize(("steps", "rank", "reason"), [head[1:] for head in HEADS], ids=[head[0] for head in HEADS])
def test_what_the_last_steps_cannot_pass_on_is_lost(steps, rank, reason):
    net = ready(Head(*steps))
    found = architectural_rank(net, noise(2, 1, 16, 16))
    assert found.rank == rank
    assert reason in found.reason
    images = noise(3, 1, 16, 16, seed=8)
    k = net(images).shape[1]
    sigma = torch.linalg.svdvals(truth_of(net, images, torch.eye(k)))
    assert (sigma[:, rank - 1] > 1e-6 * sigma[:, 0]).all()
    assert rank == k or (sigma[:, rank] < 1e-2 * sigma[:, rank - 1]).all()


def test_behind_a_relu_it_is_what_moves_at_every_image_of_a_fixed_probe():
    net = ready(Head(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU()))
    images = noise(2, 1, 16, 16)
    found = architectural_rank(net, images)
    assert found.rank == int((net(images) > 0).sum(1).min()) < 16
    assert "stand still" in found.reason


def test_folding_keeps_the_rank_of_rows_that_are_almost_empty():
    rows = torch.zeros(64, 1000)
    rows[torch.arange(64), torch.randperm(1000, generator=torch.Generator().manual_seed(3))[:64]] = 1.0
    folded = last_layers._Fold(1000, 64)(rows)
    assert folded.shape == (64, 128)
    assert torch.linalg.matrix_rank(folded.double()) == 64
    rows[1] = rows[0]
    assert torch.linalg.matrix_rank(last_layers._Fold(1000, 64)(rows).double()) == 63


# fmt: off
RANKS = [
    ("mobilenetv3_small_050", {}, 64, "the 1024 numbers of the embedding are made of 192"),
    ("levit_128s", _LEVIT, 64, "no layer at the end removes a direction"),
    ("deit_tiny_distilled_patch16_224", {"img_size": 32, "embed_dim": 24, "depth": 1, "num_heads": 2}, 32,
     "the last steps remove 1 of 24 directions"),
    ("test_vit", {"img_size": 32}, 32, "K - 2"),
    ("test_efficientnet", {}, 32, "the 256 numbers of the embedding are made of 64"),
]
# fmt: on


@pytest.mark.parametrize(("name", "kwargs", "size", "reason"), RANKS, ids=[row[0] for row in RANKS])
def test_the_rank_of_small_models_of_timm_is_that_of_their_float64_jacobians(name, kwargs, size, reason):
    net = ready(timm.create_model(name, num_classes=0, **kwargs))
    found = scoring_rank._found(net, (3, size, size), "cpu")
    assert reason in found.reason
    images = noise(1, 3, size, size, seed=9)
    k = net(images).shape[1]
    # Where K is much larger, as many directions as would show a rank that is larger than said.
    directions = torch.eye(k) if k <= found.rank + 32 else noise(found.rank + 32, k, seed=2)
    sigma = torch.linalg.svdvals(truth_of(net, images, directions))[0]
    assert int((sigma > 1e-9 * sigma[0]).sum()) <= found.rank + ("K - " in reason)  # eps leaves a trace of one more
    if "made of" not in reason:  # those have layers without a slope in places, which are others at each image
        assert sigma[found.rank - 1] > 1e-7 * sigma[0]


def test_looking_for_the_rank_leaves_the_arithmetic_as_it_was():
    before = torch.backends.cuda.matmul.fp32_precision
    scoring_rank._found(ready(Head(nn.Linear(16, 5))), (1, 16, 16), "cpu")
    assert torch.backends.cuda.matmul.fp32_precision == before
