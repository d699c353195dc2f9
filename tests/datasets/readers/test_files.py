"""Datasets in files: archives, Galaxy10, folders of the papers' sets; each in its true format, and a damaged one."""

import io
import tarfile
import zipfile

import h5py
import numpy as np
import pytest

from jepa_core import images
from jepa_core.datasets.readers import archives
from jepa_core.datasets.readers.wordnet import all_in_words, in_words
from jepa_core.datasets.registry import get_dataset
from jepa_core.errors import BadImage, DatasetError
from tests.helpers import png

RNG = np.random.default_rng(0)


def pixels(spec, position: int) -> np.ndarray:
    return np.asarray(images.decode(spec.item(position).read()).image)


# --- archives ---------------------------------------------------------------------------------------------------------


def zipped(path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def tarred(path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


@pytest.mark.parametrize(("name", "pack"), [("a.zip", zipped), ("a.tar", tarred), ("a.tar.gz", tarred)])
def test_an_archive_is_read_like_a_folder(tmp_path, name, pack):
    files = {"cats/1.png": png(1), "dogs/2.png": png(2), "cats/3.png": png(3), "notes.md": b"#", "4.png": png(4)}
    pack(tmp_path / name, files)
    spec = get_dataset(str(tmp_path / name))
    assert spec.title == name
    assert [(item.name, item.label) for item in spec.items()] == [
        ("cats/1.png", "cats"),
        ("cats/3.png", "cats"),
        ("dogs/2.png", "dogs"),
        ("4.png", "(no class)"),
    ]
    assert [item.read() for item in spec.items()] == [png(seed) for seed in (1, 3, 2, 4)]


@pytest.mark.parametrize(("name", "pack"), [("a.zip", zipped), ("a.tar", tarred), ("a.tar.gz", tarred)])
def test_a_damaged_archive_is_said(tmp_path, name, pack):
    path = tmp_path / name
    pack(path, {f"{seed}.png": png(seed) for seed in range(50)})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DatasetError, match=r"cannot be read \(.*\); a whole ZIP or tar is accepted"):
        [item.read() for item in get_dataset(str(path)).items()]


def test_an_archive_without_images_and_an_entry_beyond_the_limit_are_said(tmp_path, monkeypatch):
    zipped(tmp_path / "none.zip", {"a.txt": b"a"})
    with pytest.raises(DatasetError, match="has no images; files that end in"):
        get_dataset(str(tmp_path / "none.zip"))
    zipped(tmp_path / "large.zip", {"a.png": png(1), "b.png": png(2)})
    monkeypatch.setattr(archives, "MOST_ENTRY_BYTES", 10)
    with pytest.raises(DatasetError, match=r"a.png in .* are accepted; leave it out"):
        get_dataset(str(tmp_path / "large.zip")).item(0).read()
    monkeypatch.setattr(archives, "MOST_ENTRIES", 1)
    with pytest.raises(DatasetError, match="has 2 entries; up to 1 are accepted"):
        get_dataset(str(tmp_path / "large.zip"))


# --- Galaxy10 ---------------------------------------------------------------------------------------------------------


def test_galaxies_are_read_from_their_file(tmp_path):
    found = RNG.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    path = tmp_path / "Galaxy10_DECals.h5"
    with h5py.File(path, "w") as file:
        file["images"], file["ans"] = found, np.array([1, 5, 1], np.uint8)
    spec = get_dataset(str(path))
    assert [item.label for item in spec.items()] == ["merging", "barred spiral", "merging"]
    assert (pixels(spec, 1) == found[1]).all()
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(DatasetError, match="cannot be read as Galaxy10"):
        get_dataset(str(path))
    with pytest.raises(DatasetError, match="cannot be read as Galaxy10"):  # damaged after it was opened
        spec.item(0).read()


def test_another_file_of_the_format_is_said(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["values"] = np.zeros(3)
    with pytest.raises(DatasetError, match="cannot be read as Galaxy10"):
        get_dataset(str(path))


# --- folders ----------------------------------------------------------------------------------------------------------


def test_a_folder_of_classes_is_read_and_a_damaged_picture_is_said(tmp_path):
    for number, name in enumerate(("cats/1.png", "dogs/2.png")):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(png(number))
    spec = get_dataset(str(tmp_path))
    assert [(item.name, item.label) for item in spec.items()] == [("cats/1.png", "cats"), ("dogs/2.png", "dogs")]
    assert (pixels(spec, 1) == np.asarray(images.decode(png(1)).image)).all()
    (tmp_path / "dogs" / "2.png").write_bytes(png(1)[:200])
    with pytest.raises(BadImage, match="is a damaged, cut-off or unusual"):
        images.decode(spec.item(1).read())


# --- words ------------------------------------------------------------------------------------------------------------


def test_classes_are_words():
    assert [in_words(label) for label in ("n01608432", "n02028035", "n99999999", "kite")] == [
        "kite",
        "redshank",
        "n99999999",
        "kite",
    ]
    # ImageNet has two cranes: the bird and the machine.
    assert all_in_words(("n02012849", "n03126707", "cat")) == ("crane (n02012849)", "crane (n03126707)", "cat")


def test_the_folders_of_imagenet_are_words(tmp_path):
    for number, wnid in enumerate(("n01608432", "n02028035")):
        (tmp_path / "val" / wnid).mkdir(parents=True)
        (tmp_path / "val" / wnid / "a.png").write_bytes(png(number))
    spec = get_dataset(str(tmp_path / "val"))
    assert spec.classes == ("kite", "redshank")
    assert spec.item(0).name == "n01608432/a.png"
