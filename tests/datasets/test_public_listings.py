"""MNIST's listing: its digests are those of the pixels, so anyone's copy of the public dataset has its pictures."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jepa_core import images
from jepa_core.datasets import listings, registry
from jepa_core.errors import DatasetError

DIGITS = np.random.default_rng(4).integers(0, 256, (12, 28, 28), dtype=np.uint8)


@pytest.fixture
def listed(tmp_path, monkeypatch) -> Path:
    """Six digits as PNG files, listed as MNIST in an assets folder of this test."""
    monkeypatch.setattr(listings, "ASSETS", tmp_path / "assets")
    for number in range(6):
        folder = tmp_path / "digits" / str(number % 2)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(DIGITS[number]).save(folder / f"{number}.png")
    registry.with_pictures("mnist", tmp_path / "digits")
    yield tmp_path / "digits"
    listings._public.cache_clear()


def bring(cache: Path, train: np.ndarray, test: np.ndarray) -> None:
    """MNIST as torchvision leaves it in the cache folder."""
    raw = cache / "datasets" / "mnist" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, array in (("train", train), ("t10k", test)):
        for name, values in (("images-idx3", array), ("labels-idx1", np.zeros(len(array), dtype=np.uint8))):
            head = struct.pack(">HBB", 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape)
            (raw / f"{part}-{name}-ubyte").write_bytes(head + values.tobytes())


def test_digests_are_of_the_pixels_whatever_the_file(listed):
    by_name = {item.name: item.digest for item in registry.get_dataset("mnist").items()}
    for number in range(6):
        path = listed / str(number % 2) / f"{number}.png"
        expected = images.digest(images.encode_ppm(DIGITS[number]))
        assert by_name[f"{number % 2}/{number}.png"] == expected
        assert images.digest(listings.pixels_of(path.read_bytes(), "it")) == expected
        Image.open(path).convert("RGB").save(path.with_suffix(".webp"), lossless=True)
        path.unlink()
    found = registry.with_pictures("mnist", listed)
    assert [images.digest(item.read()) for item in found.items()] == [item.digest for item in found.items()]


def test_coloured_pixels_keep_their_colours():
    coloured = np.random.default_rng(1).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    assert listings.pixels_of(images.encode_ppm(coloured), "it") == images.encode_ppm(coloured)


@pytest.mark.usefixtures("listed")
def test_once_the_public_dataset_is_here_its_pictures_are_the_listings(cache):
    assert registry.get_dataset("mnist").listed
    bring(cache, DIGITS[[7, 0, 1, 2]], DIGITS[[5, 8, 4, 3]])
    spec = registry.get_dataset("mnist")
    assert not spec.listed
    assert "not bundled" not in spec.description
    assert spec.classes == ("0", "1")
    for item in spec.items():
        number = int(Path(item.name).stem)
        assert item.read() == images.encode_ppm(DIGITS[number])
    assert listings.is_public_here("mnist")
    assert not listings.is_public_here("galaxy-zoo")


@pytest.mark.usefixtures("listed")
def test_a_public_dataset_that_lacks_a_picture_is_told(cache):
    bring(cache, DIGITS[:4], DIGITS[6:])
    [missing] = [item for item in registry.get_dataset("mnist").items() if item.name == "1/5.png"]
    with pytest.raises(DatasetError, match=r"lack a picture that is listed as 'mnist'; .*; remove their files, and"):
        missing.read()
