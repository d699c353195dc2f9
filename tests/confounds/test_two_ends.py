"""What sets two ends apart at sight: the measure that does, in the right direction, and nothing where none does."""

import numpy as np
import pytest
from PIL import Image

from jepa_core.confounds import image_stats, two_ends


def pictures(colour: tuple[int, int, int], count: int, seed: int) -> np.ndarray:
    """Measures of noisy pictures of a colour."""
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        values = np.array(colour) + draw.normal(0, 10, (16, 16, 1))
        crop = Image.fromarray(values.clip(0, 255).astype(np.uint8))
        found.append(image_stats.measured_crop(crop, 1.0))
    return np.stack(found)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ((200, 40, 40), (88, 88, 88), "colourfulness: the least likely are colourful (.*), the most likely grey"),
        ((88, 88, 88), (200, 40, 40), "colourfulness: the least likely are grey (.*), the most likely colourful"),
        ((30, 30, 30), (220, 220, 220), "brightness: the least likely are dark (.*), the most likely bright"),
    ],
)
def test_the_measure_that_differs_is_named_with_the_means_of_both_ends(first, second, words):
    least, most = pictures(first, 8, 0), pictures(second, 8, 1)
    found = two_ends.in_words(least, most)
    title, rest = words.split(": ")
    assert found.startswith(f"The two ends differ at sight in {title}: ")
    at = next(place for place, one in enumerate(image_stats.MEASURES.values()) if one.title == title)
    for mean in (least[:, at].mean(), most[:, at].mean()):
        assert (f"({mean:.0f})" if mean >= 10 else f"({mean:.1f})") in found
    for part in rest.split(" (.*)"):
        assert part in found


def test_a_difference_that_nobody_sees_is_not_told_however_clear():
    least, most = (np.full((8, len(image_stats.MEASURES)), value) for value in (100.0, 100.25))
    assert two_ends.in_words(least, most) == ""
    assert set(two_ends.SEEN) < set(image_stats.MEASURES)


def test_nothing_is_said_of_ends_that_are_alike_or_of_too_few_images():
    alike = pictures((90, 90, 90), 40, 0)
    assert two_ends.in_words(alike[:20], alike[20:]) == ""
    assert two_ends.in_words(pictures((0, 0, 0), 3, 0), pictures((255, 255, 255), 3, 1)) == ""
