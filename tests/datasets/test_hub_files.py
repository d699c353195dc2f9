"""The sets of the catalog that the hub serves, from a hub on loopback in its real protocol."""

import io
import json
import shutil
import zipfile
from collections import namedtuple
from dataclasses import asdict

import datasets as hub
import pyarrow.parquet
import pytest
import yaml
from huggingface_hub import constants

from jepa_core.datasets import catalog, download, fetching
from jepa_core.datasets.readers import hub_files
from jepa_core.datasets.registry import get_dataset
from jepa_core.errors import DatasetError
from tests.datasets.small_sets import jpeg

NAMES = [entry.named(split) for entry, split in catalog.parts() if entry.origin == "hub"]
GALAXIES = "hub:matthieulel/galaxy10_decals/test"
CLASSES = ["n01440764", "n02102040", "n03888257"]


@pytest.fixture
def server(hub_server, monkeypatch, tmp_path):
    monkeypatch.setattr(fetching, "_PAUSES", (0.0,))
    monkeypatch.setattr(hub.config, "HF_ENDPOINT", hub_server.address)
    monkeypatch.setattr(hub.config, "HF_DATASETS_CACHE", tmp_path / "tables")
    return hub_server


def parquet(features: hub.Features, **columns: list) -> bytes:
    stream = io.BytesIO()
    pictures = [{"bytes": jpeg(seed), "path": None} for seed in range(3)]
    hub.Dataset.from_dict({"image": pictures, **columns}, features=features).to_parquet(stream)
    return stream.getvalue()


def card(asked: hub_files.HubName, folder: str) -> bytes:
    """The page of a set, which names its splits, one of them never to be fetched."""
    files = [{"split": asked.split, "path": f"{folder}/{asked.split}-*"}, {"split": "other", "path": "data/other-*"}]
    return f"---\nconfigs:\n- config_name: default\n  data_files: {json.dumps(files)}\n---\n".encode()


def serve(name: str, server) -> int:
    """Put a set on the hub; the bytes that its download needs."""
    asked = hub_files.parsed(name)
    root = f"datasets/{asked.repository}"
    if asked.file:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for seed, wnid in enumerate(CLASSES):
                archive.writestr(f"sketch/{wnid}/sketch_{seed}.JPEG", jpeg(seed))
        server.files |= {f"{root}/{asked.file}": stream.getvalue(), f"{root}/script.py": b"never run"}
        return len(stream.getvalue())
    if "imagenet-r" in name:  # it has no declared classes
        columns = {"wnid": CLASSES, "class_name": ["tench", "springer", "parachute"]}
        kinds = {"image": hub.Image(), "wnid": hub.Value("string"), "class_name": hub.Value("string")}
    else:
        columns, kinds = {"label": [0, 1, 2]}, {"image": hub.Image(), "label": hub.ClassLabel(names=CLASSES)}
    folder = "test" if "imagenet-r" in name else "data"
    needed = {
        f"{root}/{folder}/{asked.split}-0000{part}-of-00002.parquet": parquet(hub.Features(kinds), **columns)
        for part in range(2)
    }
    server.files |= needed | {f"{root}/README.md": card(asked, folder), f"{root}/data/other-00000.parquet": b"unread"}
    return sum(map(len, set(needed.values())))


@pytest.mark.parametrize("name", NAMES)
def test_a_set_is_downloaded_once_and_read(server, name):
    needed = serve(name, server)
    assert not download.is_here(name)
    reports = []
    assert download.download(name, lambda done, total: reports.append((done, total)))
    assert reports[-1][0] == reports[-1][1] >= needed
    assert download.is_here(name)
    asked = {path for path, _range in server.bodies()}
    assert not any("other-" in path or path.endswith(".py") for path in asked)
    bodies = [path for path, _range in server.bodies() if path.endswith((".parquet", ".zip"))]
    assert len(bodies) == len(set(bodies)), "nothing was fetched twice"
    before = len(server.requests)
    spec = get_dataset(name)
    assert len(server.requests) == before, "opening it asked no server"
    assert spec.title == catalog.title_of(*catalog.find(name))
    assert {item.label for item in spec.items()} >= {"tench"}
    assert len({item.label for item in spec.items()}) == 3
    assert spec.item(0).read() == jpeg(0)


