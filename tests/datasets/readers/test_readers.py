"""Datasets that are not bundled: each reader on a small fixture in its true file format, and a damaged one."""

import gzip
import hashlib
import pickle

import datasets as hub
import numpy as np
import pytest
import scipy.io
from datasets.exceptions import DatasetNotFoundError
from torchvision import datasets as tv

from jepa_core import config, images
from jepa_core.datasets import download
from jepa_core.datasets.readers import torchvision as torchvision_sets
from jepa_core.datasets.readers.names import EXAMPLES
from jepa_core.datasets.registry import get_dataset, sample
from jepa_core.errors import DatasetError, UnknownName
from tests.datasets.small_sets import idx
from tests.helpers import png

RNG = np.random.default_rng(0)


def pixels(spec, position: int) -> np.ndarray:
    return np.asarray(images.decode(spec.item(position).read()).image)


# --- torchvision ------------------------------------------------------------------------------------------------------


@pytest.fixture
def mnist(cache):
    found = RNG.integers(0, 256, (5, 28, 28), dtype=np.uint8)
    folder = cache / "datasets" / "mnist" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        for name, array in (("images-idx3", found), ("labels-idx1", np.array([3, 1, 4, 1, 5]))):
            (folder / f"{part}-{name}-ubyte").write_bytes(gzip.decompress(idx(array)))
    return folder, found


def test_mnist_is_read_from_its_idx_files(mnist):
    _folder, found = mnist
    spec = get_dataset("torchvision:mnist/test")
    assert (len(spec), spec.title, spec.classes[3]) == (5, "MNIST (test)", "3 - three")
    assert [item.label for item in spec.items()][:2] == ["3 - three", "1 - one"]
    assert (pixels(spec, 2) == found[2][..., None]).all()
    assert spec.item(1).name == "mnist/test/1"


def test_damaged_idx_files_are_said(mnist, monkeypatch):
    folder, _found = mnist
    monkeypatch.setattr(download, "download", no_network)
    path = folder / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DatasetError, match=r"MNIST \(test\) cannot be opened \(.*remove damaged files"):
        get_dataset("torchvision:mnist/test")


@pytest.fixture
def cifar(cache, monkeypatch):
    """CIFAR-10's pickled batches, with checksums of these files in place of the real ones."""
    folder = cache / "datasets" / "cifar-10" / tv.CIFAR10.base_folder
    folder.mkdir(parents=True)
    found = RNG.integers(0, 256, (4, 3072), dtype=np.uint8)
    batch = pickle.dumps({"data": found, "labels": [0, 3, 3, 9]})
    names = pickle.dumps(
        {"label_names": ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]}
    )
    sums = {}
    for name in [*(name for name, _ in tv.CIFAR10.train_list), "test_batch", "batches.meta"]:
        content = names if name == "batches.meta" else batch
        (folder / name).write_bytes(content)
        sums[name] = hashlib.md5(content).hexdigest()
    for field in ("train_list", "test_list"):
        monkeypatch.setattr(tv.CIFAR10, field, [[name, sums[name]] for name, _ in getattr(tv.CIFAR10, field)])
    monkeypatch.setattr(tv.CIFAR10, "meta", tv.CIFAR10.meta | {"md5": sums["batches.meta"]})
    monkeypatch.setattr(download, "download", no_network)
    return folder, found


def no_network(*_args, **_kwargs):
    raise OSError("no network")


def test_cifar_is_read_from_its_batches(cifar):
    _folder, found = cifar
    spec = get_dataset("torchvision:cifar-10/test")
    assert [item.label for item in spec.items()] == ["plane", "cat", "cat", "truck"]
    assert (pixels(spec, 1) == found[1].reshape(3, 32, 32).transpose(1, 2, 0)).all()
    assert len(get_dataset("torchvision:cifar-10/train")) == 20


def test_a_batch_of_another_checksum_is_not_unpickled(cifar):
    folder, _found = cifar
    (folder / "test_batch").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(DatasetError, match=r"cannot be opened \(no network\); its whole files in"):
        get_dataset("torchvision:cifar-10/test")


