"""From pictures to rows, tables and evidence, with a tiny encoder: nothing is scored twice and nothing good is lost."""

import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from jepa_core import check, directions, images, jacobian, pictures, scoring, tables, verify
from jepa_core.datasets import get_dataset, sample
from jepa_core.encoders import Encoder, get_spec
from jepa_core.errors import BadImage, DatasetError, JepaError, NotEnoughData, StoreError, UnknownName
from jepa_core.reference import percentile
from jepa_core.scoring import config_of, known_rank, loaded_config, score_images, score_items, stored_scores
from jepa_core.spectrum import Rank, jepa_score, listing_score, singular_values
from jepa_core.store import Member, Store

ROOT = Path(__file__).parent.parent
COLUMNS = [
    "name",
    "label",
    "position",
    "digest",
    "jepa_score",
    "listing_score",
    "gaussian_score",
    "squared_norm",
    "seconds",
    "device",
    "rank_disagrees",
]


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 20, 3), dtype=np.uint8))


def png(seed: int) -> bytes:
    return images.to_png(picture(seed))


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder of twelve pictures of two classes."""
    for seed in range(12):
        path = tmp_path / "pictures" / ("even" if seed % 2 == 0 else "odd") / f"{seed}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(seed))
    return tmp_path / "pictures"


@pytest.fixture
def store() -> Store:
    return Store()


def run(store: Store, encoder: Encoder, folder: Path, output: str | None = None, **options) -> scoring.RunSummary:
    dataset = get_dataset(str(folder))
    return score_items(store, encoder, dataset.name, list(dataset.items()), output, **options)


def names(store: Store, folder: Path) -> list[str]:
    return [member.name for member in store.members(f"folder:{folder}")]


def scores(store: Store, encoder: Encoder, folder: Path, output: str = "projector") -> pd.DataFrame:
    return stored_scores(store, encoder.spec, output, f"folder:{folder}")


# --- what is computed -------------------------------------------------------------------------------------------------


def test_a_stored_score_is_the_one_computed_by_hand(store, tiny, folder):
    run(store, tiny, folder)
    tensor = tiny.preprocess(picture(4))[None]
    rows = torch.autograd.functional.jacobian(lambda x: tiny.module()(x)[0], tensor)
    sigma = torch.linalg.svdvals(rows.reshape(16, -1).double()).numpy()
    line = scores(store, tiny, folder).set_index("name").loc["even/4.png"]
    assert line["digest"] == images.digest(png(4))
    assert line["jepa_score"] == pytest.approx(np.log(sigma).sum(), abs=1e-4)
    norm = tiny.module()(tensor).square().sum().item()
    assert line["gaussian_score"] - line["jepa_score"] == pytest.approx(-norm / 2, rel=1e-4)
    assert line["squared_norm"] == pytest.approx(norm, rel=1e-5)


def test_the_backbone_has_other_scores_and_a_rank_of_its_own(store, tiny, folder):
    run(store, tiny, folder)
    run(store, tiny, folder, "backbone")
    assert known_rank(tiny.spec, "projector", store) == Rank(
        16, "no layer at the end removes a direction; confirmed on 8 calibration images"
    )
    assert known_rank(tiny.spec, "backbone", store) == Rank(
        94, "a LayerNorm is the last step, which leaves K - 2; confirmed on 8 calibration images"
    )
    backbone = scores(store, tiny, folder, "backbone")
    spectra = store.rows(config_of(tiny.spec, "backbone"), f"folder:{folder}").spectra
    assert np.allclose(backbone["jepa_score"], jepa_score(spectra, 94))
    assert np.allclose(backbone["listing_score"], listing_score(spectra))
    assert not backbone["rank_disagrees"].any()


def test_a_rank_on_the_card_comes_before_one_in_the_store(store, tiny, install_tiny):
    store.put_rank(config_of(tiny.spec).space, Rank(12, "stored"))
    assert known_rank(get_spec("tiny"), "projector", store).rank == 12
    install_tiny(ranks={"projector": {"rank": 13, "reason": "on the card"}})
    assert known_rank(get_spec("tiny"), "projector", store).rank == 13


def test_a_rank_is_recorded_only_from_enough_images(store, tiny, folder):
    few = list(get_dataset(str(folder)).items())[:7]
    score_items(store, tiny, "few", few)
    assert store.rank(loaded_config(tiny).space) is None
    run(store, tiny, folder)
    assert store.rank(loaded_config(tiny).space).rank == 16


def test_the_config_on_the_card_is_that_of_the_loaded_encoder(tiny):
    for output in tiny.spec.outputs:
        assert config_of(tiny.spec, output) == loaded_config(tiny, output)


def test_the_table_has_its_columns_also_when_it_is_empty(store, tiny, folder):
    assert scores(store, tiny, folder).empty
    assert list(scores(store, tiny, folder).columns) == COLUMNS
    run(store, tiny, folder)
    table = scores(store, tiny, folder)
    assert list(table.columns) == COLUMNS
    assert table["position"].tolist() == list(range(12))
    assert table["label"].tolist() == ["even"] * 6 + ["odd"] * 6


def test_a_class_with_one_image_is_scored(store, tiny, tmp_path):
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "1.png").write_bytes(png(1))
    assert run(store, tiny, tmp_path).scored == 1
    table = scores(store, tiny, tmp_path)
    assert table["label"].tolist() == ["alone"]
    assert table["jepa_score"][0] == pytest.approx(score_images([png(1)], tiny)["jepa_score"][0], abs=1e-4)


# --- nothing twice ----------------------------------------------------------------------------------------------------


def test_a_second_run_finds_everything_in_the_store(store, tiny, folder, monkeypatch):
    first = run(store, tiny, folder)
    assert (first.scored, first.reused, first.failed, first.cancelled) == (12, 0, [], False)
    monkeypatch.setattr(scoring, "score_batch", None)  # would fail if it were called
    second = run(Store(), tiny, folder)
    assert (second.scored, second.reused) == (0, 12)


@pytest.mark.parametrize("block", [2, 64])
def test_equal_pictures_are_scored_once_and_all_listed(store, tiny, folder, block, monkeypatch):
    monkeypatch.setattr(scoring, "_BLOCK", block)
    for copy in ("even/20.png", "odd/21.png"):
        (folder / copy).write_bytes(png(0))
    summary = run(store, tiny, folder)
    assert (summary.scored, summary.reused) == (12, 2)
    table = scores(store, tiny, folder).set_index("name")
    assert len(table) == 14
    assert table.loc[["even/0.png", "even/20.png", "odd/21.png"], "jepa_score"].nunique() == 1


def test_the_same_pictures_in_another_folder_are_known(store, tiny, folder):
    run(store, tiny, folder)
    moved = folder.rename(folder.with_name("moved"))
    assert run(store, tiny, moved).reused == 12


def test_another_output_is_another_score(store, tiny, folder):
    run(store, tiny, folder)
    assert run(store, tiny, folder, "backbone").scored == 12


def test_blocks_and_batches_do_not_change_the_scores(store, tiny, folder, monkeypatch, tmp_path):
    run(store, tiny, folder)
    monkeypatch.setattr(scoring, "_BLOCK", 5)
    monkeypatch.setattr(jacobian, "default_memory_budget", lambda _device: 1)
    small = Store(tmp_path / "small.sqlite")
    run(small, tiny, folder)
    assert np.allclose(scores(store, tiny, folder)["jepa_score"], scores(small, tiny, folder)["jepa_score"], atol=1e-4)


# --- bad input --------------------------------------------------------------------------------------------------------


def test_bad_files_are_told_one_by_one_and_the_others_are_scored(store, tiny, folder):
    buffer = io.BytesIO()
    picture(50).resize((200, 200)).save(buffer, "JPEG")
    (folder / "cut.jpg").write_bytes(buffer.getvalue()[:2000])
    (folder / "letter.png").write_bytes(b"Dear Sir or Madam")
    (folder / "nothing.png").write_bytes(b"")
    summary = run(store, tiny, folder)
    assert summary.scored == 12
    assert [name for name, _sentence in summary.failed] == ["cut.jpg", "letter.png", "nothing.png"]
    for name, sentence in summary.failed:
        assert sentence.startswith(name)
        assert sentence.endswith(".")
        assert "\n" not in sentence
    assert len(scores(store, tiny, folder)) == 12


class NotANumber(torch.nn.Module):
    """The encoder, but an image whose corner is white has a Jacobian of NaNs."""

    def __init__(self, net: torch.nn.Module, white: float) -> None:
        super().__init__()
        self.net, self.white = net, white
        self.eval()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        marked = (inputs[:, :1, 0, 0] > self.white - 1e-3).float()
        return self.net(inputs) * torch.where(marked > 0, torch.nan, 1.0)


def test_a_jacobian_that_is_not_finite_is_told_and_the_run_goes_on(store, tiny, folder):
    marked = Image.new("RGB", (20, 20), "white")
    (folder / "white.png").write_bytes(images.to_png(marked))
    net = NotANumber(tiny.module(), (1 - 0.3) / 0.35)
    tiny.module = lambda _output=None: net
    summary = run(store, tiny, folder)
    assert summary.scored == 12
    assert summary.failed == [
        (
            "white.png",
            "The Jacobian of white.png has values that are not finite; it gets no score; look at the picture.",
        )
    ]
    assert "white.png" not in scores(store, tiny, folder)["name"].tolist()


def test_a_picture_that_the_encoder_does_not_see_is_flagged(store, tiny, folder):
    class Blind(torch.nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.net(inputs * (inputs.std(dim=(1, 2, 3), keepdim=True) > 0.01))

    (folder / "flat.png").write_bytes(images.to_png(Image.new("RGB", (20, 20), "grey")))
    net = Blind().eval()
    net.net = tiny.module()
    tiny.module = lambda _output=None: net
    run(store, tiny, folder)
    table = scores(store, tiny, folder).set_index("name")
    assert table.loc["flat.png", "jepa_score"] == -np.inf
    assert table.index[table["rank_disagrees"]].tolist() == ["flat.png"]


def test_an_unknown_output_is_told_before_anything_is_scored(store, tiny, folder):
    with pytest.raises(UnknownName, match="Unknown output of encoder 'tiny': 'logits'"):
        run(store, tiny, folder, "logits")


# --- progress, cancel, kill -------------------------------------------------------------------------------------------


def test_progress_goes_from_nothing_to_all(store, tiny, folder, monkeypatch):
    monkeypatch.setattr(scoring, "_BLOCK", 5)
    seen = []
    run(store, tiny, folder, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 12), (5, 12), (10, 12), (12, 12)]


def test_a_cancelled_run_keeps_what_is_done_and_the_next_one_goes_on(store, tiny, folder, monkeypatch):
    monkeypatch.setattr(scoring, "_BLOCK", 5)
    asked = iter([False, True])
    summary = run(store, tiny, folder, cancelled=lambda: next(asked))
    assert (summary.scored, summary.cancelled) == (5, True)
    assert len(scores(store, tiny, folder)) == 5
    summary = run(store, tiny, folder)
    assert (summary.scored, summary.reused, summary.cancelled) == (7, 5, False)


CHILD = """
import sys, time
from contextlib import contextmanager
from jepa_core import scoring
from jepa_core.datasets import get_dataset
from jepa_core.encoders import load_encoder
from jepa_core.store import Store

