"""Scores as a dataset of the hub, against a hub on loopback: what arrives there, and what goes wrong on the way."""

import io
import json

import pandas as pd
import pytest
from huggingface_hub import constants
from huggingface_hub.repocard import DatasetCard

from jepa_core.integrations import hub_dataset

TOKEN = "hf_of_a_test"


@pytest.fixture
def hub(hub_server, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    hub_server.writers[TOKEN] = {"ann"}
    return hub_server


@pytest.fixture
def push(install_tiny, folder, command):
    install_tiny()
    assert command("score", "--encoder", "tiny", "--data", folder)[0] == 0
    return lambda repository="ann/mine", *more: command(
        "export", "--encoder", "tiny", "--data", folder, "--push", repository, *more
    )


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub's own use of httpx2
@pytest.mark.parametrize("large", [False, True])
def test_the_table_and_a_card_arrive_and_no_path_of_this_machine(hub, push, folder, large, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # what large files go by instead is spoken here
    hub.large = large
    status, out, err = push("ann/mine", "--json")
    assert status == 0, err
    assert json.loads(out) == [{"rows": 12, "file": f"{hub.address}/datasets/ann/mine"}]
    assert "Uploading 12 scores and embeddings, and no picture, to ann/mine." in err
    assert hub.datasets == {"ann/mine": "private"}
    assert set(hub.files) == {"datasets/ann/mine/scores.parquet", "datasets/ann/mine/README.md"}
    assert bool(hub.blobs) is large
    content = hub.files["datasets/ann/mine/scores.parquet"]
    table = pd.read_parquet(io.BytesIO(content))
    assert sorted(table["name"]) == sorted(f"{('even', 'odd')[seed % 2]}/{seed}.png" for seed in range(12))
    assert table["path"].isna().all()
    assert set(table["dataset"]) == {"pictures"}
    assert len(table["embedding"][0]) == 16
    card = hub.files["datasets/ann/mine/README.md"].decode()
    for sent in (content, card.encode()):
        assert str(folder.parent).encode() not in sent
    parsed = DatasetCard(card)
    assert parsed.data.tags == ["jepa-score"]
    assert parsed.data.pretty_name == "JEPA-SCOREs of pictures by tiny"
    assert "each of 12 images: scores (all of them full)" in parsed.text
    assert "| licence of the encoder | MIT |" in parsed.text
    assert "that of its owner; no picture is in this dataset" in parsed.text


def test_it_is_written_again_beside_a_file_and_its_card_too(hub, push, tmp_path):
    assert push()[0] == 0
    hub.files["datasets/ann/mine/README.md"] += b"An older word."
    path = tmp_path / "scores.parquet"
    status, out, err = push("ann/mine", "--out", path)
    assert status == 0, err
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["12", "12"]
    assert not hub.files["datasets/ann/mine/README.md"].endswith(b"An older word.")
    assert pd.read_parquet(path)["path"].notna().all()


def test_a_dataset_of_something_else_stays_as_it_is(hub, push):
    hub.datasets["ann/mine"] = "public"
    hub.files["datasets/ann/mine/README.md"] = b"# Birds\n"
    status, out, err = push()
    assert (status, out) == (1, "")
    assert err.splitlines()[-1] == (
        "error: The dataset ann/mine has a card that was not written here, so it is left as it is; a name that is "
        "free, or a dataset with the tag jepa-score, is accepted; give another name."
    )
    assert hub.files == {"datasets/ann/mine/README.md": b"# Birds\n"}


def test_whoever_is_not_logged_in_is_told_before_anything_is_read(hub, push, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    assert push() == (
        1,
        "",
        "error: Scores were to be uploaded, but nobody is logged in to the Hugging Face hub; a token that may write is "
        "accepted; run 'hf auth login'.\n",
    )
    assert hub.requests == []


@pytest.mark.parametrize(("repository", "token", "status"), [("bob/mine", TOKEN, 403), ("ann/mine", "hf_old", 401)])
def test_without_the_right_to_write_it_is_one_sentence(hub, push, repository, token, status, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", token)
    code, _out, err = push(repository)
    assert code == 1
    assert err.splitlines()[-1] == (
        f"error: The hub refused to have {repository} written ({status}); a token with the right to write there is "
        "accepted; check the name, or run 'hf auth login' with such a token."
    )
    assert hub.files == {}


def test_a_server_in_trouble_and_no_network_are_one_sentence_each(hub, push, monkeypatch):
    hub.busy = True
    assert "error: The hub answered 503 when ann/mine was to be written; " in push()[2]
    hub.busy = False
    hub.garbled = True
    code, _out, err = push()
    assert code == 1
    assert f"error: The upload to ann/mine at {hub.address} did not go through (Expecting value: line 1 column" in err
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    code, _out, err = push()
    assert code == 1
    assert err.splitlines()[-1].startswith(
        "error: The hub at http://127.0.0.1:9 cannot be reached, so ann/mine was not written; a machine with a network"
    )


@pytest.mark.parametrize("repository", ["mine", "ann/mine/more", "ann/.mine.", "ann/a b", ""])
def test_what_is_no_name_of_a_dataset_is_refused_first(command, repository):
    status, out, err = command("export", "--data", "digits-test", "--push", repository)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"{repository!r} was given where OWNER/NAME, a dataset of the hub, is accepted" in err


def test_a_server_with_visitors_uploads_nothing(hub, push, folder, monkeypatch):
    monkeypatch.setenv("JEPA_DATA_ROOTS", str(folder))
    status, _out, err = push()
    assert status == 1
    assert "asked to upload scores to the Hugging Face hub, which its visitors may not" in err
    assert hub.requests == []


def test_the_tag_by_which_a_card_is_known_is_in_the_card(tiny, folder):
    from jepa_core.datasets.registry import get_dataset
    from jepa_core.scoring.encoder_output import EncoderOutput

    table = pd.DataFrame({"estimated": [True, False]})
    card = hub_dataset._card(EncoderOutput.of(tiny.spec), get_dataset(folder), 'a "b": c', table, "bf16")
    assert f"- {hub_dataset.TAG}\n" in card
    assert "1 of them estimates with a 90 % interval" in card
    assert DatasetCard(card).data.pretty_name == 'JEPA-SCOREs of a "b": c by tiny'
