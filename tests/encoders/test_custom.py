"""Encoders whose weights are given by hand: from a file, and from a folder in the layout of the hub's cache."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch

from jepa_core.encoders import catalog, custom, download
from jepa_core.encoders.registry import get_spec, list_encoders, load_encoder
from jepa_core.errors import EncoderError, UnknownName
from jepa_core.scoring.encoder_output import EncoderOutput
from tests.encoders.test_timm_weights import published, put, tiny


@pytest.fixture
def specs(monkeypatch):
    """Two encoders of the catalogue with small networks: one as published, one without its classifier."""
    found = {name: tiny(name) for name in ("dinov2-s14", "supervised-s16")}
    monkeypatch.setattr(catalog, "specs", lambda: iter(found.values()))
    return found


@pytest.fixture
def weights(specs):
    """The weights of `dinov2-s14`, and the network that they came from."""
    return published(specs["dinov2-s14"])


@pytest.fixture
def path(tmp_path, weights):
    safetensors.torch.save_file(weights[0], tmp_path / "own.safetensors")
    return tmp_path / "own.safetensors"


def same(encoder, model) -> bool:
    """Whether an encoder's backbone gives what a network of timm does."""
    images = torch.randn(2, *encoder.input_shape, generator=torch.Generator().manual_seed(1))
    expected = model.eval().forward_head(model.forward_features(images), pre_logits=True)
    return torch.allclose(encoder.module("backbone")(images), expected, rtol=1e-5, atol=1e-5)


def test_an_encoder_with_own_weights_is_at_hand_from_then_on(path, weights):
    encoder = custom.add("mine", "dinov2-s14", str(path), "cpu")
    assert same(encoder, weights[1])
    spec = list_encoders()["mine"]
    assert (spec.source, spec.weights, spec.weights_digest) == ("file", path, encoder.weights)
    assert spec.licence == "that of its owner"
    again = load_encoder("mine", "cpu")
    assert same(again, weights[1])
    assert EncoderOutput.of(spec).config() == EncoderOutput.of(again).config()


def test_results_of_other_weights_are_kept_apart(path, weights):
    first = custom.add("mine", "dinov2-s14", str(path), "cpu").spec
    # The same name, the same file name: what is in the file counts.
    safetensors.torch.save_file({name: 2 * tensor for name, tensor in weights[0].items()}, path)
    second = custom.add("mine", "dinov2-s14", str(path), "cpu").spec
    assert first.weights_digest != second.weights_digest
    assert EncoderOutput.of(first).config().key != EncoderOutput.of(second).config().key
    assert list_encoders()["mine"] == second


def test_a_file_that_has_changed_or_is_gone_is_not_used(path, weights):
    custom.add("mine", "dinov2-s14", str(path), "cpu")
    safetensors.torch.save_file({name: 2 * tensor for name, tensor in weights[0].items()}, path)
    with pytest.raises(EncoderError, match="are not those with which encoder 'mine' was added"):
        load_encoder("mine", "cpu")
    path.unlink()
    with pytest.raises(EncoderError, match=r"own\.safetensors do not load into"):
        load_encoder("mine", "cpu")


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"state_dict": state, "epoch": 3}])
@pytest.mark.parametrize("name", ["own.pth", "own.bin", "own.pt"])
def test_a_pickle_of_tensors_alone_is_read(tmp_path, weights, wrap, name):
    torch.save(wrap(weights[0]), tmp_path / name)
    assert same(custom.add("mine", "dinov2-s14", str(tmp_path / name), "cpu"), weights[1])


@pytest.mark.usefixtures("specs")
def test_a_pickle_that_is_a_program_is_not_run(tmp_path):
    class Program:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    torch.save({"weights": Program()}, tmp_path / "own.pth")
    with pytest.raises(EncoderError, match="a pickle of more than weights, which could run a program"):
        custom.add("mine", "dinov2-s14", str(tmp_path / "own.pth"))
    assert not (tmp_path / "ran").exists()
    assert "mine" not in list_encoders()


