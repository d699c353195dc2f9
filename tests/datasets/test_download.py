"""Every set that can be downloaded, from a server on loopback in its true formats: whole, cut, damaged, and in need."""

import errno
import shutil
from collections import namedtuple
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub.utils import WeakFileLock
from torchvision.datasets import eurosat
from torchvision.datasets import utils as tv_utils

from jepa_core import images
from jepa_core.datasets import catalog, download, fetching
from jepa_core.datasets.readers import torchvision as torchvision_sets
from jepa_core.datasets.readers import torchvision_files
from jepa_core.datasets.registry import get_dataset
from jepa_core.errors import DatasetError, UnknownName
from tests import hub
from tests.datasets import small_sets

TORCHVISION = [entry.named(split) for entry, split in catalog.parts() if entry.origin == "torchvision"]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(fetching, "_PAUSES", (0.0,))
    with hub.serving() as served:
        yield served


def serve(name: str, server: hub.Hub, patch: pytest.MonkeyPatch) -> str:
    small_sets.serve(catalog.find(name)[0].key, server, patch)
    return name


@pytest.fixture
def imagenette(server, monkeypatch):
    return serve("torchvision:imagenette/val", server, monkeypatch)


def test_each_name_of_the_reader_is_in_the_catalog_and_the_other_way_round():
    assert sorted(torchvision_sets.NAMES) == sorted(TORCHVISION)


@pytest.mark.parametrize("name", TORCHVISION)
def test_a_set_is_downloaded_once_and_read(server, monkeypatch, name):
    serve(name, server, monkeypatch)
    reports = []
    assert not download.is_here(name)
    assert download.download(name, lambda done, total: reports.append((done, total)))
    needed = sum(len(server.files[path.lstrip("/")]) for path in {path for path, _range in server.bodies()})
    assert server.sent == needed
    assert (needed, needed) in reports, "all of it was told"
    assert download.is_here(name)
    spec = get_dataset(name)
    assert len(spec) == (15 if name == "torchvision:cifar-10/train" else 3)  # five batches
    assert len({item.label for item in spec.items()}) == 3
    assert not any(label.startswith(("/", "(")) for label in spec.classes)
    shapes = {images.decode(item.read()).image.size for item in spec.items()}
    assert len(shapes) == 1
    assert server.sent == needed, "opening it fetched nothing"
    left = [path.name for path in torchvision_files.folder(catalog.find(name)[0].key).parent.iterdir()]
    assert left == [catalog.find(name)[0].key], "no archive and no partial file is left"


@pytest.mark.parametrize("name", ["torchvision:mnist/test", "torchvision:places365/val"])
def test_how_large_a_set_is_can_be_asked(server, monkeypatch, name):
    serve(name, server, monkeypatch)
    size = download.ask_size(name)
    assert size == sum(map(len, server.files.values()))
    assert server.sent == 0


def test_opening_a_set_downloads_it(imagenette):
    spec = get_dataset(imagenette)
    assert (spec.title, spec.classes) == ("Imagenette (val)", ("tench", "English springer", "parachute"))


