"""Downloads of weights: from a hub on loopback, in its real protocol."""

import hashlib
import os

import pytest
from huggingface_hub import constants

from jepa_core.encoders import download
from jepa_core.encoders.download import Remote
from jepa_core.errors import EncoderError

CONTENT = os.urandom(300_000)
REMOTE = Remote("timm/tiny")
FILE = "timm/tiny/model.safetensors"


@pytest.fixture
def server(hub_server):
    return hub_server


def plain(server):
    """The same file on a server that is no hub."""
    server.files["weights.pth.tar"] = CONTENT
    return Remote(url=f"{server.address}/weights.pth.tar")


@pytest.mark.parametrize("kind", ["hub", "server"])
def test_weights_are_downloaded_once_into_the_ordinary_cache(server, tmp_path, kind):
    server.files[FILE] = CONTENT
    remote = REMOTE if kind == "hub" else plain(server)
    assert download.at_hand(remote) is None
    assert download.look_up(remote) == download.Weights(len(CONTENT), None, gated=False)
    assert server.sent == 0
    reports = []
    path = download.fetch(remote, lambda done, total: reports.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(tmp_path / ("hub/models--timm--tiny" if kind == "hub" else "torch/hub/checkpoints"))
    assert server.sent == len(CONTENT)
    assert reports[-1] == (len(CONTENT), len(CONTENT))
    before = len(server.requests)
    assert download.fetch(remote) == path == download.at_hand(remote)
    assert download.look_up(remote) == download.Weights(len(CONTENT), path)
    assert len(server.requests) == before


@pytest.mark.parametrize("kind", ["hub", "server"])
def test_a_cut_download_goes_on_and_fetches_nothing_twice(server, monkeypatch, kind):
    server.files[FILE] = CONTENT
    remote = REMOTE if kind == "hub" else plain(server)
    server.cut_after = 100_000
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)  # what a cut may lose; ten million, else
    calls = []

    def once(*_args, **_kwargs):  # the retry after the cut fails: the program ends here
        calls.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", once)
    with pytest.raises(KeyboardInterrupt):
        download.fetch(remote)
    assert calls
    assert download.at_hand(remote) is None
    assert download.fetch(remote).read_bytes() == CONTENT
    assert [asked for _path, asked in server.bodies()] == ["", "bytes=100000-"]
    assert server.sent == len(CONTENT)


def test_a_connection_that_comes_back_at_once_is_gone_on_with(server, monkeypatch):
    server.files[FILE] = CONTENT
    server.cut_after = 100_000
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _seconds: None)
    assert download.fetch(REMOTE).read_bytes() == CONTENT
    assert server.sent == len(CONTENT)


def test_a_damaged_file_is_not_accepted_and_removed(server):
    server.files[FILE] = CONTENT
    server.digests[FILE] = "0" * 64
    with pytest.raises(EncoderError, match="arrived damaged: their SHA-256 is not what the hub says"):
        download.fetch(REMOTE)
    assert download.at_hand(REMOTE) is None
    del server.digests[FILE]
    assert download.fetch(REMOTE).read_bytes() == CONTENT


def test_the_pickle_is_taken_where_there_is_no_safetensors_file(server):
    server.files["timm/tiny/pytorch_model.bin"] = CONTENT
    assert download.look_up(REMOTE).size == len(CONTENT)
    path = download.fetch(REMOTE)
    assert (path.name, path.read_bytes()) == ("pytorch_model.bin", CONTENT)
    assert download.at_hand(REMOTE) == path


@pytest.mark.parametrize("ask", [download.fetch, download.look_up])
@pytest.mark.parametrize(
    ("files", "gated", "words"),
    [
        ({}, {"timm/tiny"}, "are gated: .* accept the terms on that page, then run 'hf auth login'"),
        ({}, set(), "There is no repository http.*/timm/tiny, or it is private"),
        ({"timm/tiny/README.md": b""}, set(), "holds no weights; one with model.safetensors or pytorch_model.bin"),
    ],
)
def test_a_repository_that_gives_no_weights_is_said(server, ask, files, gated, words):
    server.files |= files
    server.gated |= gated
    with pytest.raises(EncoderError, match=words):
        ask(REMOTE)


