"""Drawn pictures: the same bytes whenever and in whatever order they are drawn, and of the class they say."""

import numpy as np
import pytest

from jepa_core.datasets import synthetic
from jepa_core.images import digest, encode_ppm

DOMAINS = {
    "noise": (synthetic.noise, 32),
    "flat": (synthetic.flat, 32),
    "photo tile": (synthetic.photo_tile, 64),
    "shape": (synthetic.shape, 64),
    "galaxy": (synthetic.galaxy, 64),
}


@pytest.mark.parametrize(("draw", "size"), DOMAINS.values(), ids=DOMAINS)
def test_a_picture_is_uint8_rgb(draw, size):
    picture = draw(0)
    assert (picture.shape, picture.dtype) == ((size, size, 3), np.uint8)


@pytest.mark.parametrize("draw", [draw for draw, _ in DOMAINS.values()], ids=DOMAINS)
def test_a_picture_does_not_depend_on_those_drawn_before(draw):
    forwards = [digest(encode_ppm(draw(position))) for position in range(12)]
    backwards = [digest(encode_ppm(draw(position))) for position in reversed(range(12))]
    assert forwards == backwards[::-1]
    assert len(set(forwards)) == 12


# Shipped scores are filed under these bytes. A change here means: make the shipped tables anew.
@pytest.mark.parametrize(
    ("draw", "start"),
    [
        (synthetic.noise, "5e1f0e44adde60ee"),
        (synthetic.flat, "7b693bbe778c17a6"),
        (synthetic.photo_tile, "37d9e308a091696b"),
        (synthetic.shape, "b9577905f643c4a8"),
        (synthetic.galaxy, "27b10ea3e8798a90"),
    ],
)
def test_the_bytes_are_those_that_shipped_scores_were_made_of(draw, start):
    together = b"".join(encode_ppm(draw(position)) for position in (0, 1, 2, 17, 299))
    assert digest(together)[:16] == start


def test_each_shape_and_galaxy_takes_its_turn():
    assert [synthetic.shape_label(position) for position in range(10, 20)] == list(synthetic.SHAPES)
    assert [synthetic.galaxy_label(position) for position in range(3, 6)] == ["spiral", "elliptical", "edge-on"]
    assert [synthetic.photo_label(position) for position in range(3)] == ["china", "flower", "china"]


def test_noise_is_uniform():
    values = np.concatenate([synthetic.noise(position).ravel() for position in range(20)])
    shares = np.bincount(values, minlength=256) / len(values)
    assert np.abs(shares * 256 - 1).max() < 0.35  # a share's spread is 6 %
    assert abs(np.corrcoef(values[:-3], values[3:])[0, 1]) < 0.02


def test_flat_is_one_colour_and_another_each_time():
    colours = {tuple(np.unique(synthetic.flat(position).reshape(-1, 3), axis=0).ravel()) for position in range(50)}
    assert all(len(colour) == 3 for colour in colours)
    assert len(colours) == 50


@pytest.mark.parametrize("position", range(6))
def test_a_tile_is_cut_from_the_photo_it_names(position):
    from sklearn.datasets import load_sample_image

    photo = load_sample_image(f"{synthetic.photo_label(position)}.jpg")
    tile = synthetic.photo_tile(position)
    corners = np.argwhere((photo[:-63, :-63] == tile[0, 0]).all(axis=2))
    assert any(np.array_equal(photo[top : top + 64, left : left + 64], tile) for top, left in corners)


def area_of(label: str, radius: float = 20.0) -> float:
    x, y = synthetic._grid(0.3, (32.0, 32.0))
    return float((synthetic._SHAPES[label](x, y, radius) < 0).sum() / radius**2)


@pytest.mark.parametrize(
    ("label", "area"),  # in squares of the radius
    [
        ("disc", np.pi),
        ("ring", np.pi * (1.0 - 0.6**2)),
        ("square", 1.64**2),
        ("triangle", 1.1**2 * 3 * np.sqrt(3) / 4),
        ("hexagon", 3 * np.sqrt(3) / 2),
        ("star", 1.1**2 * 5 * 0.45 * np.sin(np.pi / 5)),
        ("cross", 4 * 0.6 - 0.36),
        ("arrow", 0.5 * 1.6 * 0.9 + 1.05 * 0.64),
    ],
)
def test_shapes_have_the_area_of_their_geometry(label, area):
    assert area_of(label) == pytest.approx(area, rel=0.02)


@pytest.mark.parametrize("label", synthetic.SHAPES)
def test_distance_to_an_outline_grows_by_a_pixel_per_pixel(label):
    """Else edges would be more, or less, than one pixel soft."""
    x, y = synthetic._grid(0.7, (32.0, 32.0))
    distance = synthetic._SHAPES[label](x, y, 20.0)
    slope = np.hypot(*np.gradient(distance))
    assert np.median(slope[np.abs(distance) < 1.5]) == pytest.approx(1.0, abs=0.1)


def test_shapes_lie_within_the_picture_and_stand_out():
    for position in range(0, 300, 7):
        picture = synthetic.shape(position).astype(float)
        border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
        ground = border.mean(axis=0)
        assert np.abs(border - ground).max() < 45, "only the shading reaches the border"
        assert np.abs(picture - ground).sum(axis=2).max() > 120, "the ink can be told from the ground"


def test_a_disc_is_never_outlined():
    """It would be a ring."""
    for position in range(0, 300, len(synthetic.SHAPES)):
        picture = synthetic.shape(position).astype(float)
        contrast = np.abs(picture - picture[0, 0]).sum(axis=2)
        ink = picture[np.unravel_index(contrast.argmax(), contrast.shape)]
        inked = np.abs(picture - ink).sum(axis=2) < 10
        rows, columns = np.nonzero(inked)
        assert inked[(rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2]


def elongation(picture: np.ndarray) -> float:
    """Longest over shortest axis of the light's ellipse of inertia."""
    light = picture.astype(float).mean(axis=2)
    light = np.maximum(light - 0.15 * light.max(), 0)
    rows, columns = np.mgrid[0:64, 0:64]
    spread = np.cov(np.stack([rows.ravel(), columns.ravel()]), aweights=light.ravel())
    low, high = np.linalg.eigvalsh(spread)
    return float(np.sqrt(high / low))


def blueness(picture: np.ndarray) -> float:
    red, _, blue = picture.astype(float).sum(axis=(0, 1))
    return float(blue / red)


def test_galaxies_look_as_their_class_says():
    by_class = {label: [] for label in synthetic.GALAXIES}
    for position in range(90):
        by_class[synthetic.galaxy_label(position)].append(synthetic.galaxy(position))
    longish = {label: np.median([elongation(picture) for picture in pictures]) for label, pictures in by_class.items()}
    blue = {label: np.median([blueness(picture) for picture in pictures]) for label, pictures in by_class.items()}
    assert longish["edge-on"] > 1.5 * max(longish["elliptical"], longish["spiral"])
    assert blue["spiral"] > 1.1 > blue["elliptical"]


def test_the_sky_is_dark_and_the_core_bright():
    for position in range(30):
        light = synthetic.galaxy(position).mean(axis=2)
        assert np.median(light) < 70
        assert light[24:40, 24:40].max() > 150
