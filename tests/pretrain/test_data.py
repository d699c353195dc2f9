"""What is trained on: drawn sources and folders, their parts, the tensors made of them, and a user's own encoder."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jepa_core import images
from jepa_core.cli import parser
from jepa_core.datasets import bundled, known_density, registry, synthetic
from jepa_core.encoders.encoder import Encoder, build_net
from jepa_core.encoders.registry import list_encoders, load_encoder
from jepa_core.errors import DatasetError, EncoderError, UnknownName
from jepa_core.pretrain import RECIPES, data, inputs, pretrain, train
from jepa_core.pretrain.views import ViewRange
from tests.pretrain.test_train import TINY, interrupt

SMALL = {"train": 40, "validation": 12, "test": 12}
PHOTO = replace(
    RECIPES["photo"],
    name="tiny-photo",
    architecture_kwargs=RECIPES["photo"].architecture_kwargs
    | {"img_size": 16, "patch_size": 4, "embed_dim": 48, "depth": 1, "num_heads": 2},
    projector=(32, 8),
    input_size=(3, 16, 16),
    source_size=(24, 24),
    local_view=ViewRange(zoom=(1.6, 4.5), inside=True, outside="reflection"),
    local_views=1,
    local_size=(8, 8),
    batch=40,
    steps=6,
    warmup_steps=2,
    sigreg_directions=16,
    probe_every=6,
    checkpoint_every=2,
    bf16=False,
)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small parts of the drawn sources, which are quick to draw."""
    monkeypatch.setattr(data, "COUNTS", SMALL)
    monkeypatch.setattr(data, "MIXED_COUNTS", SMALL)


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder of small pictures: bright and dark ones of random size and place, `{"a": 60}` for 60 in `a`."""

    def make(counts: dict[str, int]) -> Path:
        rng = np.random.default_rng(0)
        for number, (name, count) in enumerate(counts.items()):
            (tmp_path / "pictures" / name).mkdir(parents=True)
            for position in range(count):
                height, width = rng.integers(20, 40, 2)
                values = rng.integers(0, 128, (height, width, 3)) + 127 * (number % 2)
                path = tmp_path / "pictures" / name / f"{position}.png"
                path.write_bytes(images.to_png(Image.fromarray(values.astype(np.uint8))))
        return tmp_path / "pictures"

    return make


def digest(picture: data.Picture) -> str:
    return hashlib.sha256(picture.read().tobytes()).hexdigest()


def as_rgb(image: Image.Image) -> bytes:
    return image.convert("RGB").tobytes()


# --- drawn ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["world", "mixed"])
def test_no_drawn_picture_is_in_two_parts(name: str):
    source = data.open_source(RECIPES[name])
    digits = {label for label, text in enumerate(source.classes) if text.startswith("digit")}  # some are alike
    parts = {
        part: {digest(picture) for picture in listed if picture.label not in digits}
        for part, listed in source.parts.items()
    }
    drawn = (1 if name == "world" else 3) * sum(SMALL.values())
    assert len(parts["train"] | parts["validation"] | parts["test"]) == drawn


def test_the_world_is_labelled_by_kind():
    source = data.open_source(RECIPES["world"])
    assert source.classes == known_density.NAMES
    for part, count in SMALL.items():
        assert [picture.label for picture in source.parts[part]] == [
            known_density.sample(part, i)[0] for i in range(count)
        ]
    assert np.array_equal(np.asarray(source.parts["test"][3].read()), known_density.draw("test", 3))


def test_the_mixed_pictures_have_their_domain_and_class():
    source = data.open_source(RECIPES["mixed"])
    assert {"digit 3", "world: bar on plain", "shape: star", "galaxy: spiral"} <= set(source.classes)
    assert len(source.classes) == len(set(source.classes)) == 10 + 6 + 10 + 3
    for part in data.PARTS:
        names = [source.classes[picture.label] for picture in source.parts[part]]
        for prefix in ("world: ", "shape: ", "galaxy: "):
            assert sum(name.startswith(prefix) for name in names) == SMALL[part]
    assert sum(source.classes[picture.label].startswith("digit ") for picture in source.parts["train"]) == 1077


def test_the_mixed_pictures_hold_none_that_the_app_shows():
    source = data.open_source(RECIPES["mixed"])
    for prefix, draw in (("shape: ", synthetic.shape), ("galaxy: ", synthetic.galaxy)):
        shown = {hashlib.sha256(draw(position).tobytes()).hexdigest() for position in range(bundled.DRAWN_COUNT)}
        listed = [picture for part in data.PARTS for picture in source.parts[part]]
        trained = {digest(picture) for picture in listed if source.classes[picture.label].startswith(prefix)}
        assert not shown & trained


def test_the_datasets_named_for_an_encoder_are_there():
    for name in ("digits", "world", "mixed"):
        source = data.open_source(RECIPES[name])
        assert {source.training, source.reference} <= set(registry.list_datasets())


def test_the_mixed_encoders_datasets_are_of_what_it_saw_and_of_what_it_did_not_see(monkeypatch):
    monkeypatch.setattr(data, "MIXED_COUNTS", SMALL | {"train": bundled.MIXED_COUNT})
    source = data.open_source(RECIPES["mixed"])
    trained = {as_rgb(picture.read()) for picture in source.parts["train"]}
    near, far = (
        {as_rgb(images.decode(item.read()).image) for item in registry.get_dataset(name).items()}
        for name in (source.training, source.reference)
    )
    assert near <= trained
    assert not far & trained


# --- folders ----------------------------------------------------------------------------------------------------------


def names_of(source: data.Source) -> dict[str, list[str]]:
    """The digests of each part, which say which files are in it."""
    return {part: [digest(picture) for picture in source.parts[part]] for part in data.PARTS}


def test_a_folder_is_cut_into_disjoint_parts(pictures):
    folder = pictures({"bright": 70, "dark": 50})
    source = data.open_source(PHOTO, folder)
    parts = names_of(source)
    assert {part: len(found) for part, found in parts.items()} == {"train": 96, "validation": 12, "test": 12}
    assert len(set().union(*parts.values())) == 120
    assert source.classes == ("bright", "dark")
    assert parts == names_of(data.open_source(PHOTO, folder))


def test_a_folder_of_train_and_val_keeps_val_to_test(pictures):
    folder = pictures({"train/cat": 60, "train/dog": 40, "val/cat": 8, "val/dog": 7})
    source = data.open_source(PHOTO, folder)
    parts = names_of(source)
    assert {part: len(found) for part, found in parts.items()} == {"train": 90, "validation": 10, "test": 15}
    held_out = {
        hashlib.sha256(Image.open(path).tobytes()).hexdigest() for path in sorted((folder / "val").rglob("*.png"))
    }
    assert set(parts["test"]) == held_out
    assert len(set().union(*parts.values())) == 115
    assert source.classes == ("cat", "dog")


def test_labels_are_those_of_the_sub_folders(pictures):
    loaded = inputs.load(PHOTO, pictures({"dark": 70, "bright": 50}))  # written dark first, so 127 is added to bright
    for part in loaded.parts.values():
        means = part.pictures.float().mean(dim=(1, 2, 3)).numpy()
        assert ((means < 128) == (part.labels == loaded.source.classes.index("dark"))).all()


def test_a_share_is_the_same_part_of_the_train_pictures_each_time(pictures):
    folder = pictures({"a": 130, "b": 130})
    whole = inputs.load(PHOTO, folder)
    half, again = (inputs.load(replace(PHOTO, share=0.5), folder) for _ in range(2))
    assert len(half.originals) == len(half.parts["train"].labels) == 104
    assert torch.equal(half.originals, again.originals)
    rows = {row.numpy().tobytes() for row in whole.originals}
    assert all(row.numpy().tobytes() in rows for row in half.originals)
    for part in ("validation", "test"):
        assert torch.equal(half.parts[part].pictures, whole.parts[part].pictures)


def test_the_terms_of_a_known_folder_are_not_said_of_another(pictures):
    folder = pictures({"train/x": 1, "val/x": 1})
    recipe = replace(PHOTO, folder=replace(PHOTO.folder, classes=("x",)))
    assert data.open_source(recipe, folder).terms == PHOTO.folder.terms
    assert data.open_source(PHOTO, folder).terms == "those of the folder's owner"


def test_an_input_is_what_the_encoder_makes_of_the_original(pictures):
    """Bit for bit, for grey digits that grow and coloured pictures that shrink."""
    for recipe, folder in ((TINY, None), (PHOTO, pictures({"a": 60, "b": 60}))):
        loaded = inputs.load(recipe, folder)
        spec = train.card.training_spec(recipe, loaded)
        encoder = Encoder(spec, build_net(spec))
        listed = loaded.source.parts["validation"]
        expected = torch.stack([encoder.preprocess(picture.read().convert("RGB")) for picture in listed])
        given = inputs.normalise(inputs.to_float(loaded.parts["validation"].pictures), loaded.data_config)
        assert torch.equal(given, expected)


def test_originals_may_be_larger_than_the_input(pictures):
    loaded = inputs.load(PHOTO, pictures({"a": 60, "b": 60}))
    assert loaded.originals.shape == (96, 3, 24, 24)
    assert loaded.parts["train"].pictures.shape == (96, 3, 16, 16)
    assert loaded.originals.dtype == torch.uint8


class TestWrongFolder:
    def test_none_where_one_is_needed(self):
        with pytest.raises(DatasetError) as caught:
            pretrain(PHOTO)
        assert str(caught.value) == (
            "The recipe 'tiny-photo' trains on a folder of pictures, and none was given; a folder whose sub-folders "
            "are classes is accepted; name it with --data FOLDER."
        )

    def test_one_where_none_is_needed(self, tmp_path: Path):
        with pytest.raises(DatasetError) as caught:
            pretrain(TINY, data=tmp_path)
        assert str(caught.value) == (
            f"The recipe 'tiny' was given the folder {tmp_path}, but has pictures of its own; no folder is accepted; "
            "leave it out, or choose a recipe for folders."
        )

    def test_one_that_is_not_there(self, tmp_path: Path):
        with pytest.raises(DatasetError, match=r"^There is no folder '.*nowhere'; "):
            pretrain(PHOTO, data=tmp_path / "nowhere")

    def test_the_name_of_a_dataset_is_no_folder(self):
        with pytest.raises(DatasetError, match=r"^There is no folder 'digits-test'; "):
            pretrain(PHOTO, data=Path("digits-test"))

    @pytest.mark.parametrize(("share", "least"), [(1.0, 100), (0.5, 200)])
    def test_too_few_pictures(self, pictures, share: float, least: int):
        with pytest.raises(DatasetError) as caught:
            pretrain(replace(PHOTO, share=share), data=pictures({"a": 50, "b": 49}), log=pytest.fail)
        assert str(caught.value) == (
            f"The folder gives the recipe 'tiny-photo' {round(79 * share)} pictures to train, 10 to validate, 10 to "
            "test, of those that can be read; at least 80 pictures to train, 10 to validate, 10 to test are accepted, "
            f"which a folder of {least} gives; choose a larger one."
        )

    def test_nothing_that_can_be_read(self, tmp_path: Path):
        for position in range(3):
            (tmp_path / f"{position}.png").write_bytes(b"no picture")
        with pytest.raises(DatasetError, match=r"'tiny-photo' 0 pictures to train, 0 to validate, 0 to test, of those"):
            pretrain(PHOTO, data=tmp_path)

    def test_data_that_are_not_known(self):
        with pytest.raises(UnknownName, match=r"Must be one of: digits, world, mixed, folder\."):
            pretrain(replace(TINY, data="imagenet"))


# --- training on a folder ---------------------------------------------------------------------------------------------


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in another order would spoil bitwise comparisons
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
class TestTraining:
    def test_a_folder_gives_an_encoder_that_is_listed_and_loads(self, pictures):
        folder = pictures({"bright": 60, "dark": 60})
        (folder / "dark" / "broken.png").write_bytes(b"no picture")
        lines: list[str] = []
        path = pretrain(PHOTO, data=folder, name="mine", log=lines.append)
        assert lines[0].endswith(" to test, 2 classes, 1 unreadable")
        assert sum(int(number) for number in re.findall(r"(\d+) (?:pictures )?to", lines[0])) == 120
        spec = list_encoders()["mine"]
        assert (spec.training, spec.reference) == ("", "")
        assert "dynamic_img_size" not in spec.architecture_kwargs
        assert str(folder) not in path.read_text()
        embedding = load_encoder("mine", "cpu").module()(torch.zeros(2, 3, 16, 16))
        assert embedding.shape == (2, 8)
        card = json.loads(path.read_text())
        assert set(card["metrics"]["linear_probe"]) == {"projector", "backbone", "raw_pixels"}
        assert card["metrics"]["linear_probe"]["raw_pixels"]["test"] == 1  # bright and dark
        assert card["remake"].startswith("jepa_core.pretrain.pretrain(")

    def test_a_folder_without_classes_has_no_accuracies(self, pictures):
        lines: list[str] = []
        path = pretrain(PHOTO, data=pictures({".": 120}), log=lines.append)
        assert lines[0].endswith(", no classes, 0 unreadable")
        assert "validation probe nan" in lines[1]
        metrics = json.loads(path.read_text())["metrics"]
        assert metrics["linear_probe"]["backbone"] == metrics["nearest_neighbours"]["backbone"] == {}
        assert metrics["probe_c"]["backbone"] is None
        assert set(metrics["effective_rank"]["projector"]) == {"validation", "test"}

    def test_an_interrupted_run_ends_at_the_same_weights(self, pictures, tmp_path: Path):
        folder = pictures({"a": 60, "b": 60})
        with pytest.raises(KeyboardInterrupt):
            pretrain(PHOTO, tmp_path / "resumed", data=folder, log=interrupt)
        lines: list[str] = []
        cards = [
            json.loads(pretrain(PHOTO, tmp_path / out, data=folder, log=lines.append).read_text())
            for out in ("resumed", "whole")
        ]
        assert "resumed at step 4" in lines[1]
        assert cards[0]["weights_digest"] == cards[1]["weights_digest"]

    def test_a_checkpoint_goes_on_with_a_copy_of_the_pictures(self, pictures, tmp_path: Path):
        folder = pictures({"a": 60, "b": 60})
        with pytest.raises(KeyboardInterrupt):
            pretrain(PHOTO, tmp_path / "out", data=folder, log=interrupt)
        lines: list[str] = []
        copy = shutil.copytree(folder, tmp_path / "another-disk", copy_function=shutil.copyfile)
        pretrain(PHOTO, tmp_path / "out", data=copy, log=lines.append)
        assert "resumed at step 4" in lines[1]

    def test_a_checkpoint_does_not_go_on_with_other_pictures(self, pictures, tmp_path: Path):
        folder = pictures({"a": 60, "b": 60})
        with pytest.raises(KeyboardInterrupt):
            pretrain(PHOTO, tmp_path / "out", data=folder, log=interrupt)
        (folder / "a" / "0.png").unlink()
        with pytest.raises(EncoderError, match="or with other pictures"):
            pretrain(PHOTO, tmp_path / "out", data=folder)

    def test_local_views_of_another_size_reach_the_loss(self, pictures):
        loaded = inputs.load(PHOTO, pictures({"a": 60, "b": 60}))
        net = train.build(PHOTO, train.card.training_spec(PHOTO, loaded))
        state = train.begin(PHOTO, net, "cpu")
        batch = inputs.to_float(loaded.originals[:40])
        views = train.draw_views(batch, PHOTO, state.generator)
        assert [tuple(view.shape) for view in views] == [(40, 3, 16, 16)] * 2 + [(40, 3, 8, 8)]
        embeddings = train.embed_views(net, views)
        assert embeddings.shape == (3, 40, 8)
        changed = train.embed_views(net, [*views[:2], 1 - views[2]])
        assert not torch.allclose(changed[2], embeddings[2])

    def test_embeddings_come_in_the_order_of_the_views(self, pictures):
        loaded = inputs.load(PHOTO, pictures({"a": 60, "b": 60}))
        net = train.build(PHOTO, train.card.training_spec(PHOTO, loaded)).eval()
        views = train.draw_views(inputs.to_float(loaded.originals[:40]), PHOTO, torch.Generator().manual_seed(0))
        together = train.embed_views(net, views)
        assert torch.allclose(together, torch.stack([net(view) for view in views]), atol=1e-5)


def test_each_recipe_fits_its_network():
    """Sizes that do not fit would show only after minutes of reading pictures."""
    for recipe in RECIPES.values():
        kwargs = recipe.architecture_kwargs
        assert recipe.input_size == (kwargs["in_chans"], kwargs["img_size"], kwargs["img_size"])
        for side in (*recipe.input_size[1:], *(recipe.local_size or ())):
            assert side % kwargs["patch_size"] == 0
        assert kwargs["embed_dim"] % kwargs["num_heads"] == 0


def test_a_tenth_of_the_photos_trains_for_as_many_steps():
    photo, tenth = RECIPES["photo"], RECIPES["photo-tenth"]
    words = {"name": photo.name, "description": photo.description, "limits": photo.limits}  # of the card alone
    assert replace(tenth, share=1.0, **words) == photo
    assert tenth.share == 0.1


def test_the_terminal_passes_its_options_on(monkeypatch, tmp_path: Path, capsys):
    given = {}

    def remember(recipe: str, out: Path | None, **options: object) -> Path:
        given.update(options, recipe=recipe, out=out)
        return tmp_path / "mine.json"

    monkeypatch.setattr("jepa_core.pretrain.pretrain", remember)
    words = ("photo", "--data", str(tmp_path), "--name", "mine", "--device", "cpu")
    assert parser.main(["pretrain", *words]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'mine.json'}\n"
    del given["log"]
    assert given == {"recipe": "photo", "out": None, "data": tmp_path, "name": "mine", "device": "cpu"}
