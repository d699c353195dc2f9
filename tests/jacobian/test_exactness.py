"""The Gram of the Jacobian: against naive float64 autodiff on whole encoders, and against closed forms."""

from collections.abc import Callable

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from benchmarks.exactness import ARCHITECTURES, build, compare, enliven, inputs_of
from jepa_core.jacobian.batch_plan import BatchPlan
from jepa_core.jacobian.engine import Engine
from jepa_core.jacobian.gram import gram_matrix
from jepa_core.jacobian.spectrum import jepa_score, listing_score, singular_values

SHAPE = (2, 3, 4)
D = 24
BOTH_WAYS = pytest.mark.parametrize("way", ["traced", "autograd"])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Linear(nn.Module):
    """f(x) = A flat(x)."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("matrix", matrix)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.matrix.T


class Bent(Linear):
    """f(x) = A tanh(x), so J = A diag(1 - tanh(x)^2): another Jacobian at each image."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.tanh())

    def jacobian(self, images: Tensor) -> Tensor:
        return self.matrix * (1 - images.flatten(1).tanh() ** 2)[:, None]


def small_net() -> nn.Module:
    """Convolution, batch-norm with uneven statistics, pooling, a smooth bend: K = 6."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(2, 6, 2), nn.BatchNorm2d(6), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net[1].running_mean.copy_(random(6))
    net[1].running_var.copy_(random(6, seed=1).exp())
    return net.eval().requires_grad_(False)


def two_layers() -> nn.Module:
    """Two matrices with a bend between: K = 6."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(D, 20), nn.GELU(), nn.Linear(20, 6))
    enliven(net)
    return net.eval().requires_grad_(False)


def tiny_vit(**options: int) -> nn.Module:
    sizes = {"img_size": 8, "patch_size": 4, "in_chans": 2, "embed_dim": 24, "depth": 1, "num_heads": 2}
    net = timm.create_model("vit_tiny_patch16_224", num_classes=0, **sizes | options)
    enliven(net)
    return net.eval().requires_grad_(False)


def engine(f: Callable[[Tensor], Tensor], images: Tensor, *, way: str, plan: BatchPlan | None = None, **options):
    """An engine that goes one way or the other, whatever it would choose."""
    made = Engine(f, images[0], **options)
    assert made.backend is made.traced
    made.backend, made.plan = getattr(made, way), plan or made.plan
    return made


def spectra(f: nn.Module, images: Tensor) -> np.ndarray:
    return singular_values(Engine(f, images[0]).gram(images).gram.numpy())


