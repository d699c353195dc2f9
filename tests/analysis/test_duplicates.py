"""Copies of pictures: equal ones, near ones, those of another set; and what must not be taken for one."""

import itertools

import numpy as np
import pytest
from PIL import Image

from jepa_core import images
from jepa_core.analysis import duplicates, picture_facts, planting
from jepa_core.analysis.duplicates import Duplicate, find, within
from jepa_core.analysis.picture_facts import Facts
from jepa_core.datasets.registry import get_dataset


def facts_of(picture: Image.Image) -> Facts:
    return picture_facts.read(picture_facts.look_at(picture.convert("RGB")))


def scene(position: int) -> Image.Image:
    return images.decode(get_dataset("scenes-train").item(position).read()).image


def scenes() -> list[Image.Image]:
    """Tiles of different photographs, none of them plain."""
    dataset = get_dataset("scenes-train")
    found = []
    for label in dataset.labels():
        tiles = (images.decode(item.read()).image for item in dataset.items(label))
        found += [tile for tile in itertools.islice(tiles, 20) if np.asarray(tile.convert("L")).std() > 25][:1]
    return found


def named(facts: list[Facts]) -> list[str]:
    return [f"digest {place}" for place in range(len(facts))]


def test_facts_come_back_from_the_store_as_they_were_found(store) -> None:
    picture = scene(7)
    found = picture_facts.look_at(picture)
    store.put_measures(picture_facts.SPACE, {"d": found})
    facts = picture_facts.read(store.measures(picture_facts.SPACE, ["d"])["d"])
    assert (facts.width, facts.height) == picture.size
    assert facts.luma.tolist() == facts_of(picture).luma.tolist()
    small = picture.convert("YCbCr").getchannel(0).resize((32, 32), Image.Resampling.BOX)
    assert (facts.luma == np.asarray(small)).all()
    assert facts.pixels == facts_of(picture.copy()).pixels != facts_of(scene(8)).pixels
    assert facts.measures["brightness"] == pytest.approx(np.asarray(picture.convert("L")).mean(), abs=1e-3)


def test_every_pair_within_the_radius_is_found_and_no_other() -> None:
    rng = np.random.default_rng(0)
    index = rng.integers(2**63, size=400, dtype=np.uint64) * np.uint64(2) + rng.integers(2, size=400, dtype=np.uint64)
    queries = index[:200].copy()
    for place in range(200):
        for bit in rng.choice(64, rng.integers(16), replace=False):
            queries[place] ^= np.uint64(1 << int(bit))
    away = np.bitwise_count(queries[:, None] ^ index[None, :])
    for radius in (0, 3, 11):
        expected = set(zip(*np.nonzero(away <= radius), strict=True))
        assert set(zip(*within(index, queries, radius), strict=True)) == expected
        assert len(expected) > radius


def test_of_very_many_every_pair_up_to_seven_bits_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    index = rng.integers(2**63, size=600, dtype=np.uint64)
    queries = index.copy()
    for place in range(600):
        for bit in rng.choice(64, place % 12, replace=False):
            queries[place] ^= np.uint64(1 << int(bit))
    monkeypatch.setattr(duplicates, "MANY", 500)
    found = {one for one, two in zip(*within(index, queries, 11), strict=True) if one == two}
    assert {place for place in range(600) if place % 12 <= 7} <= found
    assert 0.5 * 200 < len(found) - 400 < 200


def test_candidates_are_found_part_by_part_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = np.random.default_rng(1).integers(4, size=300, dtype=np.uint64)
    whole = within(hashes, hashes, 1)
    monkeypatch.setattr(duplicates, "_AT_ONCE", 500)
    assert np.array_equal(whole, within(hashes, hashes, 1))


def test_equal_files_and_equal_pixels_are_told_with_the_first_of_them() -> None:
    one, two = facts_of(scene(3)), facts_of(scene(400))
    found = find(["a", "b", "a", "c", "a"], [one, two, one, one, one])
    assert found.pairs == [
        Duplicate(0, 2, "same file"),
        Duplicate(0, 3, "same pixels"),
        Duplicate(0, 4, "same file"),
    ]


@pytest.mark.parametrize("kind", list(planting.COPIES))
def test_copies_of_each_kind_are_found_and_nothing_else_is(kind: str) -> None:
    own, rng = scenes(), np.random.default_rng(3)
    assert len(own) >= 10
    copies = [planting.COPIES[kind](picture, rng) for picture in own]
    facts = [facts_of(picture) for picture in own + copies]
    found = find(named(facts), facts)
    told = {(pair.first, pair.second) for pair in found.pairs}
    wanted = {(place, place + len(own)) for place in range(len(own))}
    assert told <= wanted
    assert len(told) >= 0.7 * len(wanted)  # brick, gravel and a page of text are alike wherever one looks
    assert {pair.kind for pair in found.pairs} == {"mirrored" if kind == "mirrored" else "near"}


def test_copies_across_sets_are_told_by_their_places_in_both() -> None:
    own = scenes()
    facts, other = [facts_of(picture) for picture in own], [facts_of(own[4].resize((50, 50))), facts_of(own[2])]
    other.append(facts_of(planting.COPIES["cropped to 90 %"](own[6], np.random.default_rng(0))))
    found = find(named(facts), facts, ["x", "y", "z"], other)
    assert [(pair.first, pair.second, pair.kind) for pair in found.pairs] == [
        (1, 2, "same pixels"),
        (0, 4, "near"),
        (2, 6, "near"),
    ]


def test_another_colour_is_another_picture() -> None:
    picture = scenes()[0]
    tinted = np.asarray(picture, dtype=np.float64) * [0.4, 1.0, 0.4]
    pictures = [picture, Image.fromarray(tinted.astype(np.uint8))]
    facts = [facts_of(one) for one in pictures]
    assert duplicates.likeness(facts[0].luma, facts[1].luma)[0] > duplicates.ALIKE
    assert find(named(facts), facts).pairs == []


def test_of_small_and_plain_pictures_only_equal_pixels_are_told() -> None:
    small = [facts_of(Image.fromarray(np.full((8, 8, 3), 100 + value, np.uint8))) for value in (0, 1, 0)]
    plain = [facts_of(Image.new("RGB", (64, 64), (value, value, value))) for value in (10, 200)]
    found = find(named(small + plain), small + plain)
    assert found.pairs == [Duplicate(0, 2, "same pixels")]
    assert found.untold == 4


def test_a_hash_that_many_share_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    own = scenes()[:2]
    many = [own[0].point(lambda value, step=step: min(255, value + step)) for step in range(5)]
    facts = [facts_of(picture) for picture in [*many, own[1], own[1].resize((60, 60))]]
    monkeypatch.setattr(duplicates, "MOST_SHARING", 3)
    found = find(named(facts), facts)
    assert [(pair.first, pair.second) for pair in found.pairs] == [(5, 6)]
    assert found.untold == 5