def test_the_address_of_eurosat_is_torchvisions(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(eurosat, "download_and_extract_archive", lambda url, md5, **_kwargs: asked.append((url, md5)))
    with pytest.raises(RuntimeError, match="Dataset not found"):
        eurosat.EuroSAT(tmp_path, download=True)
    assert asked == [torchvision_files.EUROSAT]


def test_a_lost_connection_is_taken_up_where_it_was(server, imagenette):
    server.cut_after = 500
    assert download.download(imagenette)
    assert [asked for _path, asked in server.bodies()] == ["", "bytes=500-"]
    assert server.sent == len(server.files["imagenette2-160.tgz"])


def test_a_stopped_download_goes_on_where_it_was(server, monkeypatch, tmp_path):
    content = small_sets.pixels(1_000_000).tobytes()
    source = fetching.Source(
        small_sets.Served(server, monkeypatch).put("file", content)[:1], ("md5", small_sets.md5(content))
    )
    seen = []
    with pytest.raises(fetching.Stopped):
        fetching.fetch(source, tmp_path / "file", seen.append, lambda: bool(seen) and seen[-1] > 100_000)
    kept = (tmp_path / "file.part").stat().st_size
    assert 100_000 < kept < len(content)
    assert not (tmp_path / "file").exists()
    fetching.fetch(source, tmp_path / "file", seen.append, lambda: False)
    assert (tmp_path / "file").read_bytes() == content
    assert [asked for _path, asked in server.bodies()] == ["", f"bytes={kept}-"]
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_set_that_was_stopped_is_not_here(imagenette):
    assert not download.download(imagenette, cancelled=lambda: True)
    assert not download.is_here(imagenette)
    assert download.download(imagenette)


def test_a_server_that_knows_no_ranges_sends_all_of_it_again(server, imagenette):
    server.ignores_ranges = True
    server.cut_after = 500
    assert download.download(imagenette)
    assert server.sent == 500 + len(server.files["imagenette2-160.tgz"])
    assert len(get_dataset(imagenette)) == 3


def test_a_wrong_checksum_is_one_sentence_and_the_next_try_starts_anew(server, imagenette):
    whole = server.files["imagenette2-160.tgz"]
    server.files["imagenette2-160.tgz"] = whole[:-1] + b"?"
    with pytest.raises(DatasetError, match=r"imagenette2-160.tgz arrived damaged: its MD5 sum .* download it again\.$"):
        download.download(imagenette)
    server.files["imagenette2-160.tgz"] = whole
    assert download.download(imagenette)
    assert [asked for _path, asked in server.bodies()] == ["", ""]


def test_what_a_download_left_of_another_file_is_found_out(server, imagenette, cache):
    part = cache / "datasets" / "imagenette.part" / "files" / "imagenette2-160.tgz.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(10 + len(server.files["imagenette2-160.tgz"])))  # longer than the whole
    with pytest.raises(DatasetError, match="arrived damaged"):
        download.download(imagenette)
    assert download.download(imagenette)


def test_a_disk_without_room_is_said_before_the_start(server, imagenette, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10**9, 10**9, 50 * 10**6))
    with pytest.raises(
        DatasetError, match=r"Imagenette \(val\) needs 0\.1 GB on the disk .* 0\.1 GB are free .* make room"
    ):
        download.download(imagenette)
    assert server.sent == 0


def test_a_disk_that_fills_up_is_said_and_what_arrived_is_kept(server, imagenette, monkeypatch, cache):
    real = Path.open

    class Full:
        def __init__(self, file):
            self.file = file

        def write(self, content):
            if self.file.tell() + len(content) > 600:
                self.file.write(content[: 600 - self.file.tell()])
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(content)

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *_args):
            self.file.close()

    def open_(path, mode="r", *args, **kwargs):
        file = real(path, mode, *args, **kwargs)
        return Full(file) if mode == "ab" else file

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", open_)
        with pytest.raises(DatasetError, match=r"cannot be written \(the disk is full\).* What has arrived is kept\."):
            download.download(imagenette)
    assert (cache / "datasets/imagenette.part/files/imagenette2-160.tgz.part").stat().st_size == 600
    assert download.download(imagenette)
    assert [asked for _path, asked in server.bodies()] == ["", "bytes=600-"]


def test_no_network_is_one_sentence(server, imagenette, monkeypatch):
    port = server.address.rsplit(":", 1)[1]
    url, digest = torchvision_files.files_of("imagenette", "val")[0].urls[0], "0" * 32
    server.address = "http://127.0.0.1:9"
    from torchvision import datasets as tv

    monkeypatch.setitem(tv.Imagenette._ARCHIVES, "160px", (url.replace(port, "9"), digest))
    with pytest.raises(
        DatasetError, match=r"The server 127\.0\.0\.1:9 cannot be reached for .* What has arrived is kept"
    ):
        download.download(imagenette)
    with pytest.raises(DatasetError, match="cannot be reached"):
        get_dataset(imagenette)


def test_a_file_that_is_gone_is_one_sentence(server, imagenette):
    server.files.clear()
    with pytest.raises(DatasetError, match=r"imagenette2-160\.tgz answered 404"):
        download.download(imagenette)


