"""How much is computed together: plans for a budget, and what happens where memory runs out all the same."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.exactness import enliven
from jepa_core.errors import EncoderError, OutOfMemory
from jepa_core.jacobian.autograd import AutogradBackend
from jepa_core.jacobian.batch_plan import BatchPlan, Sizes, is_out_of_memory, measure, plan_autograd, plan_traced
from jepa_core.jacobian.engine import Engine
from jepa_core.jacobian.gram import gram_matrix
from jepa_core.jacobian.traced import TracedBackend

CPU = torch.device("cpu")
SHAPE = (3, 16, 16)
BOTH_WAYS = pytest.mark.parametrize("way", ["traced", "autograd"])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Tokens(nn.Module):
    """At 16 px one image's J has 49,152 bytes, and the widest activation 16,384 for each cotangent."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, 16, 4, 4)
        self.wide, self.narrow = nn.Linear(16, 256), nn.Linear(256, 16)
        enliven(self)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).mT
        return self.narrow(nn.functional.gelu(self.wide(tokens))).mean(1)


def engine_of(f: nn.Module, *, way: str, plan: BatchPlan | None = None, **options) -> Engine:
    engine = Engine(f, torch.zeros(SHAPE), **options)
    assert engine.backend is engine.traced
    if way == "autograd":
        engine.backend = engine.autograd
        engine.plan = plan_autograd(measure(f, torch.zeros(1, *SHAPE)), engine.k, CPU, options.get("budget", 10**9))
    engine.plan = plan or engine.plan
    return engine


def new_results(made: object, given: object) -> list[Tensor]:
    """The tensors that an operation made, in memory of their own; none while an encoder is only traced."""
    known = {part.untyped_storage()._cdata for part in tree_leaves(given) if isinstance(part, Tensor)}
    return [
        part
        for part in tree_leaves(made)
        if isinstance(part, Tensor)
        and not isinstance(part, FakeTensor)
        and part.device.type == "cpu"
        and part.untyped_storage()._cdata not in known
    ]


