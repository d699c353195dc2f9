"""Datasets: what the bundled ones hold, how a folder becomes one, and what is said when it cannot."""

import os
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jepa_core import images
from jepa_core.datasets import _readable, get_dataset, list_datasets, sample
from jepa_core.errors import DatasetError, UnknownName

NAMES = [
    "digits-train",
    "digits-validation",
    "digits-test",
    "inverted-digits",
    "flipped-digits",
    "photo-tiles",
    "noise",
    "flat-colours",
    "shapes",
    "galaxies",
]
DIGITS = tuple("0123456789")


@pytest.fixture(autouse=True)
def at_home(monkeypatch):
    monkeypatch.delenv("JEPA_DATA_ROOTS", raising=False)


def put(path: Path, colour: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), colour).save(path)
    return path


def listed(folder: Path | str) -> list[tuple[str, str]]:
    return [(item.label, item.name) for item in get_dataset(str(folder)).items()]


def pixels(item) -> np.ndarray:
    return np.asarray(images.decode(item.read()).image)


# --- bundled ----------------------------------------------------------------------------------------------------------


def test_the_bundled_datasets():
    assert list(list_datasets()) == NAMES
    assert all(get_dataset(name).name == name for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_dataset_says_what_it_is(name):
    spec = get_dataset(name)
    assert spec.title
    assert spec.licence
    assert spec.source in ("drawn by code", "scikit-learn")
    assert spec.description.count(". ") == 1, "two sentences"
    assert str(len(spec)) in spec.description or "1797" in spec.description
    assert spec.held_out == (name != "digits-train")


@pytest.mark.parametrize(
    ("name", "size", "classes"),
    [
        ("digits-train", 1077, DIGITS),
        ("digits-validation", 360, DIGITS),
        ("digits-test", 360, DIGITS),
        ("inverted-digits", 360, DIGITS),
        ("flipped-digits", 360, DIGITS),
        ("photo-tiles", 300, ("china", "flower")),
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
from jepa_core import datasets, synthetic
def fail(position): raise AssertionError("drawn")
for name in ("shapes", "galaxies", "noise", "flat-colours", "photo-tiles"):
    spec = datasets.get_dataset(name)
    object.__setattr__(spec, "reader_of", lambda position: lambda: fail(position))
    assert len([item.label for item in spec.items()]) == 300
slow = {"torch", "timm", "sklearn", "streamlit", "pandas"} & set(sys.modules)
assert not slow, slow
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["digits-test", "flipped-digits", "shapes"])
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


# --- folders ----------------------------------------------------------------------------------------------------------


def test_sub_folders_are_classes_and_the_order_is_natural(tmp_path):
    for name in ("cat/10.png", "cat/9.jpg", "cat/deep/er/1.png", "Bird/a.PNG", "ant 2/x.webp", "ant 10/x.gif", "z.bmp"):
        put(tmp_path / name)
    (tmp_path / "cat" / "notes.txt").write_text("not a picture")
    spec = get_dataset(str(tmp_path))
    assert [(item.label, item.name) for item in spec.items()] == [
        ("ant 2", "ant 2/x.webp"),
        ("ant 10", "ant 10/x.gif"),
        ("Bird", "Bird/a.PNG"),
        ("cat", "cat/9.jpg"),
        ("cat", "cat/10.png"),
        ("cat", "cat/deep/er/1.png"),
        ("(no class)", "z.bmp"),
    ]
    assert spec.labels() == ("ant 2", "ant 10", "Bird", "cat", "(no class)")
    assert [item.position for item in spec.items("cat")] == [3, 4, 5]
    assert (spec.source, len(spec), spec.title) == ("folder", 7, tmp_path.name)


def test_one_image_is_a_dataset(tmp_path):
    file = put(tmp_path / "only.png")
    (item,) = get_dataset(str(tmp_path)).items()
    assert (item.label, item.name, item.read()) == ("(no class)", "only.png", file.read_bytes())
    assert item.digest == images.digest(file.read_bytes())


@pytest.mark.parametrize("form", ["{}", "folder:{}", "{}/", "{}/cat/.."])
def test_all_forms_of_a_path_are_one_dataset(tmp_path, form):
    put(tmp_path / "cat" / "1.png")
    assert get_dataset(form.format(tmp_path)).name == f"folder:{tmp_path}"


def test_relative_and_home_paths(tmp_path, monkeypatch):
    put(tmp_path / "pets" / "1.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for form in ("pets", "./pets", "~/pets"):
        assert get_dataset(form).name == f"folder:{tmp_path / 'pets'}"


def test_a_bundled_name_is_never_a_folder(tmp_path, monkeypatch):
    put(tmp_path / "shapes" / "1.png")
    monkeypatch.chdir(tmp_path)
    assert len(get_dataset("shapes")) == 300
    assert len(get_dataset("./shapes")) == 1


def test_hidden_files_and_folders_are_skipped(tmp_path):
    for name in ("a.png", ".b.png", ".git/c.png", "d/.thumbs/e.png", "d/f.png"):
        put(tmp_path / name)
    assert listed(tmp_path) == [("d", "d/f.png"), ("(no class)", "a.png")]


def test_loops_of_links_end(tmp_path):
    put(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "round").symlink_to(tmp_path / "round")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert listed(tmp_path) == [("a", "a/1.png")]
    with pytest.raises(DatasetError, match="There is no folder"):
        get_dataset(str(tmp_path / "round"))


def test_links_to_other_folders_are_followed(tmp_path):
    put(tmp_path / "elsewhere" / "1.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "dogs").symlink_to(tmp_path / "elsewhere")
    assert listed(tmp_path / "set") == [("dogs", "dogs/1.png")]


@pytest.mark.parametrize(("name", "shown"), [("café.png", "café.png"), ("caf\udce9.png", "caf?.png")])
def test_a_name_that_is_not_text_is_made_readable(name, shown):
    """As Python gives the name of a file that another system wrote in another encoding."""
    assert _readable(name) == shown


def test_a_file_that_has_gone_is_told(tmp_path):
    file = put(tmp_path / "1.png")
    (item,) = get_dataset(str(tmp_path)).items()
    file.unlink()
    with pytest.raises(DatasetError) as caught:
        item.read()
    assert str(caught.value) == (
        f"The image {file} cannot be read (No such file or directory); "
        "a file that was there when the folder was listed is accepted; open the folder again."
    )


# --- what is refused --------------------------------------------------------------------------------------------------


def test_a_folder_without_images(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(DatasetError) as caught:
        get_dataset(str(tmp_path))
    assert str(caught.value) == (
        f"The folder {tmp_path} has no images; files that end in .bmp, .dib, .gif, .jfif, .jpe, .jpeg, .jpg, .pbm, "
        ".pgm, .png, .pnm, .ppm, .tif, .tiff, .webp are accepted, also in its sub-folders; choose another folder."
    )


@pytest.mark.parametrize("given", ["digit", "", "  ", "a\0b", "Shapes"])
def test_an_unknown_name(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownName) as caught:
        get_dataset(given)
    assert str(caught.value) == (
        f"Unknown dataset: {given!r}. Must be one of: {', '.join(NAMES)}. Or give the path of a folder of images."
    )


def test_a_path_that_is_no_folder(tmp_path):
    for path in (tmp_path / "nowhere", put(tmp_path / "file.png")):
        with pytest.raises(DatasetError) as caught:
            get_dataset(str(path))
        assert str(caught.value) == (
            f"There is no folder {str(path)!r}; the name of a bundled dataset or the path of a folder of images is "
            "accepted; check the spelling."
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


# --- hosted -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def hosted(tmp_path, monkeypatch):
    """Two roots that may be read, and a secret folder beside them."""
    for name in ("open/pets/1.png", "also/2.png", "secret/3.png", "open-not/4.png"):
        put(tmp_path / name)
    roots = [str(tmp_path / "open"), str(tmp_path / "also")]
    monkeypatch.setenv("JEPA_DATA_ROOTS", os.pathsep.join(roots))
    return tmp_path


@pytest.mark.parametrize("folder", ["open", "open/pets", "also", "secret/../open"])
def test_hosted_folders_within_the_roots_are_read(hosted, folder):
    assert len(get_dataset(str(hosted / folder))) == 1


@pytest.mark.parametrize("folder", ["secret", "open-not", "open/../secret", "open/link", ".", "nowhere"])
def test_hosted_folders_outside_the_roots_are_refused(hosted, folder):
    (hosted / "open" / "link").symlink_to(hosted / "secret")
    with pytest.raises(DatasetError) as caught:
        get_dataset(f"{hosted}/{folder}")
    assert str(caught.value) == (
        f"The folder {os.path.realpath(hosted / folder)} is outside what this server may read; "
        f"a folder in {hosted / 'open'} or {hosted / 'also'} is accepted; choose one there."
    )


def test_hosted_links_that_lead_outside_are_not_listed(hosted):
    (hosted / "open" / "link").symlink_to(hosted / "secret")
    (hosted / "open" / "link.png").symlink_to(hosted / "secret" / "3.png")
    assert listed(hosted / "open") == [("pets", "pets/1.png")]


@pytest.mark.usefixtures("hosted")
def test_hosted_bundled_datasets_are_open_to_all():
    assert [len(get_dataset(name)) for name in ("shapes", "digits-test")] == [300, 360]