def test_svhn_is_read_from_its_matlab_file(cache, monkeypatch):
    path = cache / "datasets" / "svhn" / "test_32x32.mat"
    path.parent.mkdir(parents=True)
    found = RNG.integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)
    scipy.io.savemat(path, {"X": found, "y": np.array([[1], [10], [2], [9]])})
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(tv.SVHN.split_list, "test", [*tv.SVHN.split_list["test"][:2], digest])
    monkeypatch.setattr(download, "download", no_network)
    spec = get_dataset("torchvision:svhn/test")
    assert [item.label for item in spec.items()] == ["1", "0", "2", "9"]
    assert (pixels(spec, 3) == found[..., 3]).all()
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DatasetError, match=r"SVHN \(test\) cannot be opened \(no network\); its whole files in"):
        get_dataset("torchvision:svhn/test")


def test_dtd_is_read_from_its_folders(cache):
    folder = cache / "datasets" / "dtd" / "dtd" / "dtd"
    for kind in ("images/lace_like", "labels"):
        (folder / kind).mkdir(parents=True)
    (folder / "images" / "lace_like" / "lace_0001.jpg").write_bytes(png(1))
    (folder / "labels" / "test1.txt").write_text("lace_like/lace_0001.jpg\n")
    (item,) = get_dataset("torchvision:dtd/test").items()
    assert (item.label, item.read()) == ("lace like", png(1))
    (folder / "images" / "lace_like" / "lace_0001.jpg").unlink()
    with pytest.raises(DatasetError, match=r"lace_0001\.jpg cannot be read"):
        item.read()


def test_a_set_that_torchvision_is_not_asked_for_is_unknown():
    with pytest.raises(UnknownName, match=r"Unknown dataset of torchvision: 'torchvision:mnist'\. Must be one of"):
        get_dataset("torchvision:mnist")


def test_the_examples_are_names():
    assert set(EXAMPLES) <= set(torchvision_sets.NAMES)


def test_a_sample_is_named_and_stays_the_same(mnist):
    _folder, found = mnist
    spec = get_dataset("torchvision:mnist/test#3:7")
    assert (spec.name, len(spec), spec.title) == ("torchvision:mnist/test#3:7", 3, "MNIST (test), 3 of 5")
    names = [item.name for item in spec.items()]
    assert names == [item.name for item in sample(get_dataset("torchvision:mnist/test"), 3, 7)]
    place = int(names[1].rsplit("/", 1)[1])
    assert (pixels(spec, 1) == found[place][..., None]).all()
    assert get_dataset("torchvision:mnist/test#99").name == "torchvision:mnist/test"
    with pytest.raises(DatasetError, match="A sample of 0 pictures was asked for"):
        get_dataset("torchvision:mnist/test#0")


# --- tables of the hub ------------------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path):
    """A folder with a parquet file like those of the hub, which `datasets` opens like a repository."""
    features = hub.Features(
        {
            "image": hub.Image(),
            "label": hub.ClassLabel(names=["n01608432", "red shank, Tringa"]),
            "id": hub.Value("int64"),
        }
    )
    pictures = [{"bytes": png(seed), "path": None} for seed in range(3)]
    rows = {"image": pictures, "label": [0, 1, 0], "id": [1, 2, 3]}
    path = tmp_path / "repository" / "data" / "test-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    hub.Dataset.from_dict(rows, features=features).to_parquet(path)
    return path


@pytest.fixture
def repository(table, monkeypatch, tmp_path):
    """The hub's loader, sent to the folder instead of the hub."""
    real = hub.load_dataset

    def here(name, config, split):
        assert name == "owner/name"
        return real(str(table.parent.parent), config, split=split, cache_dir=str(tmp_path / "hub"))

    monkeypatch.setattr(hub, "load_dataset", here)
    return table