scoring._BLOCK = 3
put, transaction = Store.put, Store._transaction
batches = 0

def hang():
    print("in flight", flush=True)
    time.sleep(600)

@contextmanager
def never_committed(self):
    with transaction(self) as cursor:
        yield cursor
        hang()

def counted(self, config, results):
    global batches
    batches += 1
    if batches == 3:
        if sys.argv[2] == "before the rows are written":
            hang()
        Store._transaction = never_committed
    put(self, config, results)

Store.put = counted
dataset = get_dataset(sys.argv[1])
scoring.score_items(Store(), load_encoder("tiny", "cpu"), dataset.name, list(dataset.items()))
"""


@pytest.mark.parametrize("moment", ["before the rows are written", "in the middle of the transaction"])
def test_a_killed_run_loses_the_batch_in_flight_alone_and_the_next_one_goes_on(tiny, folder, moment, tmp_path):
    command = [sys.executable, "-c", CHILD, str(folder), moment]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "in flight\n"
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    store = Store()
    assert store.notice is None
    assert store.count(loaded_config(tiny), f"folder:{folder}") == 6
    summary = run(store, tiny, folder)
    assert (summary.scored, summary.reused, summary.failed) == (6, 6, [])
    uninterrupted = Store(tmp_path / "uninterrupted.sqlite")
    run(uninterrupted, tiny, folder)
    ours, theirs = (scores(one, tiny, folder) for one in (store, uninterrupted))
    same = ["name", "label", "position", "digest"]
    pd.testing.assert_frame_equal(ours[same], theirs[same])
    assert np.allclose(ours["jepa_score"], theirs["jepa_score"], atol=1e-4)


# --- folders that change ----------------------------------------------------------------------------------------------


def test_a_file_that_is_gone_is_listed_no_more(store, tiny, folder):
    run(store, tiny, folder)
    (folder / "even" / "0.png").unlink()
    summary = run(store, tiny, folder)
    assert (summary.scored, summary.reused) == (0, 11)
    assert "even/0.png" not in names(store, folder)
    assert scores(store, tiny, folder)["position"].tolist() == list(range(11))


def test_a_file_that_vanishes_between_listing_and_reading_is_told_and_listed_no_more(store, tiny, folder):
    run(store, tiny, folder)
    items = list(get_dataset(str(folder)).items())
    (folder / "even" / "0.png").unlink()
    summary = score_items(store, tiny, f"folder:{folder}", items)
    assert [name for name, _sentence in summary.failed] == ["even/0.png"]
    assert "even/0.png" not in names(store, folder)
    assert summary.reused == 11


def test_a_file_with_a_new_picture_gets_a_new_score(store, tiny, folder):
    run(store, tiny, folder)
    before = scores(store, tiny, folder).set_index("name")
    (folder / "even" / "0.png").write_bytes(png(99))
    assert run(store, tiny, folder).scored == 1
    after = scores(store, tiny, folder).set_index("name")
    assert after.loc["even/0.png", "digest"] == images.digest(png(99))
    assert after.loc["even/0.png", "jepa_score"] != before.loc["even/0.png", "jepa_score"]
    assert len(after) == 12


def test_a_file_that_is_no_picture_any_more_has_no_score(store, tiny, folder):
    run(store, tiny, folder)
    (folder / "even" / "0.png").write_bytes(b"text")
    assert len(run(store, tiny, folder).failed) == 1
    assert "even/0.png" not in scores(store, tiny, folder)["name"].tolist()


def test_scoring_one_class_leaves_the_others_listed(store, tiny, folder):
    run(store, tiny, folder)
    items = list(get_dataset(str(folder)).items("odd"))
    score_items(store, tiny, f"folder:{folder}", items, whole=False)
    assert len(names(store, folder)) == 12


# --- from a notebook --------------------------------------------------------------------------------------------------


def test_pictures_are_taken_as_paths_bytes_and_pil_images_in_the_order_given(tiny, folder):
    given = [folder / "odd" / "3.png", png(1), str(folder / "even" / "2.png"), picture(3), png(1)]
    table = score_images(given, tiny)
    assert table["name"].tolist() == [str(given[0]), "picture 1", given[2], "picture 3", "picture 4"]
    assert list(table.columns) == COLUMNS
    alone = [score_images([one], tiny)["jepa_score"][0] for one in given]
    assert np.allclose(table["jepa_score"], alone, atol=1e-4)
    assert table["jepa_score"][1] == table["jepa_score"][4]
    assert table["jepa_score"][0] == pytest.approx(table["jepa_score"][3], abs=1e-4)  # the same pixels


def test_an_encoder_may_be_given_by_name_and_nothing_is_stored(install_tiny, cache):
    install_tiny()
    assert len(score_images([png(0)], "tiny", output="backbone")) == 1
    assert not (cache / "store.sqlite").exists()


def test_no_pictures_give_an_empty_table(tiny):
    table = score_images([], tiny)
    assert table.empty
    assert list(table.columns) == COLUMNS


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [("missing.png", r"^missing\.png cannot be read \(No such file"), (b"text", "^picture 1 is not an image")],
)
def test_a_bad_picture_is_told(tiny, bad, sentence):
    with pytest.raises(JepaError, match=sentence):
        score_images([png(0), bad], tiny)


def test_a_missing_file_is_a_bad_image(tiny):
    with pytest.raises(BadImage, match="give the path of an image file"):
        score_images(["missing.png"], tiny)


def test_the_public_names_are_there():
    import jepa_core

    assert jepa_core.__all__ == ["list_datasets", "list_encoders", "load_encoder", "score_images"]
    assert jepa_core.score_images is score_images
    with pytest.raises(AttributeError, match="module 'jepa_core' has no attribute 'score_image'"):
        jepa_core.score_image  # noqa: B018


# --- exports ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def scored(store, tiny, folder) -> pd.DataFrame:
    run(store, tiny, folder)
    return scores(store, tiny, folder)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".CSV"])
def test_an_exported_table_comes_back_as_it_was(scored, tmp_path, suffix):
    path = tmp_path / f"table{suffix}"
    tables.write_table(scored, path)
    back = pd.read_parquet(path) if suffix == ".parquet" else pd.read_csv(path)
    pd.testing.assert_frame_equal(back, scored, check_dtype=False)
    assert back["jepa_score"].tolist() == scored["jepa_score"].tolist()  # bit for bit
    assert [found.name for found in tmp_path.iterdir() if found.is_file()] == [path.name]  # nothing left beside it


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "table.xlsx",
            r"A table cannot be written to .*table\.xlsx; names ending in \.parquet or \.csv are accepted\.",
        ),
        ("table", r"names ending in \.parquet or \.csv are accepted\."),
        ("missing/table.csv", r"its folder does not exist; make the folder first\."),
    ],
)
def test_a_place_where_no_table_can_be_written_is_told(scored, tmp_path, name, sentence):
    with pytest.raises(JepaError, match=sentence):
        tables.write_table(scored, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_table_that_cannot_be_finished_leaves_the_old_one(scored, tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    path.write_text("old")

    def full_disk(*_args, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full_disk)
    with pytest.raises(JepaError, match=r"cannot be written \(No space left on device\); choose a folder with room"):
        tables.write_table(scored, path)
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir() if found.is_file()] == ["table.csv"]


# --- shipped tables ---------------------------------------------------------------------------------------------------


@pytest.fixture
def shipped(store, tiny, tmp_path, monkeypatch) -> Path:
    """A table of twelve test digits, shipped for the tiny encoder."""
    monkeypatch.setattr(tables, "ASSETS", tmp_path / "assets")
    items = sample(get_dataset("digits-test"), 12, seed=0)
    score_items(store, tiny, "digits-test", items, whole=False)
    path = tables.shipped_path(tiny.spec, "projector")
    assert tables.ship(store, loaded_config(tiny), ["shapes", "digits-test"], path) == 12
    return path


def test_a_shipped_table_brings_every_row_bit_for_bit(store, tiny, shipped, tmp_path):
    fresh = Store(tmp_path / "fresh.sqlite")
    assert tables.load_shipped(fresh, shipped)
    config = loaded_config(tiny)
    assert fresh.members("digits-test") == store.members("digits-test")
    ours, theirs = (one.rows(config, "digits-test") for one in (fresh, store))
    assert np.array_equal(ours.spectra, theirs.spectra)
    assert ours.squared_norm.tolist() == theirs.squared_norm.tolist()
    assert ours.seconds.tolist() == theirs.seconds.tolist()
    digests = [member.digest for member in ours.members]
    assert np.array_equal(fresh.embeddings(config.space, digests), store.embeddings(config.space, digests))


def test_a_shipped_table_is_read_in_once_and_again_when_it_has_changed(store, tiny, shipped, tmp_path):
    fresh = Store(tmp_path / "fresh.sqlite")
    assert tables.load_all_shipped(fresh) == 1
    assert tables.load_all_shipped(fresh) == 0
    store.forget_members("digits-test", [store.members("digits-test")[0].name])
    tables.ship(store, loaded_config(tiny), ["digits-test"], shipped)
    assert tables.load_all_shipped(fresh) == 1
    assert len(fresh.members("digits-test")) == 11  # what the newer table does not name is forgotten


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_a_damaged_shipped_table_is_told(store, shipped, content):
    shipped.write_bytes(shipped.read_bytes()[:-100] if content is None else content)
    with pytest.raises(StoreError, match=r"The score table .*tiny-projector\.parquet cannot be read \(.*\); a table"):
        tables.load_shipped(store, shipped)


def test_an_exported_table_is_not_taken_for_a_shipped_one(store, scored, tmp_path):
    tables.write_table(scored, tmp_path / "table.parquet")
    with pytest.raises(StoreError, match="cannot be read"):
        tables.load_shipped(store, tmp_path / "table.parquet")


def test_nothing_scored_is_nothing_to_ship(store, tiny, tmp_path):
    with pytest.raises(NotEnoughData, match=r"no scores to write to .*; score digits-test or shapes first"):
        tables.ship(store, loaded_config(tiny), ["digits-test", "shapes"], tmp_path / "table.parquet")


def tamper(path: Path, column: str, change: Callable[[list], None]) -> None:
    table = pq.read_table(path)
    values = table[column].to_pylist()
    change(values)
    index = table.column_names.index(column)
    pq.write_table(table.set_column(index, table.field(column), pa.array(values, table.field(column).type)), path)


def test_honest_rows_pass(tiny, shipped):
    found = verify.verify_table(tiny, "projector", count=8, seed=0)
    assert found.passed
    assert (found.encoder, found.output, found.rows, found.checked, found.other_pictures) == (
        "tiny",
        "projector",
        12,
        8,
        0,
    )
    assert max(found.log_sigma_difference, found.score_difference, found.embedding_difference) < 1e-3
    assert verify.verify_table(tiny, "projector", count=1000, seed=0).checked == 12
    assert shipped.exists()


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("spectrum", lambda values: values[5].__setitem__(15, values[5][15] * 1.02)),
        ("spectrum", lambda values: values[5].__setitem__(0, float("nan"))),
        ("spectrum", lambda values: values[5].__setitem__(15, 0.0)),
        ("spectrum", lambda values: values[5].__setitem__(15, -1.0)),
        ("spectrum", lambda values: values.reverse()),
        ("embedding", lambda values: values[5].__setitem__(0, values[5][0] + 1.0)),
        ("squared_norm", lambda values: values.__setitem__(5, values[5] * 1.05)),
        ("digest", lambda values: values.__setitem__(5, values[6])),
        ("position", lambda values: values.__setitem__(5, values[6])),
    ],
)
def test_a_tampered_row_is_found(tiny, shipped, column, change):
    tamper(shipped, column, change)
    assert not verify.verify_table(tiny, "projector", count=12, seed=0).passed


def test_nothing_checked_is_nothing_passed(tiny, shipped):
    assert not verify.verify_table(tiny, "projector", count=0, seed=0).passed
    assert shipped.exists()


def test_a_table_made_with_other_weights_is_told(tiny, shipped):
    tiny.weights = "others"
    with pytest.raises(StoreError, match=r"tiny-projector\.parquet was made with other weights or another transform"):
        verify.verify_table(tiny, "projector", count=1, seed=0)
    assert shipped.exists()


def test_all_tables_of_an_encoder_are_verified(shipped):
    found = verify.verify_all(["tiny"], count=2, seed=0, device="cpu")
    assert [(one.output, one.passed) for one in found] == [("projector", True)]  # the backbone ships none
    assert shipped.exists()


def test_tables_are_made_for_every_output(store, tiny, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ASSETS", tmp_path / "assets")
    seen = []

    def bar(title: str) -> Callable[[int, int], None]:
        return lambda done, total: seen.append((title, done, total))

    assert verify.write_tables(store, tiny, [str(folder)], bar) == {"projector": 12, "backbone": 12}
    assert sorted(path.name for path in (tmp_path / "assets" / "scores").iterdir()) == [
        "tiny-backbone.parquet",
        "tiny-projector.parquet",
    ]
    assert seen[-1] == (f"backbone, {folder}", 12, 12)


# --- check ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def reference(store, tiny) -> check.Reference:
    score_items(store, tiny, "digits-test", sample(get_dataset("digits-test"), 40, seed=0), whole=False)
    return check.load_reference(store, tiny.spec, "projector", "digits-test")


def test_a_picture_is_placed_among_the_references_scores_and_distances(tiny, reference):
    outcome = check.check_pictures(tiny, "projector", [("noise.png", png(0)), ("more.png", png(1))], reference)
    assert [item.name for item in outcome.checked] == ["noise.png", "more.png"]
    assert outcome.failed == []
    item = outcome.checked[0]
    alone = score_images([png(0)], tiny)
    assert item.scores["jepa_score"] == pytest.approx(alone["jepa_score"][0], abs=1e-4)
    assert item.percentile == percentile(np.array([item.scores["jepa_score"]]), reference.scores)[0]
    embedding = tiny.module()(tiny.preprocess(picture(0))[None])[0].numpy()
    distances = np.sort(np.linalg.norm(reference.embeddings - embedding, axis=1))
    assert item.distance == pytest.approx(distances[9], rel=1e-4)
    assert item.distance_percentile == percentile(np.array([item.distance]), reference.distances)[0]
    assert item.crop.size == (16, 16)


def test_the_references_own_distances_leave_out_each_image_itself(reference):
    pairs = np.linalg.norm(reference.embeddings[:, None] - reference.embeddings[None], axis=2)
    assert np.allclose(np.sort(pairs, axis=1)[:, 10], reference.distances, rtol=1e-4, atol=1e-4)


def test_the_nearest_of_both_ends_are_shown(tiny, reference):
    (item,) = check.check_pictures(tiny, "projector", [("noise.png", png(0))], reference).checked
    low, high = np.quantile(reference.scores, [0.25, 0.75])
    assert len(item.likely) == len(item.unlikely) == 3
    assert (item.likely["jepa_score"] >= high).all()
    assert (item.unlikely["jepa_score"] <= low).all()
    assert item.likely["distance"].is_monotonic_increasing
    embedding = tiny.module()(tiny.preprocess(picture(0))[None])[0].numpy()
    distances = np.linalg.norm(reference.embeddings - embedding, axis=1)
    assert item.likely["distance"].iloc[0] == pytest.approx(distances[reference.scores >= high].min(), rel=1e-4)


def test_a_bad_picture_among_good_ones_is_told_and_the_good_are_checked(tiny, reference):
    named = [("one.png", png(0)), ("letter.txt", b"Dear Sir"), ("two.png", png(1))]
    outcome = check.check_pictures(tiny, "projector", named, reference)
    assert [item.name for item in outcome.checked] == ["one.png", "two.png"]
    assert [name for name, _sentence in outcome.failed] == ["letter.txt"]
    check.fail_if_nothing(outcome)
    assert check.outcome_table(outcome)["name"].tolist() == ["one.png", "two.png"]


def test_only_bad_pictures_are_a_failure(tiny, reference):
    outcome = check.check_pictures(tiny, "projector", [("letter.txt", b"Dear Sir")], reference)
    with pytest.raises(JepaError, match=r"^letter\.txt is not an image"):
        check.fail_if_nothing(outcome)


def test_what_was_done_to_a_picture_is_told(tiny, reference):
    see_through = images.to_png(Image.new("RGBA", (20, 20), (255, 0, 0, 128)))
    (item,) = check.check_pictures(tiny, "projector", [("pane.png", see_through)], reference).checked
    assert item.notes == ("Its transparent parts were laid on white.",)
    table = check.outcome_table(check.Outcome([item], []))
    assert table["notes"].tolist() == ["Its transparent parts were laid on white."]


def test_the_same_picture_twice_is_answered_twice(tiny, reference):
    outcome = check.check_pictures(tiny, "projector", [("a.png", png(0)), ("b.png", png(0))], reference)
    first, second = outcome.checked
    assert (first.name, second.name) == ("a.png", "b.png")
    assert first.percentile == second.percentile


def test_a_picture_is_scored_with_the_rank_of_its_reference(store, tiny, reference):
    low = Store(store.path.with_name("low.sqlite"))
    low.put_rank(loaded_config(tiny).space, Rank(10, "for this test"))
    score_items(low, tiny, "digits-test", sample(get_dataset("digits-test"), 40, seed=0))
    (item,) = check.check_pictures(
        tiny, "projector", [("a.png", png(0))], check.load_reference(low, tiny.spec, "projector", "digits-test")
    ).checked
    sigma = singular_values(jacobian.gram(tiny.module(), tiny.preprocess(picture(0))[None]).gram.numpy())
    assert item.scores["jepa_score"] == pytest.approx(jepa_score(sigma, 10)[0], abs=1e-4)
    assert len(reference.table) == 40


def test_a_reference_with_too_few_scores_is_told_with_the_command_that_helps(store, tiny):
    with pytest.raises(
        NotEnoughData,
        match=r"'shapes' has 0 scored images; more than 10 are needed; run 'python -m jepa_core score "
        r"--encoder tiny --output projector --data shapes' first",
    ):
        check.load_reference(store, tiny.spec, "projector", "shapes")


@pytest.mark.parametrize(
    ("score", "distance", "sentence"),
    [
        (
            2.0,
            50.0,
            "Less likely than 98 % of the 40 reference images; farther from them in the embedding than 50 % of them "
            "are from each other. Reasons to look twice: an unusually low score.",
        ),
        (
            60.0,
            10.0,
            "More likely than 60 % of the 40 reference images; farther from them in the embedding than 10 % of them "
            "are from each other. Neither is unusual.",
        ),
        (
            97.0,
            99.0,
            "More likely than 97 % of the 40 reference images; farther from them in the embedding than 99 % of them "
            "are from each other. Reasons to look twice: an unusually high score, which foreign images can have too; "
            "an unusually large distance.",
        ),
    ],
)
def test_the_evidence_in_words(tiny, reference, score, distance, sentence):
    (item,) = check.check_pictures(tiny, "projector", [("a.png", png(0))], reference).checked
    assert check.in_words(replace(item, percentile=score, distance_percentile=distance), reference) == sentence


# --- the picture beside a score ---------------------------------------------------------------------------------------


def test_the_picture_shown_is_the_crop_that_was_scored_and_is_kept(store, tiny, folder):
    run(store, tiny, folder)
    dataset = get_dataset(str(folder))
    member = store.members(dataset.name)[0]
    shown = pictures.scored_crop(store, tiny.transform, dataset, member)
    with Image.open(io.BytesIO(shown)) as opened:
        expected = images.crop(picture(0), json.loads(tiny.transform))
        assert np.array_equal(np.asarray(opened), np.asarray(expected))
    (folder / "even" / "0.png").unlink()
    assert pictures.scored_crop(Store(), tiny.transform, dataset, member) == shown


def test_a_picture_that_is_not_the_scored_one_any_more_is_not_shown(store, tiny, folder):
    run(store, tiny, folder)
    dataset = get_dataset(str(folder))
    member = store.members(dataset.name)[0]
    (folder / "even" / "0.png").write_bytes(png(99))
    with pytest.raises(DatasetError, match=r"even/0\.png is not the picture that was scored \(its bytes changed\)"):
        pictures.scored_crop(store, tiny.transform, dataset, member)
    with pytest.raises(DatasetError, match="has no picture 500"):
        pictures.scored_crop(store, tiny.transform, dataset, Member("x.png", 500, "", "0"))


# --- directions -------------------------------------------------------------------------------------------------------

JACOBIAN = np.random.default_rng(3).standard_normal((6, 2 * 3 * 4)).astype(np.float32)
JACOBIAN_SHAPE = (2, 3, 4)


def test_the_triplets_put_the_jacobian_together_again():
    found = directions.decompose(JACOBIAN, JACOBIAN_SHAPE, rank=6)
    right = np.stack([found.right(k).ravel() for k in range(6)])
    assert np.allclose(found.left.T * found.sigma @ right, JACOBIAN, atol=1e-6)
    assert np.allclose(found.sigma, np.linalg.svd(JACOBIAN, compute_uv=False), rtol=1e-6)
    assert np.allclose(found.left @ found.left.T, np.eye(6), atol=1e-10)
    assert np.allclose(right @ right.T, np.eye(6), atol=1e-8)
    assert found.right(0).shape == JACOBIAN_SHAPE


def test_the_logs_add_up_to_the_score():
    found = directions.decompose(JACOBIAN, JACOBIAN_SHAPE, rank=5)
    assert sum(found.log_sigma(k) for k in range(5)) == pytest.approx(jepa_score(found.sigma, 5))


def test_directions_beyond_the_rank_are_left_out():
    found = directions.decompose(JACOBIAN, JACOBIAN_SHAPE, rank=4)
    assert (found.sigma.shape, found.left.shape) == ((4,), (4, 6))


def test_the_sign_is_fixed_by_the_largest_entry_on_the_embedding_side():
    found = directions.decompose(JACOBIAN, JACOBIAN_SHAPE, rank=6)
    assert (found.left[np.arange(6), np.abs(found.left).argmax(axis=1)] > 0).all()
    # Another rounding, another order of the pixels: the same signs.
    noisy = directions.decompose(JACOBIAN * (1 + 1e-6 * np.sign(JACOBIAN)), JACOBIAN_SHAPE, rank=6)
    turned = directions.decompose(JACOBIAN[:, ::-1], JACOBIAN_SHAPE, rank=6)
    for k in range(6):
        assert np.allclose(noisy.left[k], found.left[k], atol=1e-3)
        assert np.allclose(turned.right(k).ravel()[::-1], found.right(k).ravel(), atol=1e-5)


def test_negating_the_image_side_negates_the_right_vectors_alone():
    found = directions.decompose(JACOBIAN, JACOBIAN_SHAPE, rank=6)
    negated = directions.decompose(-JACOBIAN, JACOBIAN_SHAPE, rank=6)
    assert np.allclose(negated.left, found.left)
    assert np.allclose(negated.right(2), -found.right(2))


def test_near_equal_neighbours_are_told():
    sigma = [5.0, 4.0, 3.95, 3.90, 1.0]
    found = directions.decompose(np.diag(sigma), (1, 1, 5), rank=5)
    assert [found.near_equal(k) for k in range(5)] == [[], [2], [1, 3], [2], []]


def test_a_direction_of_zero_length_is_a_picture_of_zeros():
    found = directions.decompose(np.diag([2.0, 0.0]), (1, 1, 2), rank=2)
    assert np.array_equal(found.right(1), np.zeros((1, 1, 2)))
    assert found.log_sigma(1) == -np.inf


def test_the_directions_of_an_encoder_are_those_of_its_score(tiny):
    found = directions.directions_of(tiny, "projector", picture(0), rank=16)
    assert sum(found.log_sigma(k) for k in range(16)) == pytest.approx(
        score_images([picture(0)], tiny)["jepa_score"][0], abs=1e-4
    )
    # A small step along v_k moves the embedding by sigma_k along u_k.
    tensor = tiny.preprocess(picture(0))
    step = 1e-2 * torch.from_numpy(found.right(0)).float()
    moved = (tiny.module()((tensor + step)[None]) - tiny.module()((tensor - step)[None]))[0].numpy() / 2e-2
    assert np.allclose(moved, found.sigma[0] * found.left[0], atol=0.02 * found.sigma[0])
