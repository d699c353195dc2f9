"""A damaged file that nobody asked for ends no command and no list; it is named once. One that is asked for is told."""

import json
import logging
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from jepa_core import images, notices
from jepa_core.analysis import agreement, umap_cache
from jepa_core.datasets import listings, registry
from jepa_core.encoders import registry as encoders_registry
from jepa_core.encoders import timm_weights
from jepa_core.errors import DatasetError, JepaError
from jepa_core.store import crops, shipped
from jepa_core.store.records import Member
from jepa_core.store.results import Store
from jepa_core.theory import EXPERIMENTS
from jepa_core.theory import experiment as theory_experiment
from tests.store.test_results import CONFIG, results


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    monkeypatch.setattr(notices, "_said", {})


@pytest.fixture
def own_listings(tmp_path, monkeypatch) -> Path:
    """The shipped listings in a folder of this test."""
    folder = shutil.copytree(listings.ASSETS / "listings", tmp_path / "assets" / "listings")
    monkeypatch.setattr(listings, "ASSETS", tmp_path / "assets")
    return folder


def bad_bytes(path: Path) -> None:
    path.write_bytes(b"name,label,digest\na/b.png,x,\xff\xfe\n")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def other_columns(path: Path) -> None:
    path.write_text("one,two\n1,2\n")


def more_fields(path: Path) -> None:
    path.write_text(f"name,label,digest\na,b,{'0' * 64},surplus\n")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def nul(path: Path) -> None:
    path.write_bytes(b"\0" * 4096)


def folder_instead(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [bad_bytes, cut, other_columns, more_fields, empty, nul, folder_instead])
def test_a_damaged_listing_is_named_once_and_takes_no_other_dataset_away(own_listings, spoil, caplog):
    before = set(registry.list_datasets())
    spoil(own_listings / "mnist.csv")
    listings._read.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert set(registry.list_datasets()) == before - {"mnist"}
        registry.list_datasets()
        assert registry.get_dataset("digits-test").name == "digits-test"
    assert len(caplog.records) == 1
    [said] = notices.all_said()
    assert "The listing mnist.csv cannot be read (" in said
    with pytest.raises(DatasetError, match=r"The listing mnist\.csv cannot be read \(.*restore the file, or remove it"):
        registry.get_dataset("mnist")


def test_a_listing_that_is_whole_again_is_there_again(own_listings):
    whole = (own_listings / "mnist.csv").read_bytes()
    bad_bytes(own_listings / "mnist.csv")
    listings._read.cache_clear()
    registry.list_datasets()
    (own_listings / "mnist.csv").write_bytes(whole)
    assert "mnist" in registry.list_datasets()
    assert notices.all_said() == []


def test_no_command_ends_by_a_damaged_listing(own_listings, command):
    bad_bytes(own_listings / "mnist.csv")
    listings._read.cache_clear()
    status, out, err = command("datasets")
    assert status == 0
    assert "digits-test" in out
    assert "Traceback" not in err


CARD_DAMAGE = [
    lambda card: card.update(outputs=[]),
    lambda card: card.update(outputs={"projector": "16"}),
    lambda card: card.update(data_config={}),
    lambda card: card.update(data_config={"input_size": "abc"}),
    lambda card: card.update(ranks=["projector"]),
    lambda card: card.update(name=7),
    lambda card: card.update(projector=[None]),
    lambda card: card.pop("licence"),
]


@pytest.mark.parametrize("damage", CARD_DAMAGE)
def test_a_card_with_values_of_another_kind_is_left_out_and_named_once(install_tiny, damage, caplog):
    card = install_tiny()
    content = json.loads(card.read_text())
    damage(content)
    card.write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING):
        assert "tiny" not in encoders_registry.list_encoders()
        assert "digits" in encoders_registry.list_encoders()
    assert len(caplog.records) == 1
    with pytest.raises(JepaError, match=r"The model card .*tiny\.json cannot be read"):
        encoders_registry.get_spec("tiny")


def weights(cache: Path, **entries: object) -> None:
    good = {
        "name": "good",
        "family": "",
        "source": "timm",
        "architecture": "resnet18",
        "outputs": {"backbone": 512},
        "data_config": {"input_size": [3, 224, 224]},
    }
    (cache / "weights.json").write_text(json.dumps({"good": good} | entries))


@pytest.mark.parametrize("entry", [None, 7, [], {}, {"name": "bad"}, {"name": "bad", "outputs": 3}, {"surplus": 1}])
def test_one_damaged_entry_of_the_weights_takes_no_other_away(cache, entry):
    weights(cache, bad=entry)
    assert list(timm_weights.recalled()) == ["good"]


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"7", b"[" * 100_000])
def test_damaged_weights_count_as_none(cache, content):
    (cache / "weights.json").write_bytes(content)
    assert timm_weights.recalled() == {}