def truth_of(f: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """J of each image by the shortest code there is."""
    return torch.stack([torch.autograd.functional.jacobian(lambda x: f(x[None])[0], x).flatten(1) for x in images])


def distance(found: Tensor, truth: Tensor) -> float:
    return float((found - truth).norm() / truth.norm())


# --- ground truth -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=lambda architecture: architecture.title)
def test_float32_scores_are_those_of_float64_autodiff_and_a_full_svd(architecture):
    encoder = build(architecture, small=True)
    inputs = inputs_of(encoder, "photo-tiles", 3)
    with torch.no_grad():
        k = encoder.module()(inputs).shape[1]
    found = compare(encoder.module(), inputs, plan=BatchPlan(1, k))  # one graph is enough
    assert found.rank > found.k // 3
    assert found.log_sigma_difference <= 1e-3
    assert found.score_difference <= 1e-2


def test_the_comparison_would_notice_a_wrong_network():
    encoder, other = (build(ARCHITECTURES[0], small=True) for _ in range(2))
    inputs = inputs_of(encoder, "photo-tiles", 1)
    with torch.no_grad():
        next(parameter for parameter in other.module().parameters() if parameter.ndim > 1).mul_(1.01)
    ours, theirs = (spectra(module.module(), inputs) for module in (other, encoder))
    assert np.abs(np.log(ours[:, :40]) - np.log(theirs[:, :40])).max() > 1e-3


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
    assert np.allclose(found[:, : len(expected)], expected, rtol=1e-5)
    assert np.allclose(found[:, len(expected) :], 0.0, atol=1e-6 * expected[0])  # K > D: nothing beyond D


def test_an_orthogonal_map_scores_zero():
    turn = Linear(torch.linalg.qr(random(D, D))[0])
    assert np.allclose(jepa_score(spectra(turn, random(3, *SHAPE)), D), 0.0, atol=1e-5)


def test_a_diagonal_scaling_scores_the_sum_of_its_logs():
    scale = random(D).exp()
    found = spectra(Linear(torch.diag(scale)), random(3, *SHAPE))
    assert np.allclose(jepa_score(found, D), float(scale.double().log().sum()), atol=1e-5)
    assert np.allclose(found, np.sort(scale.numpy())[::-1], rtol=1e-5)


def test_scaling_the_embedding_by_c_adds_k_log_c():
    matrix, images = random(5, D), random(2, *SHAPE)
    once, thrice = (jepa_score(spectra(Linear(c * matrix), images), 5) for c in (1.0, 3.0))
    assert np.allclose(thrice - once, 5 * np.log(3.0), atol=1e-5)


@BOTH_WAYS
def test_the_chain_rule_for_a_map_behind_a_bend_with_rows_and_pixels_in_their_order(way):
    net, images = Bent(random(5, D)), random(4, *SHAPE)
    made, expected = engine(net, images, way=way), net.jacobian(images)
    torch.testing.assert_close(made.jacobian(images), expected, rtol=1e-5, atol=1e-5)
    found = singular_values(made.gram(images).gram.numpy())
    assert np.allclose(found, torch.linalg.svdvals(expected.double()).numpy(), rtol=1e-5)


@BOTH_WAYS
def test_the_gram_is_float64_and_the_embedding_is_the_encoders(way):
    net, images = small_net(), random(3, *SHAPE)
    found = engine(net, images, way=way).gram(images)
    assert (found.gram.dtype, found.gram.shape) == (torch.float64, (3, 6, 6))
    assert found.embedding.dtype == torch.float32
    torch.testing.assert_close(found.embedding, net(images), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.gram, gram_matrix(truth_of(net, images)), rtol=1e-5, atol=1e-9)


@BOTH_WAYS
def test_an_encoder_in_float64_is_computed_in_float64(way):
    net, images = small_net().double(), random(2, *SHAPE).double()
    made = engine(net, images, way=way)
    assert made.jacobian(images).dtype == torch.float64
    assert distance(made.jacobian(images), truth_of(net, images)) <= 1e-12


def test_small_singular_values_survive_that_a_float32_gram_would_lose():
    sigma = torch.logspace(0, -5.5, 8, dtype=torch.float64)
    turn = torch.linalg.qr(random(D, 8).double())[0]
    found = spectra(Linear((torch.diag(sigma) @ turn.T).float()), random(1, *SHAPE))[0]
    assert np.allclose(np.log(found), sigma.log().numpy(), atol=0.05)


# --- chunks, batches, directions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("cotangents", [1, 4, 6, 9])
@BOTH_WAYS
def test_any_number_of_cotangents_and_of_images_at_a_time_gives_the_same(way, cotangents):
    net, images = small_net(), random(3, *SHAPE)
    rows = truth_of(net, images)
    made = engine(net, images, way=way, plan=BatchPlan(2, cotangents))
    torch.testing.assert_close(made.jacobian(images), rows, rtol=1e-5, atol=1e-5)
    found = made.gram(images)
    torch.testing.assert_close(found.gram, gram_matrix(rows), rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(found.embedding, net(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("plan", [BatchPlan(4, 6), BatchPlan(3, 1), BatchPlan(2, 4)])
@BOTH_WAYS
def test_images_do_not_influence_each_other(way, plan):
    net, images = small_net(), random(4, *SHAPE)
    made = engine(net, images, way=way, plan=plan)
    together = made.gram(images)
    for position in range(4):
        alone = made.gram(images[position : position + 1])
        torch.testing.assert_close(together.gram[position], alone.gram[0], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@BOTH_WAYS
def test_an_image_that_is_not_finite_spoils_only_its_own_gram(way, value):
    net, images = two_layers(), random(3, *SHAPE)
    made = engine(net, images, way=way, plan=BatchPlan(3, 6))
    expected = made.gram(images)
    images[1, 0, 0, 0] = value
    found = made.gram(images)
    assert not found.gram[1].isfinite().all()
    torch.testing.assert_close(found.gram[[0, 2]], expected.gram[[0, 2]], rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(found.embedding[[0, 2]], expected.embedding[[0, 2]])


def test_an_image_that_is_not_finite_does_not_decide_how_others_are_computed():
    net, images = two_layers(), random(2, *SHAPE)
    made = engine(net, images * torch.nan, way="traced")
    assert distance(made.jacobian(images), truth_of(net, images)) <= 1e-5


@BOTH_WAYS
def test_gradients_are_made_even_where_they_are_switched_off(way):
    net, images = Bent(random(5, D)), random(1, *SHAPE)
    with torch.no_grad():
        found = engine(net, images, way=way).jacobian(images)
    torch.testing.assert_close(found, net.jacobian(images), rtol=1e-5, atol=1e-5)


@BOTH_WAYS
def test_the_weights_and_the_images_are_left_as_they_were(way):
    net, images = small_net().requires_grad_(True), random(2, *SHAPE)
    before, weights = images.clone(), [value.clone() for value in net.state_dict().values()]
    found = engine(net, images, way=way).gram(images)
    assert torch.equal(images, before)
    assert not images.requires_grad
    assert not found.gram.requires_grad
    assert not found.embedding.requires_grad
    assert all(parameter.grad is None for parameter in net.parameters())
    for value, was in zip(net.state_dict().values(), weights, strict=True):
        assert torch.equal(value, was)


@BOTH_WAYS
def test_results_stay_as_they_are_when_the_engine_goes_on(way):
    net, images = two_layers(), random(2, *SHAPE)
    made = engine(net, images, way=way, plan=BatchPlan(1, 6))
    first, rows = made.gram(images[:1]), made.jacobian(images[:1])
    kept = [value.clone() for value in (first.gram, first.embedding, rows)]
    made.gram(images[1:])
    made.jacobian(images[1:])
    for value, was in zip((first.gram, first.embedding, rows), kept, strict=True):
        assert torch.equal(value, was)


def test_the_memory_of_images_may_be_in_another_order():
    net = small_net().to(memory_format=torch.channels_last)
    images = random(2, *SHAPE).to(memory_format=torch.channels_last)
    made = engine(net, images, way="traced")
    for backend in (made.traced, made.autograd):
        made.backend = backend
        assert distance(made.jacobian(images), truth_of(net, images)) <= 1e-5


@pytest.mark.parametrize("plan", [BatchPlan(2, 6), BatchPlan(1, 4)])
@pytest.mark.parametrize("r", [1, 4, 10])
@BOTH_WAYS
def test_the_gram_along_directions_is_the_grams_part_along_them(way, r, plan):
    net, images, directions = small_net(), random(2, *SHAPE), random(r, 6, seed=5)
    made = engine(net, images, way=way, plan=plan)
    rows, wide = truth_of(net, images), directions.double()
    found = made.gram(images, directions)
    assert distance(found.gram, wide @ gram_matrix(rows) @ wide.T) <= 1e-5
    torch.testing.assert_close(found.embedding, net(images), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(made.jacobian(images, directions), directions @ rows, rtol=0, atol=1e-5)
