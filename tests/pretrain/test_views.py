"""Random views: what each option does to a picture, and that it does no more."""

from dataclasses import replace

import pytest
import torch

from jepa_core.pretrain.views import ViewRange, _affine, _colour_matrix, _Draw, random_views

SPAN = ViewRange(
    zoom=(0.8, 1.5), stretch=0.2, rotation=20, shear=0.2, shift=0.1, bend=0.05, contrast=0.3, erase=0.5, noise=0.1
)
PHOTO = ViewRange(
    zoom=(1.0, 3.0),
    stretch=0.3,
    rotation=10,
    inside=True,
    outside="reflection",
    flip=True,
    saturation=0.4,
    hue=0.1,
    grey=0.3,
    contrast=0.3,
    brightness=0.1,
    blur=1.0,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramp(side: int, count: int = 64) -> torch.Tensor:
    """Pictures whose first two channels are the place: 0 at the left (top) edge, 1 at the right (bottom) one."""
    place = (torch.arange(side) + 0.5) / side
    one = torch.stack([place.expand(side, side), place[:, None].expand(side, side), torch.zeros(side, side)])
    return one.repeat(count, 1, 1, 1)


PICTURES = torch.rand(32, 3, 16, 16, generator=seeded())


@pytest.mark.parametrize("span", [SPAN, PHOTO])
@pytest.mark.parametrize("size", [(16, 16), (8, 8), (12, 20)])
def test_have_the_size_asked_for_and_stay_in_range(span: ViewRange, size: tuple[int, int]):
    views = random_views(PICTURES, span, size, seeded())
    assert views.shape == (32, 3, *size)
    assert float(views.min()) >= 0
    assert float(views.max()) <= 1


@pytest.mark.parametrize("span", [SPAN, PHOTO])
def test_follow_their_seed(span: ViewRange):
    first, again, other = (random_views(PICTURES, span, (16, 16), seeded(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_of_no_span_are_the_pictures():
    assert torch.allclose(random_views(PICTURES, ViewRange(), (16, 16), seeded()), PICTURES, atol=1e-5)


def test_differ_between_pictures_of_a_batch():
    same = PICTURES[:1].repeat(2, 1, 1, 1)
    first, second = random_views(same, SPAN, (16, 16), seeded())
    assert not torch.equal(first, second)


def test_zoom_above_one_shows_a_part():
    middle = torch.zeros(1, 1, 16, 16)
    middle[..., 6:10, 6:10] = 1
    view = random_views(middle, ViewRange(zoom=(2, 2)), (16, 16), seeded())
    assert view.sum() == pytest.approx(4 * 16, rel=0.05)


def test_a_view_of_half_the_size_is_the_mean_of_its_pixels():
    """Single lines would vanish or double where every second pixel were taken."""
    stripes = torch.zeros(1, 1, 32, 32)
    stripes[..., ::2] = 1
    view = random_views(stripes, ViewRange(), (16, 16), seeded())
    assert torch.allclose(view, torch.full_like(view, 0.5), atol=1e-5)


@pytest.mark.parametrize("zoom", [(1.0, 1.0), (1.0, 4.0), (2.0, 2.0)])
@pytest.mark.parametrize("bent", [{}, {"stretch": 0.5, "rotation": 30, "shear": 0.3}])
def test_inside_shows_nothing_beyond_the_frame(zoom: tuple[float, float], bent: dict[str, float]):
    corners = torch.tensor([[x, y, 1.0] for x in (-1, 1) for y in (-1, 1)])
    reached = _affine(ViewRange(zoom=zoom, inside=True, flip=True, **bent), _Draw(500, seeded())) @ corners.T
    assert float(reached.abs().max()) <= 1 + 1e-6  # the frame runs from -1 to 1
    assert float(reached.abs().max()) > 0.97
    beyond = _affine(ViewRange(zoom=zoom, shift=0.4, **bent), _Draw(500, seeded())) @ corners.T
    assert float(beyond.abs().max()) > 1.1


def test_inside_comes_to_all_places():
    middles = random_views(ramp(32, 400), ViewRange(zoom=(4, 4), inside=True), (8, 8), seeded()).mean(dim=(2, 3))
    for axis in (0, 1):  # a quarter of the side is seen, so middles lie from 1/8 to 7/8
        assert float(middles[:, axis].min()) < 0.16
        assert float(middles[:, axis].max()) > 0.84
        assert float(middles[:, axis].mean()) == pytest.approx(0.5, abs=0.05)


def test_reflection_has_no_black_border():
    white = torch.ones(64, 1, 16, 16)
    far = ViewRange(zoom=(0.5, 0.7), rotation=45, shift=0.3)
    assert float(random_views(white, far, (16, 16), seeded()).min()) == 0
    mirrored = random_views(white, replace(far, outside="reflection"), (16, 16), seeded())
    assert float(mirrored.min()) == pytest.approx(1, abs=1e-5)


def test_flip_mirrors_about_half_of_the_views_left_to_right():
    pictures = ramp(16, 400)
    views = random_views(pictures, ViewRange(flip=True), (16, 16), seeded())
    mirrored = torch.isclose(views, pictures.flip(3), atol=1e-5).flatten(1).all(dim=1)
    kept = torch.isclose(views, pictures, atol=1e-5).flatten(1).all(dim=1)
    assert bool((mirrored ^ kept).all())
    assert 150 < int(mirrored.sum()) < 250


def luma(pictures: torch.Tensor) -> torch.Tensor:
    return (pictures * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1)


@pytest.mark.parametrize("change", [{"saturation": 0.5}, {"hue": 0.1}, {"grey": 0.5}])
def test_colour_changes_leave_brightness_and_greys_alone(change: dict[str, float]):
    muted = 0.5 + 0.2 * (PICTURES - 0.5)  # so that nothing is clamped
    views = random_views(muted, ViewRange(**change), (16, 16), seeded())
    assert not torch.allclose(views, muted, atol=1e-2)
    assert torch.allclose(luma(views), luma(muted), atol=1e-5)
    greys = muted[:, :1].expand(-1, 3, -1, -1)
    assert torch.allclose(random_views(greys, ViewRange(**change), (16, 16), seeded()), greys, atol=1e-5)


def test_the_share_of_grey_views_is_that_asked_for():
    views = random_views(PICTURES[:1].repeat(400, 1, 1, 1), ViewRange(grey=0.25), (16, 16), seeded())
    colourless = (views - views.mean(dim=1, keepdim=True)).abs().amax(dim=(1, 2, 3)) < 1e-5
    assert 70 < int(colourless.sum()) < 130


def test_a_hue_turned_thrice_by_a_third_is_itself():
    """Turns that are no turns (a shear, a wrong plane) would not come back."""

    class Third(_Draw):
        def around(self, centre: float, reach: float) -> torch.Tensor:
            return torch.full((self.count,), centre + reach)

    matrix = _colour_matrix(ViewRange(hue=1 / 3), Third(1, seeded()))[0]
    assert not torch.allclose(matrix, torch.eye(3), atol=0.1)
    assert torch.allclose(matrix @ matrix @ matrix, torch.eye(3), atol=1e-5)


def test_contrast_multiplies_and_brightness_adds():
    half = torch.full((200, 1, 8, 8), 0.5)
    for span in (ViewRange(contrast=0.4), ViewRange(brightness=0.2)):
        values = random_views(half, span, (8, 8), seeded())[:, 0, 0, 0]
        assert float(values.min()) == pytest.approx(0.3, abs=0.02)
        assert float(values.max()) == pytest.approx(0.7, abs=0.02)
    dark = torch.zeros(50, 1, 8, 8)
    assert float(random_views(dark, ViewRange(contrast=0.4), (8, 8), seeded()).max()) == 0
    assert float(random_views(dark, ViewRange(brightness=0.2), (8, 8), seeded()).max()) > 0.15


def test_blur_spreads_a_point_in_about_half_of_the_views_and_keeps_its_sum():
    point = torch.zeros(400, 1, 15, 15)
    point[..., 7, 7] = 1
    views = random_views(point, ViewRange(blur=1.5), (15, 15), seeded())
    assert torch.allclose(views.sum(dim=(1, 2, 3)), torch.ones(400), atol=1e-4)
    assert torch.allclose(views, views.flip(2), atol=1e-6)
    assert torch.allclose(views, views.transpose(2, 3), atol=1e-6)
    sharp = views[:, 0, 7, 7] > 0.999
    assert 150 < int(sharp.sum()) < 270  # a width near 0 does not show
    assert float(views[:, 0, 7, 7].min()) < 0.1
    white = torch.ones(8, 1, 15, 15)
    assert torch.allclose(random_views(white, ViewRange(blur=1.5), (15, 15), seeded()), white, atol=1e-5)
