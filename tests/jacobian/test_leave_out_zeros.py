"""Zeros in the products of a graph: what need not be computed for the last tokens, and what must not be left out."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from jepa_core.jacobian.graph_steps.divide import divide
from jepa_core.jacobian.graph_steps.leave_out_zeros import leave_out_zeros
from jepa_core.jacobian.graph_steps.trace import trace
from tests.jacobian.test_linearize import Net, difference, engine_of, random, vit


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@torch.no_grad()
def flops(f: Callable[[Tensor], Tensor], images: Tensor) -> tuple[int, int]:
    """Of the products of all cotangents, with all zeros computed and without; what they give is the same."""
    k = f(images).shape[1]
    parts = divide(trace(f, images, k))
    fixed = parts.fixed()
    constants = parts.forward(images, *[fixed[place] for place in parts.to_forward])[2]
    directions = torch.eye(k)[:, None].repeat(1, len(images), 1)
    given = [directions, *[fixed[place] for place in parts.to_product], *constants]
    counts, rows = [], []
    for edit in (lambda *_given: None, leave_out_zeros):
        edit(parts.product, given)
        with FlopCounterMode(display=False) as counter:
            rows.append(parts.product(*given))
        counts.append(counter.get_total_flops())
    torch.testing.assert_close(*rows)
    return counts[0], counts[1]


def test_behind_a_class_token_the_last_blocks_mlp_is_computed_for_one_token():
    more, fewer = flops(vit(global_pool="token"), random(2, 3, 16, 16))
    mlp = 2 * 2 * 24 * 96  # of one token, one cotangent: there and back
    projection = 2 * 24 * 24
    assert more - fewer >= 2 * 24 * 16 * (mlp + projection)  # images, cotangents, tokens but one


def test_behind_average_pooling_nothing_is_zero():
    more, fewer = flops(vit(global_pool="avg"), random(2, 3, 16, 16))
    assert more == fewer


def test_the_zeros_of_parts_of_the_embedding_and_of_the_channels_are_left_out():
    first, second = random(16, 24), random(24, 24)[:, 4:]
    more, fewer = flops(
        lambda images: F.gelu(images.reshape(-1, 48, 16) @ first @ second)[:, 3, :], random(2, 3, 16, 16)
    )
    assert fewer < more / 10


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
    assert engine.backend is engine.traced
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