@pytest.mark.parametrize("place", ["README.md", "dataset_infos.json"])
def test_files_that_do_not_declare_their_columns_have_them_from_the_repository(server, place):
    serve(GALAXIES, server)
    root = "datasets/matthieulel/galaxy10_decals"
    for path in [path for path in server.files if path.endswith("-of-00002.parquet")]:
        table = pyarrow.parquet.read_table(io.BytesIO(server.files[path])).replace_schema_metadata(None)
        stream = io.BytesIO()
        pyarrow.parquet.write_table(table, stream)
        server.files[path] = stream.getvalue()
    info = hub.DatasetInfo(features=hub.Features({"image": hub.Image(), "label": hub.ClassLabel(names=CLASSES)}))
    if place == "README.md":
        said = yaml.safe_dump({"dataset_info": info._to_yaml_dict()})
        server.files[f"{root}/{place}"] = f"---\n{said}---\n".encode()
    else:
        server.files[f"{root}/{place}"] = json.dumps(
            {"default": asdict(info) | {"features": info.features.to_dict()}}
        ).encode()
    assert download.download(GALAXIES)
    assert [item.label for item in get_dataset(GALAXIES).items()][:2] == ["tench", "English springer"]


def test_a_cut_download_is_gone_on_with(server):
    serve(GALAXIES, server)
    server.cut_after = 300
    assert download.download(GALAXIES)
    ranges = [asked for path, asked in server.bodies() if path.endswith(".parquet")]
    assert "bytes=300-" in ranges


def test_a_damaged_file_is_one_sentence_and_removed(server, tmp_path):
    serve(GALAXIES, server)
    path = next(path for path in server.files if path.endswith(".parquet"))
    server.digests[path] = "0" * 64
    with pytest.raises(DatasetError, match=r"arrived damaged: its SHA256 sum is not what is published"):
        download.download(GALAXIES)
    assert not download.is_here(GALAXIES)
    assert not list((tmp_path / "hub").rglob("*.part"))
    server.digests.clear()
    assert download.download(GALAXIES)


def test_a_gated_set_asks_for_a_log_in(server, monkeypatch):
    name = "hub:ILSVRC/imagenet-1k/validation"
    serve(name, server)
    server.gated.add("datasets/ILSVRC/imagenet-1k")
    with pytest.raises(
        DatasetError, match=r"imagenet-1k is gated: .* accept them on https://huggingface.co/datasets/ILS"
    ):
        download.download(name)
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_person_who_accepted")
    assert download.download(name)


def test_a_set_that_is_gone_is_one_sentence(server):
    with pytest.raises(DatasetError, match=r"The dataset matthieulel/galaxy10_decals is not on the hub, or is private"):
        download.download(GALAXIES)
    server.files["datasets/matthieulel/galaxy10_decals/README.md"] = b""
    with pytest.raises(DatasetError, match=r"has no parquet files of the split 'test'"):
        download.download(GALAXIES)


@pytest.mark.usefixtures("server")
def test_no_network_is_one_sentence(monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DatasetError, match=r"The hub cannot be reached for the dataset matthieulel/galaxy10_decals"):
        download.download(GALAXIES)


def test_a_disk_without_room_is_said_before_the_start(server, monkeypatch):
    serve(GALAXIES, server)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10**9, 10**9, 0))
    with pytest.raises(DatasetError, match=r"(?s)Galaxy10 DECaLS \(test\) needs .* 0\.0 GB are free .*HF_HOME"):
        download.download(GALAXIES)
    assert not [path for path, _range in server.bodies() if path.endswith(".parquet")]


def test_a_stopped_download_is_not_here(server):
    serve(GALAXIES, server)
    assert not download.download(GALAXIES, cancelled=lambda: True)
    assert not download.is_here(GALAXIES)


def test_a_set_whose_files_are_gone_is_not_here(server, tmp_path):
    serve(GALAXIES, server)
    assert download.download(GALAXIES)
    shutil.rmtree(tmp_path / "tables")
    assert not download.is_here(GALAXIES)
    assert len(get_dataset(GALAXIES)) == 6