@pytest.mark.usefixtures("cache")
def test_a_map_with_bytes_of_any_kind_counts_as_none():
    digests = [f"{number:064x}" for number in range(40)]
    path = umap_cache.map_path("key")
    path.parent.mkdir()
    np.savez(path, places=np.zeros((40, 2)), measured=np.zeros(2))
    whole = path.read_bytes()
    assert umap_cache.kept("key", digests) is not None
    for seed in range(200):
        chance = random.Random(seed)
        spoiled = bytearray(whole)
        for _ in range(3):
            spoiled[chance.randrange(len(spoiled))] = chance.randrange(256)
        path.write_bytes(spoiled)
        umap_cache.kept("key", digests)  # raises nothing


def test_shipped_results_with_bytes_of_any_kind_are_told(tmp_path, monkeypatch):
    experiment = EXPERIMENTS["spheres"]
    whole = theory_experiment.shipped_path(experiment).read_bytes()
    monkeypatch.setattr(theory_experiment, "ASSETS", tmp_path)
    path = theory_experiment.shipped_path(experiment)
    path.parent.mkdir()
    for content in (whole[:-50], whole.replace(b'"result"', b'"resuly"'), b"[1]", b'{"cells": [{"settings": 1}]}', b""):
        path.write_bytes(content)
        with pytest.raises(JepaError, match=r"The shipped result spheres\.json cannot be read"):
            theory_experiment.shipped(experiment)


@pytest.mark.parametrize("content", ["[1]", "{", "[{}]", '{"a": 1}', '[{"agreement": {"least": 3, "most": 4}}]'])
def test_damaged_twins_count_as_none(tmp_path, content):
    path = tmp_path / "twins.json"
    path.write_text(content)
    assert agreement.twin_of("digits", "projector", "digits-test", path) is None
    assert "twins.json cannot be read" in notices.all_said()[0]


def test_shipped_tables_with_bytes_of_any_kind_are_told_and_nothing_else(store, tmp_path):
    store.put(CONFIG, results("a", "b"))
    store.put_members("set", [Member("a", 0, "", "a"), Member("b", 1, "", "b")])
    path = tmp_path / "tiny-projector.parquet"
    shipped.ship(store, CONFIG, ["set"], path)
    whole = path.read_bytes()
    fresh = Store(tmp_path / "fresh.sqlite")
    for seed in range(150):
        chance = random.Random(seed)
        spoiled = bytearray(whole)
        for _ in range(1 + seed % 4):
            spoiled[chance.randrange(len(spoiled))] = chance.randrange(256)
        path.write_bytes(spoiled)
        try:
            shipped.load_shipped(fresh, path)
        except JepaError as error:
            assert "cannot be read" in str(error)  # noqa: PT017
    fresh.check()
    assert fresh.notice is None


@pytest.mark.parametrize("kept", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", b"RIFF"])
def test_a_kept_picture_that_is_none_is_made_again(store, kept):
    dataset = registry.get_dataset("digits-test")
    item = dataset.item(0)
    member = Member(item.name, 0, item.label, images.digest(item.read()))
    transform = encoders_registry.get_spec("digits").transform
    store.put_crops(transform, {member.digest: kept})
    assert crops.thumbnails(store, transform, dataset, [member])[member.digest].startswith(b"\x89PNG")
    assert crops.scored_crop(store, transform, dataset, member).startswith(b"\x89PNG")


# --- commands on a damaged store --------------------------------------------------------------------------------------


@pytest.fixture
def exported(request, folder, command, tmp_path) -> tuple[list[object], Path]:
    """A scored folder; the words that export it, and the store."""
    request.getfixturevalue("own_assets")
    words = ["--encoder", "tiny", "--data", folder]
    assert command("score", *words, "--out", tmp_path / "first.csv")[0] == 0
    return ["export", *words, "--out", tmp_path / "table.csv"], tmp_path


def damage(path: Path, sql: str) -> None:
    opened = Store(path)
    opened.select(sql)
    opened.close()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE results SET seconds = seconds + 1",
        "UPDATE results SET digest = substr(digest, 1, 63) || 'x' WHERE digest < '8'",
        "UPDATE members SET dataset = dataset || 'x' WHERE position < 5",
        "UPDATE configs SET weights = 'others'",
    ],
)
def test_an_export_of_a_damaged_store_is_told_once_and_writes_nothing(exported, command, cache, tmp_path, sql):
    words, _folder = exported
    damage(cache / "store.sqlite", sql)
    status, _out, err = command(*words)
    assert status == 1
    assert "was damaged (" in err
    assert "Traceback" not in err
    assert not (tmp_path / "table.csv").exists()
    assert command("score", *words[1:-2], "--out", tmp_path / "again.csv")[0] == 0
    assert command(*words)[0] == 0
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 13


def test_an_export_says_how_many_images_have_no_score(exported, command, folder):
    from tests.helpers import png

    (folder / "odd" / "new.png").write_bytes(png(77))
    status, _out, err = command(*exported[0])
    assert status == 0
    assert "1 of the 13 images of pictures have no score yet." in err