@pytest.mark.usefixtures("repository")
def test_a_table_with_images_is_read():
    spec = get_dataset("hub:owner/name/test")
    assert [item.label for item in spec.items()] == ["kite", "red shank, Tringa", "kite"]
    assert [item.read() for item in spec.items()] == [png(seed) for seed in range(3)]
    assert [item.label for item in sample(spec, 2, seed=1)]


def test_a_damaged_table_is_said(repository):
    repository.write_bytes(repository.read_bytes()[:200])
    with pytest.raises(DatasetError, match=r"The dataset hub:owner/name/test cannot be opened"):
        get_dataset("hub:owner/name/test")


@pytest.mark.parametrize("row", [None, {"bytes": None, "path": None}])
def test_an_empty_picture_of_a_table_is_said(monkeypatch, row):
    made = hub.Dataset.from_dict({"image": [{"bytes": png(0), "path": None}, row]}).cast_column("image", hub.Image())
    monkeypatch.setattr(hub, "load_dataset", lambda *_args, **_kwargs: made)
    spec = get_dataset("hub:owner/name/test")
    assert spec.item(0).read() == png(0)
    with pytest.raises(DatasetError, match="Picture 1 of the dataset is empty"):
        spec.item(1).read()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "Dataset 'a/b' is a gated dataset on the Hub.",
            "is gated: accept its terms on the hub, then run 'hf auth login'",
        ),
        ("Dataset 'a/b' doesn't exist on the Hub.", "The dataset a/b is not there"),
    ],
)
def test_a_dataset_that_is_gated_or_gone_is_said(monkeypatch, said, words):
    def refuse(*_args, **_kwargs):
        raise DatasetNotFoundError(said)

    monkeypatch.setattr(hub, "load_dataset", refuse)
    with pytest.raises(DatasetError, match=words):
        get_dataset("hub:a/b/test")


@pytest.mark.usefixtures("repository")
def test_a_split_that_a_dataset_lacks_is_said():
    with pytest.raises(DatasetError, match="check the names of its configuration and split"):
        get_dataset("hub:owner/name/other")


@pytest.mark.parametrize(
    ("column", "values", "labels"),
    [
        ("wnid", ["n01608432", "n02028035"], ["kite", "redshank"]),
        ("label", [4, 7], ["4", "7"]),
        ("caption", ["a", "b"], ["(no class)", "(no class)"]),
    ],
)
def test_classes_that_no_column_is_declared_for(monkeypatch, column, values, labels):
    pictures = [{"bytes": png(seed), "path": None} for seed in range(2)]
    made = hub.Dataset.from_dict({"image": pictures, column: values}).cast_column("image", hub.Image())
    monkeypatch.setattr(hub, "load_dataset", lambda *_args, **_kwargs: made)
    assert [item.label for item in get_dataset("hub:owner/name/test").items()] == labels


def test_a_table_without_images_is_said(monkeypatch):
    monkeypatch.setattr(hub, "load_dataset", lambda *_args, **_kwargs: hub.Dataset.from_dict({"text": ["a"]}))
    with pytest.raises(DatasetError, match="has no column of images, only text"):
        get_dataset("hub:owner/name/test")


@pytest.mark.parametrize("name", ["hub:", "hub:mnist", "hub:owner/name", "hub:owner//test", "hub:a/b/c/d/e"])
def test_a_name_on_the_hub_that_is_not_complete_is_said(name):
    with pytest.raises(DatasetError, match="hub:OWNER/NAME/SPLIT or hub:OWNER/NAME/CONFIG/SPLIT is accepted"):
        get_dataset(name)


@pytest.mark.parametrize("name", ["hub:owner/name/test", "torchvision:mnist/test"])
def test_a_server_for_visitors_downloads_nothing(monkeypatch, tmp_path, name):
    monkeypatch.setenv("JEPA_DATA_ROOTS", str(tmp_path))
    assert config.hosted()
    with pytest.raises(DatasetError, match="this server downloads nothing for its visitors"):
        get_dataset(name)