class Held(TorchDispatchMode):
    """Follows the bytes of the tensors that are made inside, until each is gone; `most` is the largest sum."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for part in new_results(made, (args, kwargs)):
            storage = part.untyped_storage()
            self._alive[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self._alive = {key: held for key, held in self._alive.items() if not held[0].expired()}
        self.most = max(self.most, sum(size for _reference, size in self._alive.values()))
        return made


class Refusing(TorchDispatchMode):
    """A machine that has no memory for results of more than `limit` bytes; `refused` counts them."""

    def __init__(self, limit: int, error: Callable[[], BaseException] | None = None) -> None:
        super().__init__()
        self.refused = 0
        self._limit = limit
        self._error = error or (lambda: torch.OutOfMemoryError("CUDA out of memory. It is full.\nMore."))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if any(part.numel() * part.element_size() > self._limit for part in new_results(made, (args, kwargs))):
            self.refused += 1
            raise self._error()
        return made


# --- plans ------------------------------------------------------------------------------------------------------------

SIZES = Sizes(saved=10_000, largest=2_000, row=500)
BUDGETS = [10**9, 10**8, 10**7, 3 * 10**6, 10**6, 10**5, 3 * 10**4, 10**4, 10**3, 1]


@pytest.mark.parametrize("plan_of", [plan_traced, plan_autograd])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_smaller_budget_gives_fewer_images_then_fewer_cotangents_and_never_none(plan_of, device):
    plans = [plan_of(SIZES, 40, torch.device(device), budget) for budget in BUDGETS]
    for larger, smaller in itertools.pairwise(plans):
        assert smaller.images <= larger.images
        assert smaller.cotangents <= larger.cotangents
    assert all(plan.images == 1 for plan in plans if plan.cotangents < 40)
    assert plans[0].images > 100
    assert plans[0].cotangents == 40
    assert plans[-1] == BatchPlan(images=1, cotangents=1)
    assert len({plan.cotangents for plan in plans}) > 2


@pytest.mark.parametrize("plan_of", [plan_traced, plan_autograd])
def test_chunks_are_even(plan_of):
    # A budget for 25 of 30 rows is used for two chunks of 15, not for one of 25 and one of 5.
    found = {plan_of(SIZES, 30, CPU, budget).cotangents for budget in range(10_000, 10**6, 5_000)}
    assert found <= {1, 2, 3, 4, 5, 6, 8, 10, 15, 30}
    assert {10, 15, 30} <= found


@pytest.mark.parametrize("plan_of", [plan_traced, plan_autograd])
def test_larger_activations_and_more_rows_make_smaller_plans(plan_of):
    plan = plan_of(SIZES, 40, CPU, 10**8)
    assert plan_of(SIZES, 80, CPU, 10**8).images < plan.images
    assert plan_of(Sizes(100_000, 20_000, 500), 40, CPU, 10**8).images < plan.images


def test_products_of_half_the_width_are_made_twice_as_many_at_a_time():
    whole, half = (plan_traced(Sizes(10**6, 10**5, 500), 10_000, CPU, 10**10, half=half) for half in (False, True))
    assert half.cotangents == pytest.approx(2 * whole.cotangents, rel=0.1)


@pytest.mark.parametrize("plan_of", [plan_traced, plan_autograd])
def test_the_rows_of_the_jacobian_count(plan_of):
    plan = plan_of(Sizes(saved=100, largest=100, row=10**6), 40, torch.device("cuda"), 10**9)
    assert 0.1 * 10**9 < plan.images * 40 * 10**6 <= 10**9


def test_a_cpus_plan_stays_in_its_caches_whatever_the_budget():
    for plan_of in (plan_traced, plan_autograd):
        on_cpu, on_gpu = (plan_of(SIZES, 40, torch.device(device), 10**13) for device in ("cpu", "cuda"))
        assert on_cpu == plan_of(SIZES, 40, CPU, 10**14)
        assert on_cpu.images < on_gpu.images / 100


def test_half_a_plan_has_fewer_images_then_fewer_cotangents_then_is_none():
    plan, seen = BatchPlan(images=5, cotangents=6), []
    while plan := plan.half():
        seen.append(tuple(plan))
    assert seen == [(3, 6), (2, 6), (1, 6), (1, 3), (1, 2), (1, 1)]


# --- measuring --------------------------------------------------------------------------------------------------------


def test_what_is_saved_is_measured_with_explicit_attention_maps():
    class Attend(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            tokens = images.flatten(2).mT[:, None]
            return nn.functional.scaled_dot_product_attention(tokens, tokens, tokens).mean((1, 2))

    sizes = measure(Attend(), random(1, 3, 40, 40))
    assert sizes.row == 4 * 3 * 40 * 40
    assert sizes.largest == 4 * 1600 * 1600
    assert sizes.largest < sizes.saved < 4 * sizes.largest


def test_the_largest_is_at_least_an_image():
    assert measure(nn.Flatten(), random(1, *SHAPE)) == Sizes(saved=0, largest=4 * 3 * 256, row=4 * 3 * 256)


def test_a_value_saved_twice_counts_once():
    sizes = measure(lambda x: (x.exp() * x.exp().detach()).flatten(1), random(1, *SHAPE))
    assert measure(lambda x: (y := x.exp()) * y, random(1, *SHAPE)).saved == 4 * 3 * 256
    assert sizes.saved == 2 * 4 * 3 * 256


@pytest.mark.parametrize("trainable", [False, True])
def test_weights_do_not_count_since_they_exist_once(trainable):
    narrow, wide = (
        nn.Sequential(nn.Flatten(), nn.Linear(24, 8), nn.GELU(), nn.Linear(8, width)).requires_grad_(trainable)
        for width in (4, 4000)
    )
    image = random(1, 2, 3, 4)
    assert measure(wide, image) == measure(narrow, image)
    assert measure(wide, image).largest == 4 * 24


@pytest.mark.parametrize("budget", [600_000, 10**7])
@BOTH_WAYS
def test_a_plan_keeps_to_its_budget(way, budget):
    engine = engine_of(Tokens(), way=way, budget=budget)
    images = random(engine.plan.images, *SHAPE)
    assert engine.plan.cotangents > 1
    with Held() as mode:
        engine.gram(images)
    assert budget / 20 < mode.most <= 1.2 * budget  # half of what is free


@BOTH_WAYS
def test_memory_does_not_grow_with_the_number_of_images(way):
    engine = engine_of(Tokens(), way=way, plan=BatchPlan(2, 16))
    engine.gram(random(2, *SHAPE))
    most = []
    for count in (4, 12):
        with Held() as mode:
            engine.gram(random(count, *SHAPE))
        most.append(mode.most)
    results = 8 * 3 * 8 * 16 * 16  # of eight more images, while they are joined: a third of their Jacobians' rows
    assert most[1] <= most[0] + results


@pytest.mark.parametrize("cotangents", [20, 5, 3])
@BOTH_WAYS
def test_the_jacobian_of_one_image_is_held_once(cotangents, way):
    class Bent(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1).tanh() @ self.matrix.T

    net = Bent()
    net.register_buffer("matrix", random(20, 24_000))
    engine = Engine(net.eval(), random(2, 3, 4000))
    engine.backend, engine.plan = getattr(engine, way), BatchPlan(1, cotangents)
    engine.jacobian(random(1, 2, 3, 4000))
    with Held() as mode:
        engine.jacobian(random(1, 2, 3, 4000))
    # On top come a chunk of replicas, of their bends and of their gradients, before and behind the bend.
    assert mode.most <= (20 + 4 * cotangents + 7) * 4 * 24_000


def test_the_gram_is_the_same_whatever_the_number_of_columns():
    rows = random(2, 5, 37)
    expected = rows.double() @ rows.double().mT
    for columns in (1, 7, 36, 37, 1000):
        assert torch.allclose(gram_matrix(rows, columns), expected, rtol=1e-14)


def test_one_part_of_one_image_at_a_time_is_held_in_float64():
    k, columns, count = 40, 500, 30
    rows = random(count, k, 4 * columns)
    with Held() as mode:
        gram_matrix(rows, columns)
    assert mode.most <= 8 * k * columns + 8 * (count + 1) * k * k  # the part, and the Grams with one product


# --- out of memory ----------------------------------------------------------------------------------------------------


def refusal_of_the_system() -> BaseException:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**56, dtype=torch.uint8)
    return caught.value


def refusal_of_numpy() -> BaseException:
    with pytest.raises(MemoryError) as caught:
        np.empty(2**56, dtype=np.uint8)
    return caught.value


def test_refused_memory_is_told_from_other_errors():
    for error in (refusal_of_the_system(), refusal_of_numpy(), torch.OutOfMemoryError("CUDA out of memory.")):
        assert is_out_of_memory(error)
    for error in (RuntimeError("shape '[3]' is invalid for input of size 4"), ValueError("no"), KeyError("memory")):
        assert not is_out_of_memory(error)


@pytest.mark.parametrize(("limit", "plan"), [(400_000, BatchPlan(1, 16)), (110_000, BatchPlan(1, 4))])
@BOTH_WAYS
def test_where_memory_runs_out_the_engine_goes_on_in_smaller_steps(way, limit, plan):
    net, images = Tokens(), random(2, *SHAPE)
    engine = engine_of(net, way=way, plan=BatchPlan(2, 16))
    rows = torch.stack([torch.autograd.functional.jacobian(lambda x: net(x[None])[0], image) for image in images])
    with Refusing(limit) as mode:
        found = engine.gram(images)
    assert mode.refused > 0
    assert engine.plan == plan
    torch.testing.assert_close(found.gram, gram_matrix(rows.flatten(2)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.embedding, net(images))
    with Refusing(limit) as mode:
        engine.gram(images)
    assert mode.refused == 0  # what fitted is remembered


@pytest.mark.parametrize(
    "error",
    [MemoryError, refusal_of_the_system, lambda: torch.OutOfMemoryError("CUDA out of memory.")],
    ids=["python", "system", "device"],
)
def test_memory_may_be_refused_by_the_device_the_system_or_python(error):
    images = random(2, *SHAPE)
    engine = engine_of(Tokens(), way="autograd", plan=BatchPlan(2, 16))
    expected = engine.gram(images).gram
    with Refusing(400_000, error) as mode:
        found = engine.gram(images).gram
    assert mode.refused > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@BOTH_WAYS
def test_the_images_that_are_done_are_not_done_again(way, monkeypatch):
    engine = engine_of(Tokens(), way=way, plan=BatchPlan(2, 16))
    images = random(5, *SHAPE)
    expected, work, sizes = engine.gram(images).gram, engine.backend.rows, []

    def refuse_once(part: Tensor, *rest: object, **options: bool) -> object:
        sizes.append(len(part))
        if len(sizes) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return work(part, *rest, **options)

    monkeypatch.setattr(engine.backend, "rows", refuse_once)
    found = engine.gram(images).gram
    assert sizes == [2, 2, 1, 1, 1]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@BOTH_WAYS
def test_where_not_even_one_row_fits_a_sentence_says_so(way):
    engine = engine_of(Tokens(), way=way, plan=BatchPlan(1, 2))
    with (
        Refusing(10_000),
        pytest.raises(
            OutOfMemory,
            match=r"^One row of the Jacobian of one image needs more memory than there is \(CUDA out of memory\. It "
            r"is full\.\); an encoder .* that fit are accepted; choose smaller ones, or free memory\.$",
        ),
    ):
        engine.gram(random(2, *SHAPE))
    assert engine.plan == BatchPlan(1, 1)


@BOTH_WAYS
def test_another_error_is_not_taken_for_a_lack_of_memory(way):
    engine = engine_of(Tokens(), way=way, plan=BatchPlan(2, 16))
    with Refusing(60_000, lambda: RuntimeError("the device is on fire")), pytest.raises(RuntimeError, match="on fire"):
        engine.gram(random(2, *SHAPE))
    assert engine.plan == BatchPlan(2, 16)


def test_an_engine_is_made_where_its_first_plan_does_not_fit():
    net, images = Tokens(), random(2, *SHAPE)
    first = Engine(net, images[0], budget=1_500_000)
    assert first.plan == BatchPlan(1, 16)
    with Refusing(110_000) as mode:
        engine = Engine(net, images[0], budget=1_500_000)
        found = engine.gram(images)
    assert mode.refused > 0
    assert engine.backend is engine.traced
    assert 1 < engine.plan.cotangents < 16
    torch.testing.assert_close(found.gram, first.gram(images).gram, rtol=1e-4, atol=1e-5)


def refuse(*_args: object, **_options: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory.")


def test_an_engine_is_refused_with_a_sentence_where_not_even_one_row_fits(monkeypatch):
    monkeypatch.setattr(TracedBackend, "rows", refuse)
    with pytest.raises(OutOfMemory, match="needs more memory than there is"):
        Engine(Tokens(), torch.zeros(SHAPE), rows=2, budget=200_000)


def test_where_two_images_do_not_fit_autograd_finite_differences_check_the_traced_product(monkeypatch):
    monkeypatch.setattr(AutogradBackend, "rows", refuse)
    engine = Engine(Tokens(), torch.zeros(SHAPE), rows=2)
    assert engine.backend is engine.traced
    wrong = TracedBackend.rows
    monkeypatch.setattr(
        TracedBackend, "rows", lambda *args, **kw: (found := wrong(*args, **kw))._replace(rows=2 * found.rows)
    )
    with pytest.raises(EncoderError, match=r"the traced one is 1e\+02 % off"):
        Engine(Tokens(), torch.zeros(SHAPE), rows=2)


def test_an_engine_is_refused_with_a_sentence_where_not_even_a_forward_pass_fits():
    net = Tokens()
    with Refusing(10_000), pytest.raises(OutOfMemory):
        Engine(net, torch.zeros(SHAPE))
