"""What can be seen of a picture: each measure sees what it is named for, and hardly what was done to the file."""

import io

import numpy as np
import pytest
from PIL import Image

from jepa_core.confounds.visible import VISIBLE, measured
from jepa_core.datasets.disturbances import disturb
from jepa_core.datasets.registry import get_dataset
from jepa_core.images import decode

NAMES = [measure.name for measure in VISIBLE]
SIDE = 96


def photographs(count: int = 12) -> list[Image.Image]:
    items = list(get_dataset("scenes-test").items())
    return [decode(item.read()).image.convert("RGB").resize((SIDE, SIDE), 3) for item in items[:: len(items) // count]]


PICTURES = photographs()


def seen(picture: Image.Image, scale: float = 1.0) -> dict[str, float]:
    return dict(zip(NAMES, measured(picture, scale).tolist(), strict=True))


@pytest.mark.parametrize(
    ("kind", "name", "sign"),
    [
        ("no colour", "colourfulness", -1),
        ("dark", "brightness", -1),
        ("bright", "brightness", 1),
        ("low contrast", "contrast", -1),
        ("border", "border", 1),
        ("blur", "detail", -1),
        ("noise", "noise", 1),
        ("noise", "colour noise", 1),
        ("JPEG", "blocks", 1),
    ],
)
def test_a_disturbance_moves_the_measure_that_is_named_for_it(kind, name, sign):
    moved = [sign * (seen(disturb(kind, one, np.random.default_rng(0)))[name] - seen(one)[name]) for one in PICTURES]
    assert np.median(moved) > 0
    assert np.mean(np.array(moved) > -1e-6) > 0.7


def _packed(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


@pytest.mark.parametrize("quality", [90, 75, 50])
def test_packing_moves_no_measure_by_as_much_as_pictures_differ(quality):
    before = np.array([measured(one, 1.0) for one in PICTURES])
    after = np.array([measured(_packed(one, quality), 1.0) for one in PICTURES])
    spread = before.std(axis=0)
    moved = np.median(np.abs(after - before), axis=0)
    for name, share in zip(NAMES, moved / np.maximum(spread, 1e-6), strict=True):
        if name not in ("border", "blocks"):  # of a border nobody has one here, and blocks are what packing makes
            assert share < 0.5, name


def test_blocks_are_found_at_the_scale_that_they_were_enlarged_to():
    rng = np.random.default_rng(0)
    for scale in (1.0, 1.5):
        found = []
        for one in PICTURES:
            hard = disturb("JPEG", one, rng)
            side = round(SIDE * scale)
            with_blocks, without = (seen(each.resize((side, side), 3), scale)["blocks"] for each in (hard, one))
            found.append(with_blocks - without)
        assert np.median(found) > 0


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (16, 40), (200, 60)])
def test_any_crop_has_finite_measures(mode, size):
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).convert(mode)
    for picture in (noise, Image.new(mode, size, 0)):
        assert np.isfinite(measured(picture, 1.0)).all()


def test_a_border_is_the_share_of_its_area_and_an_even_picture_has_none():
    framed = Image.new("RGB", (100, 100), (0, 0, 0))
    framed.paste(PICTURES[0].resize((80, 80)), (10, 10))
    assert seen(framed)["border"] == pytest.approx(1 - 0.8 * 0.8, abs=0.03)
    assert seen(Image.new("RGB", (50, 50), (9, 9, 9)))["border"] == 0