def wrong_files(weights: dict) -> dict[str, tuple[str, bytes, str]]:
    """What is wrong: a file's name, its content, and what is said of it."""
    whole = safetensors.torch.save(weights)
    short = {name: tensor for name, tensor in weights.items() if name != "norm.weight"}
    wider = weights | {"norm.weight": torch.zeros(7)}
    return {
        "missing": ("a.safetensors", safetensors.torch.save(short), r'Missing key\(s\) in state_dict: "norm.weight"'),
        "shape": ("a.safetensors", safetensors.torch.save(wider), "size mismatch for norm.weight"),
        "another": ("a.safetensors", safetensors.torch.save({"x": torch.zeros(1)}), "Missing key"),
        "no safetensors": ("a.safetensors", b"not weights at all", "do not load into"),
        "truncated": ("a.safetensors", whole[: len(whole) // 2], "do not load into"),
        "empty": ("a.safetensors", b"", "do not load into"),
        "no pickle": ("a.pth", b"not weights at all", "are no weights, or a pickle of more than weights"),
        "empty pickle": ("a.pth", b"", "do not load into"),
        "neither": ("a.txt", b"a text", "do not load into"),
    }


@pytest.mark.parametrize("case", wrong_files({}))
def test_a_file_that_does_not_fit_is_said_in_a_sentence(tmp_path, weights, case):
    name, content, said = wrong_files(weights[0])[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EncoderError, match=said) as raised:
        custom.add("mine", "dinov2-s14", str(tmp_path / name))
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 700
    assert "mine" not in list_encoders()


@pytest.mark.usefixtures("specs")
def test_a_list_of_tensors_is_said(tmp_path):
    torch.save([torch.zeros(1)], tmp_path / "a.pth")
    with pytest.raises(EncoderError, match=r"do not load into .*; a whole file of this architecture is accepted"):
        custom.add("mine", "dinov2-s14", str(tmp_path / "a.pth"))


@pytest.mark.parametrize("classes", [0, 3, 1000])
def test_a_classifier_of_any_size_is_left_out(tmp_path, specs, classes):
    spec = specs["supervised-s16"]
    model = timm.create_model(spec.architecture, num_classes=classes, **spec.architecture_kwargs)
    safetensors.torch.save_file(model.state_dict(), tmp_path / "tuned.safetensors")
    encoder = custom.add("tuned", "supervised-s16", str(tmp_path / "tuned.safetensors"), "cpu")
    assert same(encoder, model)


def test_any_architecture_of_timm_takes_weights(tmp_path):
    model = timm.create_model("test_vit4", num_classes=5)  # of which none are published
    safetensors.torch.save_file(model.state_dict(), tmp_path / "own.safetensors")
    encoder = custom.add("mine", "timm:test_vit4", str(tmp_path / "own.safetensors"), "cpu")
    assert same(encoder, model)
    small = custom.add("mine-96", "timm:test_vit4@96", str(tmp_path / "own.safetensors"), "cpu")
    assert small.input_shape == (3, 96, 96)
    assert EncoderOutput.of(small.spec).config().key != EncoderOutput.of(encoder.spec).config().key


# --- folders ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def cache_folder(hub_server, specs, weights, tmp_path):
    """A folder that was copied from the hub's cache of another machine."""
    spec = specs["dinov2-s14"]
    put(hub_server, spec, weights[0])
    download.fetch(download.remote_of(spec.architecture))
    shutil.copytree(tmp_path / "hub", tmp_path / "copied", symlinks=True)
    shutil.rmtree(tmp_path / "hub")
    return tmp_path / "copied"


REPOSITORY = "models--timm--vit_small_patch14_dinov2.lvd142m"


@pytest.mark.parametrize("below", ["", REPOSITORY])
def test_a_folder_of_the_hubs_cache_is_read(cache_folder, weights, hub_server, below):
    before = len(hub_server.requests)
    encoder = custom.add("mine", "dinov2-s14", str(cache_folder / below), "cpu")
    assert same(encoder, weights[1])
    assert encoder.spec.weights.name == "model.safetensors"
    assert same(load_encoder("mine", "cpu"), weights[1])
    assert len(hub_server.requests) == before


def test_of_several_repositories_that_of_the_encoder_is_read(cache_folder, weights):
    shutil.copytree(cache_folder / REPOSITORY, cache_folder / "models--other--encoder", symlinks=True)
    assert same(custom.add("mine", "dinov2-s14", str(cache_folder), "cpu"), weights[1])
    (cache_folder / REPOSITORY).rename(cache_folder / "models--another--encoder")
    with pytest.raises(EncoderError, match="holds the weights of another/encoder, other/encoder; one of one encoder"):
        custom.add("mine", "dinov2-s14", str(cache_folder))
    assert same(custom.add("mine", "dinov2-s14", str(cache_folder / "models--other--encoder"), "cpu"), weights[1])


@pytest.mark.parametrize("gone", ["snapshots", "blobs", "snapshots/*/*", ""])
def test_a_folder_without_a_whole_snapshot_is_said(cache_folder, gone):
    folder = cache_folder / REPOSITORY
    for path in folder.glob(gone) if "*" in gone else [folder / gone]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for given in [cache_folder, folder] if gone else [cache_folder]:
        with pytest.raises(EncoderError, match="has no snapshot with weights"):
            custom.add("mine", "dinov2-s14", str(given))


# --- what else is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["", "nowhere.safetensors", "/nowhere/else"])
@pytest.mark.usefixtures("specs")
def test_a_path_that_is_not_there_is_said(given):
    with pytest.raises(EncoderError, match="There is no file or folder"):
        custom.add("mine", "dinov2-s14", given)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "cannot be that of an encoder"),
        ("a/b", "cannot be that of an encoder"),
        ("timm:x", "cannot be that of an encoder"),
        ("a@112", "cannot be that of an encoder"),
        ("digits", "is that of another encoder"),
        ("dinov2-s14", "is that of another encoder"),
    ],
)
def test_a_name_that_cannot_be_or_is_taken_is_refused(path, name, said):
    with pytest.raises(EncoderError, match=said):
        custom.add(name, "dinov2-s14", str(path))