def test_whether_weights_are_gated_is_known_before_their_download(server, monkeypatch):
    server.files[FILE] = CONTENT
    assert download.look_up(REMOTE).access == "not gated: anyone may download them"
    server.gated.add("timm/tiny")
    with pytest.raises(EncoderError, match="are gated"):
        download.look_up(REMOTE)
    monkeypatch.setenv("HF_TOKEN", "hf_of_a_person_who_accepted")
    assert download.look_up(REMOTE) == download.Weights(len(CONTENT), None, gated=True)
    assert download.look_up(REMOTE).access == "gated, and your token may read them"
    assert server.sent == 0
    download.fetch(REMOTE)
    assert download.look_up(REMOTE).access == "on this machine already"


def test_a_mirror_that_only_serves_files_does_not_say_who_may_have_them(server):
    server.files[FILE] = CONTENT
    server.only_files = True
    assert download.look_up(REMOTE).access == "the server does not say whether they are gated"
    assert download.fetch(REMOTE).read_bytes() == CONTENT


def test_a_server_that_begins_anew_leaves_nothing_corrupt(server, monkeypatch):
    # It ignores the range that was asked for, and sends the whole file once more.
    server.files[FILE] = CONTENT
    server.cut_after, server.ignores_ranges = 100_000, True
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _seconds: None)
    assert download.fetch(REMOTE).read_bytes() == CONTENT
    assert server.sent == 100_000 + len(CONTENT)


def test_a_part_that_was_damaged_on_the_disk_is_not_accepted(server, tmp_path):
    server.files[FILE] = CONTENT
    blobs = tmp_path / "hub" / "models--timm--tiny" / "blobs"
    blobs.mkdir(parents=True)
    digest = hashlib.sha256(CONTENT).hexdigest()
    (blobs / f"{digest}.incomplete").write_bytes(bytes(100_000))
    with pytest.raises(EncoderError, match="arrived damaged"):
        download.fetch(REMOTE)
    assert download.fetch(REMOTE).read_bytes() == CONTENT


def test_a_file_that_a_server_lacks_is_said(server):
    with pytest.raises(EncoderError, match="answered 404"):
        download.fetch(Remote(url=f"{server.address}/weights.pth.tar"))


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("kind", ["hub", "server"])
def test_no_network_is_said(monkeypatch, kind):
    nobody = "http://127.0.0.1:9"  # the port of "discard", on which nothing listens
    template = nobody + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    with pytest.raises(EncoderError, match="cannot be reached"):
        download.fetch(REMOTE if kind == "hub" else Remote(url=f"{nobody}/weights.pth.tar"))


def test_offline_mode_downloads_nothing_and_uses_what_is_here(server, monkeypatch):
    server.files[FILE] = CONTENT
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(EncoderError, match="HF_HUB_OFFLINE forbids to download them"):
        download.fetch(REMOTE)
    assert not server.requests
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    path = download.fetch(REMOTE)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert download.fetch(REMOTE) == path


def test_a_full_disk_is_said(server, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    server.files[FILE] = CONTENT
    monkeypatch.setattr(download, "http_get", full)
    with pytest.raises(EncoderError, match=r"cannot be written \(No space left on device; .* GB are free\)"):
        download.fetch(REMOTE)


@pytest.mark.parametrize(
    ("architecture", "remote"),
    [
        ("vit_small_patch14_dinov2.lvd142m", Remote("timm/vit_small_patch14_dinov2.lvd142m")),
        (
            "vit_huge_patch14_gap_224.in1k_ijepa",
            Remote(url="https://dl.fbaipublicfiles.com/ijepa/IN1K-vit.h.14-300e.pth.tar"),
        ),
    ],
)
def test_timm_says_where_weights_are(architecture, remote):
    assert download.remote_of(architecture) == remote


@pytest.mark.parametrize("architecture", ["vit_nowhere", "vit_small_patch14_dinov2.none", "test_vit4"])
def test_an_architecture_without_weights_is_said(architecture):
    with pytest.raises(EncoderError, match="timm has no weights for"):
        download.remote_of(architecture)
