"""Measures of planted pictures: flat, noise, a ramp, grey and vivid, enlarged."""

import numpy as np
import pytest
from PIL import Image

from jepa_core.confounds import image_stats
from jepa_core.confounds.image_stats import MEASURES

CONFIG = {
    "input_size": [3, 32, 32],
    "interpolation": "bicubic",
    "crop_pct": 1.0,
    "crop_mode": "center",
    "mean": [0.5, 0.5, 0.5],
}
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8)
RAMP = np.repeat(np.tile(np.arange(0, 256, 8, dtype=np.uint8), (32, 1))[:, :, None], 3, axis=2)


def flat(red: int, green: int, blue: int) -> np.ndarray:
    return np.full((32, 32, 3), (red, green, blue), np.uint8)


def measured(pixels: np.ndarray, **changes: object) -> dict[str, float]:
    values = image_stats.measured(Image.fromarray(pixels), CONFIG | changes)
    return dict(zip(MEASURES, values.tolist(), strict=True))


def test_an_even_picture_has_nothing_but_brightness():
    found = measured(flat(64, 64, 64))
    assert found.pop("brightness") == 64
    assert found.pop("upscaling") == 1
    assert found.pop("fine_detail") == -4
    assert found.pop("png_size") == pytest.approx(0, abs=0.2)
    assert found.pop("jpeg_size") == pytest.approx(0, abs=0.2)
    assert set(found.values()) == {0}


@pytest.mark.parametrize("name", ["jpeg_size", "gradient_energy", "entropy"])
def test_noise_is_more_complex_than_a_ramp_and_a_ramp_than_nothing(name):
    nothing, ramp, noise = (measured(pixels)[name] for pixels in (flat(9, 9, 9), RAMP, NOISE))
    assert nothing + 0.05 < ramp < noise - 0.05


@pytest.mark.parametrize("name", ["png_size", "fine_detail"])
def test_a_ramp_is_as_simple_as_nothing_to_what_sees_differences(name):
    nothing, ramp, noise = (measured(pixels)[name] for pixels in (flat(9, 9, 9), RAMP, NOISE))
    assert nothing == pytest.approx(ramp, abs=0.2)
    assert noise > ramp + 1


def test_noise_cannot_be_packed():
    assert measured(NOISE)["png_size"] == pytest.approx(24, abs=1)


def test_a_ramp_is_known_in_closed_form():
    found = measured(RAMP)
    assert found["gradient_energy"] == pytest.approx(np.log10(1 + 8**2))
    assert found["entropy"] == pytest.approx(5)
    assert found["brightness"] == pytest.approx(124)
    assert found["contrast"] == pytest.approx(8 * np.sqrt((32**2 - 1) / 12))


def test_where_the_grey_levels_are_changes_entropy_not_and_gradients_much():
    shuffled = RNG.permutation(RAMP.reshape(-1, 3)).reshape(RAMP.shape)
    assert measured(shuffled)["entropy"] == measured(RAMP)["entropy"]
    assert measured(shuffled)["gradient_energy"] > measured(RAMP)["gradient_energy"] + 1


def test_vivid_colours_are_colourful_and_grey_ones_are_not():
    assert measured(RAMP)["colourfulness"] == 0
    # rg = 200 and yb = 100 everywhere: no spread, and 0.3 of the mean's length.
    assert measured(flat(200, 0, 0))["colourfulness"] == pytest.approx(0.3 * np.hypot(200, 100))
    assert measured(NOISE)["colourfulness"] > measured(NOISE // 4)["colourfulness"] > 10


def test_what_a_grey_encoder_scores_has_no_colour():
    found = measured(flat(200, 0, 0), input_size=[1, 32, 32])
    assert (found["colourfulness"], found["brightness"]) == (0, 60)  # luma of red: 0.299 x 200, rounded


def test_enlargement_is_told_and_leaves_little_fine_detail():
    sharp, enlarged = measured(NOISE), measured(NOISE[:8, :8])
    assert (sharp["upscaling"], enlarged["upscaling"]) == (1, 4)
    assert enlarged["fine_detail"] < sharp["fine_detail"] - 1
    reduced = measured(np.repeat(np.repeat(NOISE, 2, axis=0), 2, axis=1))
    assert reduced["upscaling"] == 1, "a reduced picture is as sharp as any"
    kept = np.asarray(Image.fromarray(NOISE[:8, :8]).resize((32, 32), Image.Resampling.BICUBIC))
    again = measured(kept)
    assert again["upscaling"] == 1, "the file says nothing of it"
    assert again["fine_detail"] == enlarged["fine_detail"], "its pixels do"


def test_measures_are_of_the_crop_that_is_scored():
    framed = np.zeros((64, 128, 3), np.uint8)
    framed[:, 24:104] = 200  # more than the middle square, whose edge the resize would blur
    assert measured(framed)["brightness"] == 200
    assert measured(framed)["contrast"] == 0
    assert measured(framed, crop_mode="squash")["brightness"] < 180


def test_the_registry_is_frozen_and_says_what_each_measure_is():
    with pytest.raises(TypeError):
        MEASURES["another"] = MEASURES["entropy"]
    for name, one in MEASURES.items():
        assert (one.name, one.of.__name__) == (name, name)
        assert all((one.title, one.unit, one.low, one.high))
        assert one.meaning.endswith(".")
        assert "\n" not in one.meaning
