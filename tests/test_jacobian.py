"""The Gram of the Jacobian: against naive float64 autodiff on whole encoders, and against closed forms."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.exactness import ARCHITECTURES, build, compare, inputs_of
from jepa_core import jacobian
from jepa_core.jacobian import GramResult, Plan, gram, gram_matrix, make_plan
from jepa_core.spectrum import jepa_score, listing_score, singular_values

SHAPE = (2, 3, 4)
D = 24


class Linear(nn.Module):
    """f(x) = A flat(x)."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.matrix.T


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def small_net() -> nn.Module:
    """Convolution, batch-norm with uneven statistics, pooling, a smooth bend: K = 6."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(2, 6, 2), nn.BatchNorm2d(6), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net[1].running_mean.copy_(random(6))
    net[1].running_var.copy_(random(6, seed=1).exp())
    return net.eval().requires_grad_(False)


def spectra(f: nn.Module, images: Tensor, **options) -> np.ndarray:
    return singular_values(gram(f, images, **options).gram.numpy())


# --- ground truth -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda architecture: architecture.title)
def test_float32_scores_are_those_of_float64_autodiff_and_a_full_svd(architecture):
    encoder = build(architecture, small=True)
    found = compare(encoder.module(), inputs_of(encoder, "photo-tiles", 3))
    assert found.rank > found.k // 3
    assert found.log_sigma_difference <= 1e-3
    assert found.score_difference <= 1e-2


def test_the_comparison_would_notice_a_wrong_network():
    encoder, other = (build(ARCHITECTURES[0], small=True) for _ in range(2))
    inputs = inputs_of(encoder, "photo-tiles", 3)
    truth = compare(encoder.module(), inputs)
    with torch.no_grad():
        next(parameter for parameter in other.module().parameters() if parameter.ndim > 1).mul_(1.01)
    ours = spectra(other.module(), inputs)
    theirs = spectra(encoder.module(), inputs)
    assert np.abs(np.log(ours[:, : truth.rank]) - np.log(theirs[:, : truth.rank])).max() > 1e-3


def test_the_papers_listing_gives_the_same_listing_score():
    net, images = small_net(), random(3, *SHAPE)
    rows = torch.autograd.functional.jacobian(lambda x: net(x).sum(0), inputs=images)
    flat = rows.flatten(2).permute(1, 0, 2)
    listing = torch.linalg.svdvals(flat).clip(1e-6).log().sum(1)
    assert np.allclose(listing_score(spectra(net, images)), listing.numpy(), atol=1e-4)


# --- closed forms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 5, D, 40])
def test_a_linear_map_has_the_singular_values_of_its_matrix(k):
    matrix = random(k, D)
    expected = torch.linalg.svdvals(matrix.double()).numpy()
    found = spectra(Linear(matrix), random(2, *SHAPE))
    assert np.allclose(found[:, : len(expected)], expected, rtol=1e-6)
    assert np.allclose(found[:, len(expected) :], 0.0, atol=1e-6 * expected[0])  # K > D: nothing beyond D


def test_an_orthogonal_map_scores_zero():
    turn = torch.linalg.qr(random(D, D))[0]
    assert np.allclose(jepa_score(spectra(Linear(turn), random(3, *SHAPE)), D), 0.0, atol=1e-5)


def test_a_diagonal_scaling_scores_the_sum_of_its_logs():
    scale = random(D).exp()
    found = spectra(Linear(torch.diag(scale)), random(3, *SHAPE))
    assert np.allclose(jepa_score(found, D), float(scale.double().log().sum()), atol=1e-5)
    assert np.allclose(found, np.sort(scale.numpy())[::-1], rtol=1e-6)


def test_scaling_the_embedding_by_c_adds_k_log_c():
    matrix, images = random(5, D), random(2, *SHAPE)
    once, thrice = (jepa_score(spectra(Linear(c * matrix), images), 5) for c in (1.0, 3.0))
    assert np.allclose(thrice - once, 5 * np.log(3.0), atol=1e-5)


def test_the_chain_rule_for_a_map_behind_a_bend():
    # f(x) = A tanh(x), so J = A diag(1 - tanh(x)^2): another Jacobian at each image.
    class Bent(Linear):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images.tanh())

    matrix, images = random(5, D), random(4, *SHAPE)
    expected = matrix * (1 - images.flatten(1).tanh() ** 2)[:, None]
    assert torch.allclose(jacobian.jacobian(Bent(matrix), images), expected, atol=1e-6)
    assert np.allclose(spectra(Bent(matrix), images), torch.linalg.svdvals(expected.double()).numpy(), rtol=1e-5)


def test_rows_and_pixels_are_in_the_order_of_the_embedding_and_of_the_flattened_image():
    matrix = random(5, D)
    assert torch.allclose(jacobian.jacobian(Linear(matrix), random(2, *SHAPE)), matrix.expand(2, 5, D))


def test_the_gram_is_float64_and_the_embedding_is_the_encoders():
    net, images = small_net(), random(3, *SHAPE)
    found = gram(net, images)
    assert isinstance(found, GramResult)
    assert found.gram.dtype == torch.float64
    assert found.gram.shape == (3, 6, 6)
    assert torch.allclose(found.embedding, net(images), atol=1e-6)


def test_small_singular_values_survive_that_a_float32_gram_would_lose():
    sigma = torch.logspace(0, -5.5, 8, dtype=torch.float64)
    turn = torch.linalg.qr(random(D, 8).double())[0]
    found = spectra(Linear((torch.diag(sigma) @ turn.T).float()), random(1, *SHAPE))[0]
    assert np.allclose(np.log(found), sigma.log().numpy(), atol=0.05)


def test_the_gram_is_the_same_whatever_the_number_of_columns(monkeypatch):
    rows = random(2, 5, 37)
    expected = rows.double() @ rows.double().mT
    for columns in (1, 7, 36, 37, 1000):
        monkeypatch.setattr(jacobian, "_GRAM_COLUMNS", columns)
        assert torch.allclose(gram_matrix(rows), expected, rtol=1e-14)


# --- chunks and batches -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cotangents", [1, 2, 4, 5, 6, 9])
def test_any_number_of_cotangents_at_a_time_gives_the_same(cotangents):
    net, images = small_net(), random(3, *SHAPE)
    expected = gram(net, images)
    found = gram(net, images, cotangents=cotangents)
    assert torch.allclose(found.gram, expected.gram, rtol=1e-5, atol=1e-9)
    assert torch.allclose(found.embedding, expected.embedding, atol=1e-6)
    assert torch.allclose(
        jacobian.jacobian(net, images, cotangents=cotangents), jacobian.jacobian(net, images), atol=1e-6
    )


@pytest.mark.parametrize("cotangents", [None, 1, 4])
def test_images_do_not_influence_each_other(cotangents):
    net, images = small_net(), random(4, *SHAPE)
    together = gram(net, images, cotangents=cotangents)
    for position in range(4):
        alone = gram(net, images[position : position + 1], cotangents=cotangents)
        assert torch.allclose(together.gram[position], alone.gram[0], rtol=1e-5, atol=1e-9)


def test_an_image_that_is_not_finite_spoils_only_its_own_gram():
    net, images = small_net(), random(3, *SHAPE)
    expected = gram(net, images).gram
    images[1, 0, 0, 0] = torch.nan
    found = gram(net, images).gram
    assert not found[1].isfinite().all()
    assert torch.allclose(found[[0, 2]], expected[[0, 2]], rtol=1e-5)


def test_gradients_are_made_even_where_they_are_switched_off():
    matrix = random(5, D)
    with torch.no_grad():
        assert torch.allclose(jacobian.jacobian(Linear(matrix), random(1, *SHAPE))[0], matrix)


def test_the_weights_and_the_images_are_left_as_they_were():
    net, images = small_net().requires_grad_(True), random(2, *SHAPE)
    before = images.clone()
    gram(net, images)
    assert torch.equal(images, before)
    assert not images.requires_grad
    assert all(parameter.grad is None for parameter in net.parameters())


# --- memory plan ------------------------------------------------------------------------------------------------------


def test_a_smaller_budget_gives_fewer_images_then_fewer_cotangents_and_never_none():
    net, image = small_net(), random(*SHAPE)
    plans = [make_plan(net, image, budget) for budget in (10**9, 10**6, 10**5, 10**4, 10**3, 1)]
    for larger, smaller in itertools.pairwise(plans):
        assert smaller.images <= larger.images
        assert smaller.cotangents <= larger.cotangents
    assert plans[0].images > 100
    assert plans[0].cotangents == 6
    assert plans[-1] == Plan(images=1, cotangents=1)


def test_every_plan_gives_the_same_gram():
    net, images = small_net(), random(2, *SHAPE)
    expected = gram(net, images).gram
    counts = {make_plan(net, images[0], budget).cotangents for budget in (10**3, 3 * 10**3, 10**4, 10**5)}
    assert len(counts) > 1
    for count in counts:
        assert torch.allclose(gram(net, images, cotangents=count).gram, expected, rtol=1e-5, atol=1e-9)


def test_chunks_are_even():
    # A budget for four of six rows is used for two chunks of three, not for one of four and one of two.
    net, image = small_net(), random(*SHAPE)
    assert {make_plan(net, image, budget).cotangents for budget in range(200, 8000, 200)} == {1, 2, 3, 6}


def test_weights_do_not_count_against_the_budget_since_they_exist_once():
    image = random(*SHAPE)
    narrow = make_plan(Linear(random(4, D)), image, 10**6)
    heavy = nn.Sequential(nn.Flatten(), nn.Linear(D, D), nn.Linear(D, 4)).eval().requires_grad_(False)
    assert make_plan(heavy, image, 10**6).images >= narrow.images // 2


class Held(TorchDispatchMode):
    """Follows the bytes of the tensors that are made inside, until each is gone; `most` is the largest sum."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = {part.untyped_storage()._cdata for part in tree_leaves((args, kwargs)) if isinstance(part, Tensor)}
        made = func(*args, **(kwargs or {}))
        for part in tree_leaves(made):
            if isinstance(part, Tensor) and part.untyped_storage()._cdata not in given:
                storage = part.untyped_storage()
                self._alive[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self._alive = {key: held for key, held in self._alive.items() if not held[0].expired()}
        self.most = max(self.most, sum(size for _reference, size in self._alive.values()))
        return made


@pytest.mark.parametrize("cotangents", [None, 20, 5, 3])
def test_the_jacobian_is_held_once(cotangents):
    net, image = Linear(random(20, D * 1000)), random(1, 2, 3, 4000)
    row = 4 * D * 1000
    with Held() as mode:
        jacobian.jacobian(net, image, cotangents=cotangents)
    # In one chunk the gradients are J itself. The images repeated and, in several, the chunk at hand come on top.
    on_top = {None: 20, 20: 20, 5: 5 + 5, 3: 3 + 3}[cotangents]
    assert mode.most < (20 + on_top) * row + 10**4


def test_one_part_of_one_image_at_a_time_is_held_in_float64(monkeypatch):
    k, columns, count = 40, 500, 30
    monkeypatch.setattr(jacobian, "_GRAM_COLUMNS", columns)
    rows = random(count, k, 4 * columns)
    with Held() as mode:
        gram_matrix(rows)
    assert mode.most <= 8 * k * columns + 8 * (count + 1) * k * k  # the part, and the Grams with one product


@pytest.mark.parametrize("net", [small_net(), Linear(random(6, D))], ids=["convolution", "linear"])
@pytest.mark.parametrize("budget", [10**4, 3 * 10**4, 10**5, 10**6])
def test_a_plan_keeps_to_its_budget(net, budget):
    plan = make_plan(net, random(*SHAPE), budget)
    images = random(plan.images, *SHAPE)
    with Held() as mode:
        gram(net, images, cotangents=plan.cotangents)
    outputs = 3 * 4 * 6 * plan.cotangents + 8 * 6 * 6  # cotangents, embeddings, Gram: too small to be planned for
    assert mode.most <= budget + outputs * plan.images


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [lambda net: net, lambda net: net[1]])
def test_training_mode_is_refused_even_of_one_layer(part):
    net = small_net()
    part(net).train()
    for work in (gram, jacobian.jacobian):
        with pytest.raises(
            ValueError, match=r"in training mode, where images .* influence each other\. Call \.eval\(\)"
        ):
            work(net, random(2, *SHAPE))


def test_images_without_a_batch_axis_are_refused():
    # The shape checks of the tests come before the sentence of the function, so the sentence is asked for directly.
    with pytest.raises(ValueError, match=r"must have shape \(batch, channel, height, width\)\. Got \(2, 3, 4\)\."):
        jacobian._check(small_net(), random(*SHAPE))
