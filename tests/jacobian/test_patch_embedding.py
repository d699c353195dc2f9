"""A patch embedding at the input is replaced by a factor of its Gram, and by nothing else."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from jepa_core.jacobian.gram import gram_matrix
from jepa_core.jacobian.graph_steps.cut_patch_embedding import cut_patch_embedding
from jepa_core.jacobian.graph_steps.trace import trace
from tests.jacobian.test_linearize import Net, average, difference, engine_of, member, random, seed  # noqa: F401


def weight_left_out(net: Callable[[Tensor], Tensor], size: int = 16) -> Tensor | None:
    return cut_patch_embedding(trace(net, torch.zeros(1, 3, size, size), 1))


def cut_of(net: Callable[[Tensor], Tensor]) -> Tensor | None:
    """The patch embedding's weight that the usual way leaves out; the Jacobian is right either way."""
    engine = engine_of(net)
    assert engine.backend is engine.traced
    assert difference(engine, random(1, 3, 16, 16)) <= 1e-5
    return weight_left_out(net)


def test_the_patch_embedding_of_a_vit_is_left_out():
    net, _engine, size = member("DINOv2, registers")
    assert torch.equal(weight_left_out(net, size), net.patch_embed.proj.weight)


def test_the_stem_of_a_convnext_is_left_out():
    net, _engine, size = member("ConvNeXt")
    assert torch.equal(weight_left_out(net, size), net.stem[0].weight)


def test_the_stem_of_a_resnet_is_not_left_out():
    net, _engine, size = member("ResNet, ReLU")
    assert weight_left_out(net, size) is None


def test_patches_need_not_be_square():
    net = Net(average, nn.Conv2d(3, 8, (2, 8), (2, 8)))
    assert torch.equal(cut_of(net), net.patches.weight)


@pytest.mark.parametrize(
    "patches",
    [
        nn.Conv2d(3, 8, 4, 4, padding=1),
        nn.Conv2d(3, 8, 8, 6),
        nn.Conv2d(3, 8, 2, 4),
        nn.Conv2d(3, 8, 3, 3),
        nn.Conv2d(3, 8, 2, 2, dilation=2),
        nn.Conv2d(3, 6, 4, 4, groups=3),
        nn.ConvTranspose2d(3, 8, 2, 2),
        nn.Sequential(nn.Hardtanh(), nn.Conv2d(3, 8, 4, 4)),
    ],
    ids=["padding", "overlap", "gaps", "a rest", "dilation", "groups", "transposed", "not at the end"],
)
def test_another_convolution_is_not_left_out(patches):
    if patches.__class__ is nn.Conv2d and patches.groups == 3:
        patches = nn.Sequential(patches, nn.Conv2d(6, 8, 1))
    assert cut_of(Net(average, patches)) is None


def test_two_patch_embeddings_of_one_image_are_not_left_out():
    net = Net(average)
    other = Net(average, nn.Conv2d(3, 8, 2, 2))
    assert cut_of(lambda images: net(images) * other(images)) is None


@pytest.mark.parametrize("width", [16, 48, 96], ids=["narrower", "equal", "wider"])
def test_the_gram_by_the_narrow_factor_is_that_of_the_pixel_rows(width):
    # Patches of 3 x 4 x 4 = 48 pixels.
    patches = nn.Sequential(nn.Conv2d(3, width, 4, 4), nn.GELU(), nn.Conv2d(width, 8, 1))
    engine, images = engine_of(Net(average, patches)), random(1, 3, 16, 16)
    expected = gram_matrix(engine.jacobian(images))
    found = engine.gram(images).gram
    assert float((found - expected).norm() / expected.norm()) <= 1e-6
    assert next(engine.rows(images)).rows.shape == (1, 8, 16 * min(width, 48))


def test_a_patch_embedding_of_low_rank_has_a_narrow_factor_too():
    net, images = Net(average), random(2, 3, 16, 16)
    net.patches.weight.copy_((random(8, 3) @ random(3, 48)).view(8, 3, 4, 4))
    engine = engine_of(net)
    expected = gram_matrix(engine.jacobian(images))
    assert float((engine.gram(images).gram - expected).norm() / expected.norm()) <= 1e-6
