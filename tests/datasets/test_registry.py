"""Datasets: what the bundled ones hold, how one is sampled, and what is said when there is none of that name."""

import pickle
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from jepa_core import images
from jepa_core.datasets import scenes
from jepa_core.datasets.registry import get_dataset, list_datasets, sample
from jepa_core.errors import DatasetError, UnknownName

NAMES = [
    "digits-train",
    "digits-validation",
    "digits-test",
    "inverted-digits",
    "flipped-digits",
    "world-train",
    "world-test",
    "mixed-train",
    "mixed-test",
    "photo-tiles",
    "scenes-train",
    "scenes-validation",
    "scenes-test",
    "noise",
    "flat-colours",
    "shapes",
    "galaxies",
]
DIGITS = tuple("0123456789")


def pixels(item) -> np.ndarray:
    return np.asarray(images.decode(item.read()).image)


# --- bundled ----------------------------------------------------------------------------------------------------------


def test_the_bundled_datasets():
    assert [name for name, spec in list_datasets().items() if not spec.listed] == NAMES
    assert all(get_dataset(name).name == name for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_dataset_says_what_it_is(name):
    spec = get_dataset(name)
    assert spec.title
    assert spec.licence
    assert spec.source in (
        "drawn by code",
        "scikit-learn",
        "scikit-learn and drawn by code",
        "scikit-image and scikit-learn",
    )
    assert spec.description.count(". ") == 1, "two sentences"
    assert any(number in spec.description for number in (str(len(spec)), "1797", "150 pictures each"))
    assert spec.held_out == (name not in ("digits-train", "world-train", "mixed-train", "scenes-train"))


@pytest.mark.parametrize(
    ("name", "size", "classes"),
    [
        ("digits-train", 1077, DIGITS),
        ("digits-validation", 360, DIGITS),
        ("digits-test", 360, DIGITS),
        ("inverted-digits", 360, DIGITS),
        ("flipped-digits", 360, DIGITS),
        ("mixed-train", 600, ("digit", "world picture", "shape", "galaxy")),
        ("mixed-test", 600, ("digit", "world picture", "shape", "galaxy")),
        ("photo-tiles", 300, ("china", "flower")),
        ("scenes-train", 1059, scenes.NAMES),
        ("scenes-validation", 527, scenes.NAMES),
        ("scenes-test", 2119, scenes.NAMES),
        ("noise", 300, ("noise",)),
        ("flat-colours", 300, ("flat colour",)),
        ("shapes", 300, None),
        ("galaxies", 300, ("spiral", "elliptical", "edge-on")),
    ],
)
def test_size_and_classes(name, size, classes):
    spec = get_dataset(name)
    items = list(spec.items())
    counts = Counter(item.label for item in items)
    assert len(spec) == len(items) == size
    assert [item.position for item in items] == list(range(size))
    assert len({item.name for item in items}) == size
    assert set(counts) == set(spec.labels())
    assert classes is None or spec.labels() == classes
    if spec.source == "drawn by code":
        assert len(set(counts.values())) == 1, "balanced"


@pytest.mark.parametrize("name", NAMES)
def test_every_picture_can_be_decoded_and_is_its_own(name):
    spec = get_dataset(name)
    read = [item.read() for item in sample(spec, 40, seed=0)]
    assert all(images.decode(data).notes == () for data in read)
    assert len(set(read)) > 35


def test_items_of_a_class():
    spec = get_dataset("galaxies")
    spirals = list(spec.items("spiral"))
    assert [item.position for item in spirals] == list(range(0, 300, 3))
    assert spirals[4].name == "galaxies/12"
    assert spirals[4] == spec.item(12)
    assert spirals[4].digest == images.digest(spec.item(12).read())


def test_the_mixed_test_pictures_are_those_of_the_other_sets():
    mixed = [get_dataset("mixed-test").item(position).digest for position in (0, 149, 150, 300, 599)]
    assert mixed == [
        get_dataset(name).item(position).digest
        for name, position in [
            ("digits-test", 0),
            ("digits-test", 149),
            ("world-test", 0),
            ("shapes", 0),
            ("galaxies", 149),
        ]
    ]


def test_no_mixed_training_picture_is_held_out():
    held_out = {
        item.digest for name in ("mixed-test", "shapes", "galaxies", "world-test") for item in get_dataset(name).items()
    }
    assert not held_out & {item.digest for item in get_dataset("mixed-train").items()}


def test_digits_carry_their_own_labels():
    from sklearn.datasets import load_digits

    source = load_digits()
    pictures = np.round(source.images * 255 / 16).astype(np.uint8)
    label_of = {pictures[row].tobytes(): str(label) for row, label in enumerate(source.target)}
    for item in get_dataset("digits-test").items():
        assert label_of[pixels(item)[..., 0].tobytes()] == item.label


def test_held_out_digits_were_not_trained_on():
    train, validation, test = (
        [item.digest for item in get_dataset(f"digits-{part}").items()] for part in ("train", "validation", "test")
    )
    assert not set(train) & set(test)
    assert not set(train) & set(validation)
    assert not set(validation) & set(test)
    assert len(train) + len(validation) + len(test) == 1797


def test_inverted_and_flipped_digits_are_the_test_digits_changed():
    for plain, inverted, flipped in zip(
        *(get_dataset(name).items() for name in ("digits-test", "inverted-digits", "flipped-digits")), strict=True
    ):
        assert plain.label == inverted.label == flipped.label
        assert np.array_equal(pixels(inverted), 255 - pixels(plain))
        assert np.array_equal(pixels(flipped), pixels(plain)[:, ::-1])


def test_listing_neither_draws_nor_imports_what_is_slow():
    program = """
import sys
from jepa_core.datasets import registry, synthetic
def fail(position): raise AssertionError("drawn")
for name in ("shapes", "galaxies", "noise", "flat-colours", "photo-tiles"):
    spec = registry.get_dataset(name)
    object.__setattr__(spec, "reader_of", lambda position: lambda: fail(position))
    assert len([item.label for item in spec.items()]) == 300
slow = {"torch", "timm", "sklearn", "streamlit", "pandas"} & set(sys.modules)
assert not slow, slow
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["digits-test", "flipped-digits", "shapes", "scenes-test"])
def test_specs_and_items_can_be_sent_to_another_process(name):
    spec = get_dataset(name)
    item = pickle.loads(pickle.dumps(spec)).item(3)
    assert pickle.loads(pickle.dumps(item)).read() == spec.item(3).read()


# --- samples ----------------------------------------------------------------------------------------------------------


def test_a_sample_is_without_replacement_in_order_and_the_seeds():
    spec = get_dataset("shapes")
    positions = [item.position for item in sample(spec, 50, seed=1)]
    assert positions == sorted(set(positions))
    assert len(positions) == 50
    assert positions == [item.position for item in sample(spec, 50, seed=1)]
    assert positions != [item.position for item in sample(spec, 50, seed=2)]


def test_a_sample_reaches_everything_evenly():
    counts = Counter(item.position for seed in range(200) for item in sample(get_dataset("shapes"), 30, seed, "star"))
    few = Counter(item.position for seed in range(200) for item in sample(get_dataset("shapes"), 6, seed, "star"))
    assert set(counts) == {position for position in range(300) if position % 10 == 5}
    assert set(counts.values()) == {200}
    assert set(few) == set(counts)
    assert max(few.values()) < 2.5 * min(few.values())


@pytest.mark.parametrize("n", [30, 31, 10_000])
def test_a_sample_of_all_is_all(n):
    spec = get_dataset("shapes")
    assert sample(spec, n, 0, "heart") == list(spec.items("heart"))


@pytest.mark.parametrize("n", [0, -1])
def test_a_sample_of_none_is_refused(n):
    with pytest.raises(DatasetError) as caught:
        sample(get_dataset("shapes"), n, 0)
    assert str(caught.value) == (
        f"A sample of {n} pictures was asked for; 1 or more is accepted; give a larger number."
    )


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["digit", "", "  ", "a\0b", "Shapes"])
def test_an_unknown_name(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownName) as caught:
        get_dataset(given)
    assert str(caught.value) == (
        f"Unknown dataset: {given!r}. Must be one of: {', '.join(list_datasets())}. "
        "Or give the path of a folder of images."
    )


def test_an_unknown_class():
    with pytest.raises(UnknownName) as caught:
        get_dataset("galaxies").items("barred")
    assert str(caught.value) == (
        "Unknown class of dataset 'galaxies': 'barred'. Must be one of: spiral, elliptical, edge-on."
    )


@pytest.mark.parametrize("position", [-1, 300])
def test_a_position_beyond_the_end(position):
    with pytest.raises(DatasetError) as caught:
        get_dataset("noise").item(position)
    assert str(caught.value) == (f"Dataset 'noise' has no picture {position}; 0 to 299 is accepted; choose another.")
