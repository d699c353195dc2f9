"""Disturbances: each changes the picture in its own way, by the seed, and keeps its size."""

import numpy as np
import pytest
from PIL import Image

from jepa_core.datasets.disturbances import KINDS, disturb
from jepa_core.datasets.registry import get_dataset
from jepa_core.images import decode


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return decode(get_dataset("scenes-test").item(0).read()).image.convert("RGB")


@pytest.mark.parametrize("kind", KINDS)
def test_it_changes_the_picture_by_the_seed_and_keeps_its_size(kind: str, picture: Image.Image) -> None:
    first, again = (disturb(kind, picture, np.random.default_rng(3)) for _ in range(2))
    assert first.size == picture.size
    assert first.mode == "RGB"
    assert first.tobytes() == again.tobytes() != picture.tobytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(8, 8), (1, 40), (500, 90)])
def test_it_takes_pictures_of_any_size_and_mode(kind: str, size: tuple[int, int]) -> None:
    assert disturb(kind, Image.new("L", size, 90), np.random.default_rng(0)).size == size


def test_they_do_what_their_names_say(picture: Image.Image) -> None:
    made = {kind: np.asarray(disturb(kind, picture, np.random.default_rng(1)), dtype=np.float64) for kind in KINDS}
    was = np.asarray(picture, dtype=np.float64)
    assert np.ptp(made["no colour"], axis=2).max() == 0
    assert made["dark"].mean() < 0.4 * was.mean()
    assert made["bright"].mean() > was.mean()
    assert made["low contrast"].std() < 0.4 * was.std()
    assert np.ptp(made["border"][:3]) == 0
    assert made["border"][0, 0, 0] in (0, 255)
    rough = {kind: np.abs(np.diff(one, axis=1)).mean() for kind, one in made.items()}
    assert rough["blur"] < 0.7 * np.abs(np.diff(was, axis=1)).mean() < rough["noise"]
    assert made["watermark"].mean() > was.mean()
