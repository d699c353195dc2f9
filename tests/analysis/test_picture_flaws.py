"""Flaws of pictures: each kind is told, with words that hold, and pictures without any are not."""

import numpy as np
import pytest
from PIL import Image

from jepa_core import images
from jepa_core.analysis import picture_facts
from jepa_core.analysis.picture_flaws import flaws
from jepa_core.datasets.disturbances import disturb
from jepa_core.datasets.registry import get_dataset


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    """Tiles of three colourful photographs."""
    scenes = get_dataset("scenes-train")
    found = [item for label in ("cat", "coffee", "tissue") for item in scenes.items(label)]
    return [images.decode(item.read()).image for item in found[::2]]


def told(pictures: list[Image.Image]) -> list[list[str]]:
    return flaws([picture_facts.read(picture_facts.look_at(picture.convert("RGB"))) for picture in pictures])


def test_ordinary_pictures_have_none(photos: list[Image.Image]) -> None:
    assert sum(bool(one) for one in told(photos)) <= 3


@pytest.mark.parametrize(
    ("kind", "word"), [("no colour", "no colour"), ("dark", "dark"), ("bright", "bright"), ("blur", "blurred")]
)
def test_a_disturbed_picture_is_told_by_its_word(photos: list[Image.Image], kind: str, word: str) -> None:
    rng = np.random.default_rng(0)
    for place in (5, 25, 45):
        changed = disturb(kind, photos[place], rng)
        found = told([*photos[:place], changed, *photos[place + 1 :]])[place]
        assert any(reason.startswith(word) for reason in found), (place, found)


def test_blank_and_odd_pictures_are_told(photos: list[Image.Image]) -> None:
    side = photos[0].width
    odd = [
        Image.new("RGB", (side, side), (90, 90, 90)),
        photos[1].resize((8 * side, 8 * side)),
        photos[2].crop((0, 0, side, 8)),
    ]
    found = told([*photos, *odd])[len(photos) :]
    assert found[0][0] == "blank"
    assert f"odd size ({8 * side} x {8 * side} pixels)" in found[1]
    assert f"odd shape ({side} x 8 pixels)" in found[2]


def test_where_many_are_dark_none_is_odd_for_it(photos: list[Image.Image]) -> None:
    dark = [disturb("dark", picture, np.random.default_rng(0)) for picture in photos[:20]]
    assert not any("dark" in reason for one in told([*photos, *dark]) for reason in one)


def test_a_grey_set_has_no_picture_without_colour_and_no_set_is_nothing() -> None:
    grey = [images.decode(item.read()).image for item in get_dataset("digits-test").items()][:30]
    assert not any("no colour" in reason for one in told(grey) for reason in one)
    assert flaws([]) == []


def test_the_grey_levels_that_are_told_are_beyond_the_limit(photos: list[Image.Image]) -> None:
    [words] = [
        reason
        for reason in told([*photos, disturb("dark", photos[0], np.random.default_rng(1))])[-1]
        if "dark" in reason
    ]
    level = float(words.rsplit(" ", 1)[1].rstrip(")"))
    assert level <= 90
