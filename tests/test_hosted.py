"""A server for visitors ($JEPA_DATA_ROOTS is set): what is refused, by the function itself and not by a page alone."""

import os
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from huggingface_hub import utils

from jepa_core import config
from jepa_core.datasets.readers.open import open_named
from jepa_core.datasets.registry import get_dataset
from jepa_core.encoders import download
from jepa_core.errors import DatasetError, EncoderError, NotAllowed
from tests.encoders.test_download import REMOTE
from tests.helpers import png


@pytest.fixture
def roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `open` that may be read, and `secret` beside it."""
    for name in ("open", "secret"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(png(1))
        with zipfile.ZipFile(tmp_path / name / "a.zip", "w") as archive:
            archive.writestr("cats/1.png", png(1))
        with h5py.File(tmp_path / name / "g.h5", "w") as file:
            file["images"], file["ans"] = np.zeros((2, 4, 4, 3), np.uint8), [0, 1]
    monkeypatch.setenv("JEPA_DATA_ROOTS", str(tmp_path / "open"))
    return tmp_path


def test_the_variable_decides_and_only_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JEPA_DATA_ROOTS", raising=False)
    assert not config.hosted()
    config.check_owner("delete results")
    monkeypatch.setenv("JEPA_DATA_ROOTS", f"/a{os.pathsep}/b")
    assert config.hosted()
    assert config.data_roots() == ("/a", "/b")
    with pytest.raises(NotAllowed) as caught:
        config.check_owner("delete results")
    assert str(caught.value) == (
        "This server was asked to delete results, which its visitors may not (JEPA_DATA_ROOTS is set); looking at what "
        "is there is accepted; its owner can do it where the variable is not set."
    )


@pytest.mark.parametrize("name", ["", "/a.zip", "/g.h5", "/{a,b}.zip", "/*.zip"])
@pytest.mark.parametrize("way", ["{0}/secret", "{0}/open/../secret", "{0}/open/link", "{0}/open/deep/../../secret"])
def test_nothing_outside_the_roots_is_opened(roots: Path, way: str, name: str) -> None:
    (roots / "open" / "deep").mkdir()
    (roots / "open" / "link").symlink_to(roots / "secret")
    with pytest.raises(DatasetError, match="outside what this server may read"):
        get_dataset(way.format(roots) + name)


@pytest.mark.parametrize("name", ["a.zip", "g.h5", "*.zip"])
def test_a_link_to_a_file_outside_is_refused(roots: Path, name: str) -> None:
    for path in ("a.zip", "g.h5"):
        (roots / "open" / path).unlink()
        (roots / "open" / path).symlink_to(roots / "secret" / path)
    with pytest.raises(DatasetError, match="outside what this server may read"):
        get_dataset(f"{roots}/open/{name}")


@pytest.mark.parametrize("name", ["", "a.zip", "g.h5"])
def test_a_link_that_takes_the_place_of_a_listed_file_is_not_followed(roots: Path, name: str) -> None:
    item = get_dataset(f"{roots}/open/{name}".rstrip("/")).item(0)
    assert item.read()
    path = roots / "open" / (name or "1.png")
    path.unlink()
    path.symlink_to(roots / "secret" / path.name)
    with pytest.raises(DatasetError, match="outside what this server may read"):
        item.read()


@pytest.mark.parametrize("kind", ["external link", "soft link", "raw file", "virtual"])
def test_an_hdf5_file_that_names_other_files_is_refused(roots: Path, kind: str) -> None:
    path, secret = roots / "open" / "mine.h5", roots / "secret" / "g.h5"
    with h5py.File(path, "w") as file:
        file["ans"] = [0, 1]
        if kind == "external link":
            file["images"] = h5py.ExternalLink(str(secret), "images")
        elif kind == "soft link":
            file["other"] = h5py.ExternalLink(str(secret), "images")
            file["images"] = h5py.SoftLink("/other")
        elif kind == "raw file":
            raw = [(str(secret), 0, 96)]
            file.create_dataset("images", (2, 4, 4, 3), np.uint8, external=raw)
        else:
            layout = h5py.VirtualLayout((2, 4, 4, 3), np.uint8)
            layout[:] = h5py.VirtualSource(str(secret), "images", (2, 4, 4, 3), np.uint8)
            file.create_virtual_dataset("images", layout)
    with pytest.raises(DatasetError, match="'images' is not in it"):
        get_dataset(str(path))


@pytest.mark.parametrize("name", ["torchvision:mnist/test", "hub:ylecun/mnist/test", "hub:ylecun/mnist/test#500"])
@pytest.mark.usefixtures("roots")
def test_no_dataset_is_downloaded(name: str) -> None:
    with pytest.raises(DatasetError, match="this server downloads nothing for its visitors"):
        get_dataset(name)
    with pytest.raises(DatasetError, match="this server downloads nothing for its visitors"):
        open_named(name)


@pytest.mark.usefixtures("roots")
def test_no_weights_are_asked_for_or_downloaded_and_no_token_is_used(hub_server, monkeypatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert utils.get_token() == "hf_secret"
    for ask in (download.look_up, download.fetch):
        with pytest.raises(EncoderError, match="this server downloads nothing for its visitors"):
            ask(REMOTE)
    assert hub_server.requests == []
