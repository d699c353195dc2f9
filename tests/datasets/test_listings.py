"""Listed datasets: what is known without their pictures, and what becomes of their scores."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from jepa_core import config, images
from jepa_core.cli import parser
from jepa_core.datasets import listings, registry
from jepa_core.errors import DatasetError, UnknownName
from jepa_core.scoring import verify
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.stored import stored_scores
from jepa_core.store import shipped
from jepa_core.store.results import Store
from tests.helpers import png, score

NAME = "galaxy-zoo"


@pytest.fixture
def listed(tmp_path, monkeypatch, folder) -> Path:
    """The folder of twelve pictures, listed as MNIST in an assets folder of this test."""
    monkeypatch.setattr(listings, "ASSETS", tmp_path / "assets")
    monkeypatch.setattr(shipped, "ASSETS", tmp_path / "assets")
    registry.with_pictures(NAME, folder)
    return folder


def test_bundled_listings_say_what_they_are_and_hold_no_path_of_a_machine():
    for name in listings.LISTINGS:
        spec = registry.get_dataset(name)
        assert spec.listed
        assert spec.title
        assert spec.licence
        assert len(spec) >= 300
        assert "not bundled" in spec.description
        for item in spec.items():
            assert item.label in spec.classes
            assert len(bytes.fromhex(item.digest)) == 32
            assert item.name.count("/") == 1
            assert not item.name.startswith(("/", "."))


def test_no_listed_training_picture_is_held_out():
    train, val = (
        {item.digest for item in registry.get_dataset(f"imagenette-{part}").items()} for part in ("train", "val")
    )
    assert not train & val


def test_names_classes_and_digests_are_known_and_the_pictures_are_not(listed):
    spec = registry.get_dataset(NAME)
    by_name = {path.relative_to(listed).as_posix(): path for path in listed.rglob("*.png")}
    assert {item.name for item in spec.items()} == set(by_name)
    assert spec.classes == ("even", "odd")
    for item in spec.items("odd"):
        assert item.name.startswith("odd/")
        assert item.digest == images.digest(by_name[item.name].read_bytes())
        with pytest.raises(DatasetError, match=r"The pictures of 'galaxy-zoo' are not bundled, only .*; open that\."):
            item.read()


def test_a_folder_with_the_pictures_gives_them_back_whatever_they_are_called(listed, tmp_path):
    moved = tmp_path / "moved"
    moved.mkdir()
    for number, path in enumerate(sorted(listed.rglob("*.png"))):
        shutil.copy(path, moved / f"{number:02}.png")
    (moved / "another.png").write_bytes(png(99))
    spec = registry.with_pictures(NAME, moved)
    assert len(spec) == 12
    for item in spec.items():
        assert images.digest(item.read()) == item.digest


def test_a_large_folder_is_listed_in_part_and_always_the_same(tmp_path, monkeypatch, folder):
    monkeypatch.setattr(listings, "LISTINGS", {NAME: replace(listings.LISTINGS[NAME], most=5)})
    found = []
    for attempt in ("one", "two"):
        monkeypatch.setattr(listings, "ASSETS", tmp_path / attempt)
        found.append([item.name for item in registry.with_pictures(NAME, folder).items()])
    assert found[0] == found[1]
    assert len(set(found[0])) == 5


@pytest.mark.parametrize(
    ("name", "change", "error", "sentence"),
    [
        ("cats", lambda _folder: None, UnknownName, "listed dataset"),
        (NAME, lambda folder: (folder / "odd" / "1.png").unlink(), DatasetError, "lacks 1 of the 12 pictures"),
        (NAME, lambda folder: (folder / "odd" / "1.png").write_bytes(png(50)), DatasetError, "lacks 1 of the 12"),
        (NAME, shutil.rmtree, DatasetError, "has no images for 'galaxy-zoo'; a folder with its pictures is accepted"),
    ],
)
def test_a_folder_that_is_not_the_listed_one_is_told(listed, name, change, error, sentence):
    change(listed)
    with pytest.raises(error, match=sentence):
        registry.with_pictures(name, listed)


def test_scores_of_a_listed_dataset_come_with_a_table_and_without_pictures(listed, tiny, store, tmp_path):
    sets = [registry.with_pictures(NAME, listed)]
    assert verify.write_tables(store, tiny, "projector", sets, lambda _title: lambda _done, _total: None) == (12, [])
    fresh = Store(tmp_path / "fresh.sqlite")
    shipped.load_all_shipped(fresh)
    items = list(registry.get_dataset(NAME).items())
    summary = score(fresh, tiny, NAME, items)
    assert (summary.scored, summary.reused, summary.failed) == (0, 12, [])
    assert len(stored_scores(fresh, EncoderOutput(tiny.spec, "projector"), NAME)) == 12


def test_asking_to_score_pictures_that_are_not_there_loses_no_scores(listed, tiny, store):
    score(store, tiny, NAME, list(registry.with_pictures(NAME, listed).items()))
    items = list(registry.get_dataset(NAME).items())
    summary = score(store, tiny, NAME, items, "backbone")
    assert len(summary.failed) == 12
    assert "not bundled" in summary.failed[0][1]
    assert len(store.rows(EncoderOutput.of(tiny).config(), NAME).members) == 12


def test_a_table_made_without_the_pictures_keeps_their_scores_and_one_without_scores_says_so(listed, tiny, store):
    progress = lambda _title: lambda _done, _total: None  # noqa: E731
    without = [registry.get_dataset(NAME)]
    verify.write_tables(store, tiny, "projector", [registry.with_pictures(NAME, listed)], progress)
    assert verify.write_tables(store, tiny, "projector", without, progress) == (12, [])
    digits = registry.get_dataset("digits-test")
    few = replace(digits, size=3)
    assert verify.write_tables(store, tiny, "backbone", [few, *without], progress) == (3, [NAME])


def test_rows_of_listed_pictures_are_verified_where_the_pictures_are_at_hand(listed, tiny, store):
    spec = registry.with_pictures(NAME, listed)
    verify.write_tables(store, tiny, "projector", [spec], lambda _title: lambda _done, _total: None)
    assert not verify.verify_table(tiny, "projector", count=9, seed=0).passed  # nothing could be checked
    found = verify.verify_table(tiny, "projector", count=9, seed=0, pictures={NAME: spec})
    assert found.passed
    assert found.checked == 9


@pytest.mark.parametrize("text", ["mnist", "=folder", "mnist=", ""])
def test_the_command_says_how_a_folder_is_named(text, capsys):
    with pytest.raises(SystemExit) as stop:
        parser.main(["verify", "--pictures", text])
    assert stop.value.code == 2
    assert "NAME=FOLDER is accepted, as in mnist=pictures/mnist" in capsys.readouterr().err


def test_the_command_writes_a_table_with_listed_pictures(listed, install_tiny, monkeypatch, capsys):
    install_tiny()
    monkeypatch.setattr(verify.registry, "list_datasets", lambda: {})
    monkeypatch.setattr(config, "ASSETS", listings.ASSETS)
    arguments = ["verify", "--write", "--encoder", "tiny", "--output", "projector", "--pictures", f"{NAME}={listed}"]
    assert parser.main([*arguments, "--count", "4", "--device", "cpu"]) == 0
    out = capsys.readouterr()
    assert "Wrote 12 rows for encoder 'tiny', output 'projector'." in out.err
    assert "True" in out.out
