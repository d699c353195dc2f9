"""Engines: precision of their products, which are kept for an encoder, what they refuse, memory that runs out."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from jepa_core.errors import UnknownName
from jepa_core.jacobian import engine as jacobian_engine
from jepa_core.jacobian.backend import Backend
from jepa_core.jacobian.batch_plan import BatchPlan
from jepa_core.jacobian.engine import Engine, engine_of
from jepa_core.jacobian.gram import gram_matrix
from jepa_core.jacobian.precision import PRECISIONS
from tests.jacobian.test_exactness import (
    BOTH_WAYS,
    SHAPE,
    distance,
    engine,
    random,
    small_net,
    tiny_vit,
    truth_of,
    two_layers,
)

# --- precision --------------------------------------------------------------------------------------------------------


@BOTH_WAYS
def test_bfloat16_products_are_near_and_the_embedding_is_float32s(way):
    net, images = tiny_vit(), random(3, 2, 8, 8)
    made = engine(net, images, way=way, plan=BatchPlan(2, 7), precision="bf16")
    error = distance(made.jacobian(images).float(), truth_of(net, images))
    assert 1e-4 < error < 0.05
    found = made.gram(images)
    assert found.gram.dtype == torch.float64
    assert distance(found.gram, gram_matrix(truth_of(net, images))) < 0.05
    torch.testing.assert_close(found.embedding, net(images), rtol=1e-5, atol=1e-5)


@BOTH_WAYS
def test_tensorfloat32_is_float32_on_a_cpu(way):
    net, images = two_layers(), random(3, *SHAPE)
    tf32, fp32 = (engine(net, images, way=way, precision=precision) for precision in ("tf32", "fp32"))
    assert torch.equal(tf32.jacobian(images), fp32.jacobian(images))
    assert torch.equal(tf32.gram(images).gram, fp32.gram(images).gram)


def flags() -> tuple[object, ...]:
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    fused = cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled()
    return cuda.matmul.fp32_precision, cudnn.conv.fp32_precision, torch.is_autocast_enabled("cpu"), *fused


class Flags(TorchDispatchMode):
    """Notes with which flag the products run that are not float64; that of number `fail_at` fails."""

    def __init__(self, *, fail_at: int = -1) -> None:
        super().__init__()
        self.seen: list[str] = []
        self._fail_at = fail_at

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in ("mm", "bmm", "addmm") and args[0].dtype != torch.float64:
            self.seen.append(torch.backends.cuda.matmul.fp32_precision)
            if len(self.seen) == self._fail_at:
                raise ArithmeticError("no more products today")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", PRECISIONS)
@BOTH_WAYS
def test_global_flags_are_set_for_the_products_and_put_back(way, precision):
    images, before = random(2, *SHAPE), flags()
    made = engine(two_layers(), images, way=way, precision=precision)
    made.gram(images)
    assert flags() == before
    with Flags() as mode:
        made.gram(images)
    assert flags() == before
    assert mode.seen[-1] == ("tf32" if precision == "tf32" else "ieee")
    assert set(mode.seen) <= {"tf32", "ieee"}
    assert not (way == "traced" and mode.seen[0] == "tf32")  # the forward part
    with Flags(fail_at=len(mode.seen)), pytest.raises(ArithmeticError):
        made.gram(images)
    assert flags() == before


# --- engines of encoders, refusals ------------------------------------------------------------------------------------


def test_an_encoder_keeps_one_engine_for_each_output_number_of_rows_and_precision(tiny):
    made = engine_of(tiny, "projector", rows=2)
    assert made is engine_of(tiny, rows=2)
    assert made.backend is made.traced
    assert (made.k, made.plan.cotangents) == (16, 2)
    images = random(2, 1, 16, 16)
    torch.testing.assert_close(made.gram(images).embedding, tiny.module("projector")(images))
    with pytest.raises(UnknownName, match="neck"):
        engine_of(tiny, "neck")


def test_the_engines_of_an_encoder_are_told_apart_by_all_they_depend_on(tiny, monkeypatch):
    class Noted(Engine):
        def __init__(self, f: nn.Module, image: Tensor, **options: object) -> None:
            self.made = f is tiny.module("backbone"), image.shape, *options.values()

    monkeypatch.setattr(jacobian_engine, "Engine", Noted)
    tiny.kept.clear()
    chosen = (
        {},
        {"rows": 4},
        {"precision": "bf16"},
        {"output": "backbone"},
        {"output": "projector", "precision": "fp32"},
    )
    made = [engine_of(tiny, **options) for options in chosen]
    assert made[4] is made[0]
    assert [one.made[2:] for one in made[:4]] == [(None, "fp32"), (4, "fp32"), (None, "bf16"), (None, "fp32")]
    assert [one.made[0] for one in made[:4]] == [False, False, False, True]
    assert {one.made[1] for one in made} == {(1, 16, 16)}


@pytest.mark.parametrize("part", [lambda net: net, lambda net: net[1]])
def test_training_mode_is_refused_even_of_one_layer(part):
    net = small_net()
    part(net).train()
    with pytest.raises(ValueError, match=r"in training mode, where images .* influence each other\. Call \.eval\(\)"):
        Engine(net, random(*SHAPE))


@pytest.mark.parametrize("shape", [(0, 6), (3, 5)])
def test_directions_that_fit_no_embedding_are_refused(shape):
    images = random(2, *SHAPE)
    engine = Engine(small_net(), images[0])
    assert engine.k == 6
    with pytest.raises(ValueError, match=r"must have shape \(1 or more, 6\)\. Got"):
        engine.gram(images, random(*shape))


def test_memory_that_runs_out_in_the_gram_is_met_by_smaller_parts(monkeypatch):
    images = random(4, *SHAPE)
    engine = Engine(small_net(), images[0])
    truth = engine.gram(images).gram
    real, seen = jacobian_engine.gram_matrix, []

    def scarce(rows):
        seen.append(len(rows))
        if len(rows) > 1:
            raise MemoryError
        return real(rows)

    monkeypatch.setattr(jacobian_engine, "gram_matrix", scarce)
    assert torch.allclose(engine.gram(images).gram, truth)
    assert seen == [4, 2, 1, 1, 1, 1], "each failure halves what had failed"


def test_images_without_a_batch_axis_are_refused():
    images = random(2, *SHAPE)
    made = Engine(small_net(), images[0])
    with pytest.raises(ValueError, match=r"must have shape \(batch, channel, height, width\)\. Got \(2, 3, 4\)\."):
        next(made._parts(images[0], lambda part: part))


@pytest.mark.parametrize("way", ["traced", "autograd"])
def test_a_forward_pass_alone_gives_the_embedding_and_features_that_come_with_products(way):
    net, images = small_net(), random(5, *SHAPE)
    made = Engine(net, images[0], plan=BatchPlan(2, 3))
    made.backend = getattr(made, way)
    embedding, features = made.forward(images)
    found = made.gram(images)
    assert torch.allclose(embedding, found.embedding, atol=1e-6)
    assert torch.allclose(features, found.features, atol=1e-5)
    assert torch.allclose(embedding, net(images), atol=1e-6)


def test_both_backends_give_the_products_of_directions_again_after_they_forgot():
    net, images, directions = small_net(), random(3, *SHAPE), random(5, 6)
    made = Engine(net, images[0])
    for backend in (made.traced, made.autograd):
        assert isinstance(backend, Backend)
        for _ in range(2):
            found = backend.rows(images, directions, BatchPlan(3, 4), pixels=True)
            assert distance(found.rows, directions @ truth_of(net, images)) <= 1e-5, backend.name
            torch.testing.assert_close(found.embedding, net(images))
            backend.forget()


@pytest.mark.parametrize("traced", [True, False])
def test_a_plan_that_is_given_is_kept_to(traced):
    def f(images: Tensor) -> Tensor:
        return images.flatten(1).sin() * (1.0 if traced or float(images.detach().sum()) < 1e9 else 2.0)

    made = Engine(f, random(*SHAPE), plan=BatchPlan(2, 3))
    assert made.backend.name == ("traced" if traced else "autograd")
    assert made.plan == BatchPlan(2, 3)


def test_threads_that_share_an_engine_do_not_disturb_each_other():
    engine = Engine(small_net(), random(*SHAPE))
    batches = [random(4, *SHAPE, seed=seed) for seed in range(2)]
    expected = [engine.gram(batch).gram for batch in batches]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda turn: engine.gram(batches[turn % 2]).gram, range(40)))
    for turn, gram in enumerate(found):
        assert torch.equal(gram, expected[turn % 2])