def test_the_second_server_is_asked_where_the_first_has_not_the_file(server, monkeypatch):
    name = serve("torchvision:mnist/test", server, monkeypatch)
    from torchvision import datasets as tv

    monkeypatch.setattr(tv.MNIST, "mirrors", ["http://127.0.0.1:9/", f"{server.address}/gone/", *tv.MNIST.mirrors])
    assert download.download(name)
    assert len(get_dataset(name)) == 3


def test_unpacking_can_be_stopped_and_leaves_nothing_half(server, imagenette, cache):
    size = len(server.files["imagenette2-160.tgz"])
    told = []

    def progress(done: int, _total: int) -> None:
        told.append(done)

    whole = lambda: told.count(size) > 0 and told[-1] <= size and len(told) > told.index(size) + 1  # noqa: E731
    assert not download.download(imagenette, progress, whole)
    assert not (cache / "datasets" / "imagenette").exists()
    before = server.sent
    assert download.download(imagenette)
    assert server.sent == before
    assert len(get_dataset(imagenette)) == 3


def test_another_program_at_the_same_set_is_said(imagenette, monkeypatch):
    monkeypatch.setattr(download, "_PATIENCE", 0.2)
    lock = torchvision_files.folder("imagenette").with_name("imagenette.lock")
    lock.parent.mkdir()
    with (
        WeakFileLock(lock),
        pytest.raises(DatasetError, match=r"Imagenette \(val\) is being downloaded by another program"),
    ):
        download.download(imagenette)
    assert download.download(imagenette)


def test_what_is_said_to_a_server_is_not_said_to_where_it_sends_one(server, monkeypatch, tmp_path):
    served = small_sets.Served(server, monkeypatch)
    url, digest = served.put("file", b"content")
    asked = []

    class Sending(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers.get("Authorization"))
            self.send_response(302)
            self.send_header("Location", url)
            self.end_headers()

        def log_message(self, *_args):
            pass

    sending = ThreadingHTTPServer(("127.0.0.1", 0), Sending)
    Thread(target=sending.serve_forever, daemon=True).start()
    address = f"http://localhost:{sending.server_port}/file"
    source = fetching.Source((address,), ("md5", digest), {"authorization": "Bearer secret"}, 7)
    fetching.fetch(source, tmp_path / "file", lambda _done: None, lambda: False)
    sending.shutdown()
    sending.server_close()
    assert asked == ["Bearer secret"]
    assert server.tokens == [None]
    assert (tmp_path / "file").read_bytes() == b"content"


def test_damaged_files_of_a_set_are_downloaded_again(server, monkeypatch, cache):
    name = serve("torchvision:cifar-10/test", server, monkeypatch)
    assert len(get_dataset(name)) == 3
    (cache / "datasets/cifar-10/cifar-10-batches-py/test_batch").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    assert len(get_dataset(name)) == 3


def test_a_server_for_visitors_downloads_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("JEPA_DATA_ROOTS", str(tmp_path))
    with pytest.raises(DatasetError, match="downloads nothing for its visitors"):
        download.download("torchvision:mnist/test")


def test_what_is_not_in_the_catalog_is_unknown():
    with pytest.raises(
        UnknownName, match=r"Unknown dataset to download: 'nonsense'\. Must be one of: torchvision:imagenette/val"
    ):
        download.download("nonsense")


def test_short_names_mean_the_part_that_is_offered():
    assert [catalog.title_of(*catalog.find(name)) for name in ("mnist", "torchvision:svhn", "ILSVRC/imagenet-1k")] == [
        "MNIST (test)",
        "SVHN (test)",
        "ImageNet-1k (validation)",
    ]


def test_torchvision_unpacks_the_same(server, monkeypatch, tmp_path):
    """Ours is the same tree as torchvision's own unpacking makes."""
    name = serve("torchvision:dtd/test", server, monkeypatch)
    assert download.download(name)
    archive = tmp_path / "dtd-r1.0.1.tar.gz"
    archive.write_bytes(server.files["dtd-r1.0.1.tar.gz"])
    tv_utils.extract_archive(archive, tmp_path / "theirs")
    ours = torchvision_files.folder("dtd") / "dtd"
    for path in (tmp_path / "theirs").rglob("*.jpg"):
        assert (ours / path.relative_to(tmp_path / "theirs")).read_bytes() == path.read_bytes()
