"""Pictures back to bytes: for a page, for the store, and the digest that names them."""

import io

import numpy as np
import pytest
from PIL import Image

from jepa_core import images
from tests.test_images import COLOURS, RNG, pixels


@pytest.mark.parametrize(
    ("size", "shown"),
    [((8, 8), (256, 256)), ((64, 64), (256, 256)), ((100, 30), (200, 60)), ((200, 256), (200, 256))],
)
def test_a_small_picture_is_shown_enlarged_by_a_whole_factor(size, shown):
    picture = Image.fromarray(RNG.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    enlarged = Image.open(io.BytesIO(images.display_png(picture)))
    factor = shown[0] // size[0]
    assert enlarged.size == shown
    assert np.array_equal(np.asarray(enlarged)[::factor, ::factor], np.asarray(picture))


def test_a_large_picture_is_shown_reduced():
    assert Image.open(io.BytesIO(images.display_png(Image.new("RGB", (1000, 500)), size=128))).size == (128, 64)


def test_display_leaves_the_picture_alone():
    picture = Image.new("RGB", (1000, 500))
    images.display_png(picture)
    assert picture.size == (1000, 500)


@pytest.mark.parametrize("array", [COLOURS, COLOURS[..., 0], COLOURS[::2, ::-3]])
def test_ppm_and_png_bring_the_pixels_back(array):
    seen = array if array.ndim == 3 else np.stack([array] * 3, axis=2)
    assert np.array_equal(pixels(images.encode_ppm(array)), seen)
    assert np.array_equal(pixels(images.to_png(Image.fromarray(np.ascontiguousarray(array)))), seen)


@pytest.mark.parametrize("array", [COLOURS.astype(float), COLOURS[..., :2], COLOURS[0, 0]])
def test_ppm_takes_uint8_pictures_only(array):
    with pytest.raises(ValueError, match=r"^A picture must be uint8 \(H, W\) or \(H, W, 3\)\. Got "):
        images.encode_ppm(array)


def test_digest_is_sha256():
    assert images.digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
