"""One block of memory for a graph: the numbers are those of the graph as it was, in less memory."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from jepa_core.jacobian import buffers
from jepa_core.jacobian.buffers import use_one_block

N = 8
MATRIX = 4 * N * N  # bytes


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def traced(function: Callable[..., Tensor], *inputs: Tensor) -> GraphModule:
    return make_fx(function, tracing_mode="fake")(*inputs)


def rewritten(function: Callable[..., Tensor], *inputs: Tensor) -> tuple[GraphModule, int]:
    graph = traced(function, *inputs)
    return graph, use_one_block(graph, inputs[0].dtype, inputs[0].device)


def inputs_of(seed: int) -> tuple[Tensor, Tensor]:
    return random(N, N, seed=2 * seed), random(N, N, seed=2 * seed + 1)


def check(function: Callable[..., Tensor]) -> None:
    """The rewritten graph gives what the graph as it was gives, in two runs with different inputs, and in the first's
    once more."""
    graph, _size = rewritten(function, *inputs_of(0))
    before = traced(function, *inputs_of(0))
    for seed in (1, 2, 1):
        inputs = inputs_of(seed)
        kept = [part.clone() for part in inputs]
        assert torch.equal(graph(*inputs), before(*kept))
        for part, was in zip(inputs, kept, strict=True):
            assert torch.equal(part, was)


# --- a value still needed is not written over -------------------------------------------------------------------------


def sum_with_its_transpose(x: Tensor, w: Tensor) -> Tensor:
    y = x @ w
    return y + y.transpose(0, 1)


def difference_of_a_transpose(x: Tensor, w: Tensor) -> Tensor:
    y = x @ w
    return (y.T - y) @ w


def used_twice(x: Tensor, w: Tensor) -> Tensor:
    y = x @ w
    z = y * 2
    return z + y


def used_again_much_later(x: Tensor, w: Tensor) -> Tensor:
    first = x @ w
    y = first
    for _ in range(5):
        y = (y * 0.5) @ w
    return y - first


def used_through_a_view(x: Tensor, w: Tensor) -> Tensor:
    y = x @ w
    part = y.view(2, -1)
    z = y * 3
    return z + part.view(N, N)


def product_with_itself(x: Tensor, w: Tensor) -> Tensor:
    y = x @ w
    return (y * y) @ y


def shifted(x: Tensor, w: Tensor) -> Tensor:
    y = x @ w
    return y[1:] + y[:-1]


def part_of_a_value(x: Tensor, w: Tensor) -> Tensor:
    y = x @ w
    return y[1:] * 2


def written_over_the_second_operand(x: Tensor, w: Tensor) -> Tensor:
    y = x @ w
    return x - y


def broadcast(x: Tensor, w: Tensor) -> Tensor:
    y = x @ w
    row = y.sum(0, keepdim=True)
    column = (y * 2).sum(1, keepdim=True)
    return (row * column) / (1 + y * y)


def joined(x: Tensor, w: Tensor) -> Tensor:
    y, z = x @ w, w @ x
    return torch.cat([y, z, y * 2]).mT @ torch.stack([y, z, z + 1]).flatten(0, 1)


def batched(x: Tensor, w: Tensor) -> Tensor:
    y = (x @ w).view(2, 4, N)
    return torch.bmm(y, y.mT).flatten(1) @ torch.bmm(y.mT, y).flatten(1)[:, : 16 * 4].view(16, -1)


def made_contiguous(x: Tensor, w: Tensor) -> Tensor:
    y = (x @ w).view(2, 4, N).permute(2, 0, 1).contiguous()
    return y.view(N, N) + x


def between_functions_without_a_place(x: Tensor, w: Tensor) -> Tensor:
    y = (x @ w).softmax(-1)
    return (y @ w).exp() * y


def a_function_that_changes_its_operand(x: Tensor, w: Tensor) -> Tensor:
    y = x @ w
    z = y * 2
    y.add_(w)
    return z @ y


def an_input_itself(x: Tensor, w: Tensor) -> Tensor:
    return (x + w) * x


PROGRAMS = (
    sum_with_its_transpose,
    difference_of_a_transpose,
    used_twice,
    used_again_much_later,
    used_through_a_view,
    product_with_itself,
    shifted,
    part_of_a_value,
    written_over_the_second_operand,
    broadcast,
    joined,
    batched,
    made_contiguous,
    between_functions_without_a_place,
    a_function_that_changes_its_operand,
    an_input_itself,
)


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda function: function.__name__)
def test_the_numbers_are_those_of_the_graph_as_it_was(function):
    check(function)


def program(seed: int) -> Callable[[Tensor, Tensor], Tensor]:
    """A random program on square matrices, most of whose values are views of others or used more than once."""

    def function(x: Tensor, w: Tensor) -> Tensor:
        generator = np.random.default_rng(seed)
        pool = [x, w]

        def any_value() -> Tensor:
            return pool[generator.integers(max(0, len(pool) - 5), len(pool))]

        steps: list[Callable[[], Tensor]] = [
            lambda: any_value() @ any_value() / N,
            lambda: any_value() @ any_value() / N,
            lambda: any_value() + any_value(),
            lambda: any_value() * any_value(),
            lambda: any_value() - any_value().T,
            lambda: any_value() * any_value().sum(0, keepdim=True),
            lambda: any_value() * any_value().sum(1, keepdim=True),
            lambda: any_value().T,
            lambda: any_value()[:, :],
            lambda: torch.cat([any_value()[:3], any_value()[3:]]),
            lambda: torch.stack([any_value()[:, 0]] * N),
            lambda: any_value().T.contiguous(),
            lambda: torch.tanh(any_value()),
            lambda: any_value() * 0.5,
            lambda: torch.bmm(any_value().reshape(2, 4, N), any_value().reshape(2, N, 4)).view(4, N).repeat(2, 1) / N,
        ]
        for _ in range(18):
            value = steps[generator.integers(len(steps))]()
            pool.append(value / (1 + value.abs().sum()))
            pool.append(value)
        return pool[-1] + pool[-2] + pool[-3].T

    return function


@pytest.mark.parametrize("seed", range(12))
def test_the_numbers_of_a_random_program_are_those_of_the_graph_as_it_was(seed):
    check(program(seed))


def test_several_results_are_all_kept_to_the_end():
    def function(x: Tensor, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y = x @ w
        return y, y * 2, (y * 2) @ w

    graph, _size = rewritten(function, *inputs_of(0))
    for found, expected in zip(graph(*inputs_of(1)), function(*inputs_of(1)), strict=True):
        assert torch.equal(found, expected)


def test_without_the_look_at_other_views_the_sum_with_a_transpose_would_be_wrong(monkeypatch):
    def first_that_ends(node, dying):
        if node.target not in buffers._IN_PLACE:
            return None
        found = enumerate(map(buffers._storage, node.all_input_nodes))
        return next(((position, storage) for position, storage in found if storage in dying), None)

    monkeypatch.setattr(buffers, "_written_over", first_that_ends)
    graph, _size = rewritten(sum_with_its_transpose, *inputs_of(0))
    # Torch itself refuses to write over a value that it reads in another order, or writes wrong numbers.
    with pytest.raises((RuntimeError, AssertionError)):
        assert torch.equal(graph(*inputs_of(1)), sum_with_its_transpose(*inputs_of(1)))


# --- memory -----------------------------------------------------------------------------------------------------------


def chain(x: Tensor, w: Tensor) -> Tensor:
    for _ in range(10):
        x = (x @ w) * 0.5
    return x


def test_a_chain_of_products_needs_two_places_however_long_it_is():
    assert rewritten(chain, *inputs_of(0))[1] == 2 * MATRIX


def test_elementwise_functions_write_over_their_operand():
    def function(x: Tensor, w: Tensor) -> Tensor:
        y = x @ w
        for _ in range(10):
            y = y * 0.5 + x
        return y

    assert rewritten(function, *inputs_of(0))[1] == MATRIX


def test_a_value_that_is_needed_later_keeps_its_place():
    assert rewritten(used_twice, *inputs_of(0))[1] == 2 * MATRIX
    assert rewritten(sum_with_its_transpose, *inputs_of(0))[1] == 2 * MATRIX


@pytest.mark.parametrize("seed", range(3))
def test_the_block_is_smaller_than_all_results_together(seed):
    graph = traced(program(seed), *inputs_of(0))
    graph.graph.eliminate_dead_code()
    results = [node.meta["val"] for node in graph.graph.nodes if node.target in buffers._WITH_OUT]
    together = sum(value.numel() * value.element_size() for value in results)
    assert 0 < use_one_block(graph, torch.float32, torch.device("cpu")) < together / 2


def test_results_lie_in_the_same_place_in_every_run():
    graph, size = rewritten(chain, *inputs_of(0))
    first = graph(*inputs_of(1))
    kept = first.clone()
    second = graph(*inputs_of(2))
    assert first.data_ptr() == second.data_ptr()
    assert first.untyped_storage().nbytes() == size
    assert not torch.equal(first, kept)


def test_a_graph_traced_in_float32_runs_in_bfloat16_in_half_the_memory():
    graph, before = (traced(chain, *inputs_of(0)) for _ in range(2))
    size = use_one_block(graph, torch.bfloat16, torch.device("cpu"))
    inputs = [part.bfloat16() for part in inputs_of(1)]
    found = graph(*inputs)
    assert size == MATRIX
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, before(*inputs))


def test_a_graph_without_results_to_place_is_left_as_it_was():
    graph, size = rewritten(torch.atan2, *inputs_of(0))
    assert size == 0
    assert torch.equal(graph(*inputs_of(1)), torch.atan2(*inputs_of(1)))


def test_the_first_gap_that_is_wide_enough_is_taken():
    block = buffers._Block()
    assert [block.take(size) for size in (64, 100, 64, 1)] == [0, 64, 192, 256]
    block.give_back(64)
    assert block.take(129) == 320  # wider than the gap
    assert block.take(65) == 64
    block.give_back(0)
    assert block.take(64) == 0
    assert block.size == 320 + 192