def test_an_architecture_that_there_is_not_is_refused(path):
    with pytest.raises(UnknownName, match=r"Unknown architecture: 'nothing'\. .* Or give timm:MODEL"):
        custom.add("mine", "nothing", str(path))
    with pytest.raises(EncoderError, match="timm makes no model 'nothing'"):
        custom.add("mine", "timm:nothing", str(path))


def test_a_server_for_visitors_loads_no_weights_of_theirs(path, monkeypatch, tmp_path):
    monkeypatch.setenv("JEPA_DATA_ROOTS", str(tmp_path))
    with pytest.raises(EncoderError, match="this server loads none of its visitors'"):
        custom.add("mine", "dinov2-s14", str(path))


# --- the terminal -----------------------------------------------------------------------------------------------------


def test_the_terminal_adds_an_encoder_and_scores_with_it(path, command):
    status, out, err = command("encoders", "mine", "--like", "dinov2-s14", "--weights", path, "--json")
    assert status == 0, err
    assert json.loads(out)["weights"] == "here"
    status, out, _err = command("encoders", "--json")
    assert "mine" in [row["name"] for row in json.loads(out)]
    status, out, err = command(
        "score", "--encoder", "mine", "--data", "digits-test", "--limit", "2", "--device", "cpu", "--json"
    )
    assert status == 0, err
    assert len(json.loads(out)) == 2
    assert get_spec("mine").weights == path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("encoders", "--like", "dinov2-s14", "--weights", "x.safetensors"), "give all three"),
        (("encoders", "mine", "--weights", "x.safetensors"), "give all three"),
        (("encoders", "mine", "--like", "dinov2-s14", "--weights", "x.safetensors"), "There is no file or folder"),
    ],
)
@pytest.mark.usefixtures("specs")
def test_what_is_missing_is_one_line(command, words, said):
    status, out, err = command(*words)
    assert (status, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1


def test_the_terminal_says_what_an_encoder_costs_before_anything_is_downloaded(
    command, hub_server, specs, weights, monkeypatch
):
    from jepa_core.encoders import cost

    monkeypatch.setattr(cost, "engine_rate", lambda _device, precision="fp32": 1e9)  # noqa: ARG005
    spec = replace(specs["dinov2-s14"], parameters=1_000_000)
    monkeypatch.setattr(catalog, "specs", lambda: iter([spec]))
    put(hub_server, spec, weights[0])
    status, out, err = command("encoders", "dinov2-s14", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert found["access"] == "not gated: anyone may download them"
    assert found["licence"] == "Apache 2.0"
    assert found["size"] == f"{len(safetensors.torch.save(weights[0])) / 1e6:.1f} MB"
    assert found["parameters"] == 1_000_000
    assert found["outputs"] == "backbone (K=48)"
    assert found["seconds an image, backbone"] == pytest.approx(48 * cost.forward_flop(spec) / 1e9, rel=0.1)
    assert hub_server.sent == 0
    hub_server.gated.add("timm/vit_small_patch14_dinov2.lvd142m")
    status, out, _err = command("encoders", "dinov2-s14")
    assert status == 0
    assert "accept the terms on that page" in out
