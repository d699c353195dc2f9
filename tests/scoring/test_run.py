"""From pictures to rows with a tiny encoder: nothing is scored twice and nothing good is lost."""

import io
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from jepa_core import images
from jepa_core.datasets.registry import get_dataset
from jepa_core.errors import UnknownName
from jepa_core.jacobian import engine
from jepa_core.jacobian.batch_plan import BatchPlan
from jepa_core.jacobian.spectrum import Rank, jepa_score, listing_score
from jepa_core.scoring import image_run
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.score_images import score_images
from jepa_core.store.results import Store
from tests.helpers import names, picture, png, run, score, scores

ROOT = Path(__file__).parent.parent.parent
COLUMNS = [
    "name",
    "label",
    "position",
    "digest",
    "jepa_score",
    "listing_score",
    "gaussian_score",
    "head_score",
    "trimmed_score",
    "squared_norm",
    "seconds",
    "device",
    "rank_disagrees",
]


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
    assert store.rank(EncoderOutput.of(tiny.spec, "projector").space) == Rank(
        16, "no layer at the end removes a direction; confirmed on 8 calibration images"
    )
    assert store.rank(EncoderOutput.of(tiny.spec, "backbone").space) == Rank(
        94, "a LayerNorm is the last step, which leaves K - 2; confirmed on 8 calibration images"
    )
    backbone = scores(store, tiny, folder, "backbone")
    spectra = store.rows(EncoderOutput.of(tiny.spec, "backbone").config(), f"folder:{folder}").spectra
    assert np.allclose(backbone["jepa_score"], jepa_score(spectra, 94))
    assert np.allclose(backbone["listing_score"], listing_score(spectra))
    assert not backbone["rank_disagrees"].any()


def test_calibration_is_recorded_only_from_enough_images(store, tiny, folder):
    few = list(get_dataset(str(folder)).items())[:7]
    score(store, tiny, "few", few)
    assert store.rank(EncoderOutput.of(tiny).space) is None
    run(store, tiny, folder)
    assert store.rank(EncoderOutput.of(tiny).space).rank == 16


def test_the_config_on_the_card_is_that_of_the_loaded_encoder(tiny):
    for output in tiny.spec.outputs:
        assert EncoderOutput.of(tiny.spec, output).config() == EncoderOutput.of(tiny, output).config()


def test_the_table_has_its_columns_also_when_it_is_empty(store, tiny, folder):
    assert scores(store, tiny, folder).empty
    columns = [*COLUMNS, "estimated", "low", "high"]
    assert list(scores(store, tiny, folder).columns) == columns
    run(store, tiny, folder)
    table = scores(store, tiny, folder)
    assert list(table.columns) == columns
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
    monkeypatch.setattr(engine.Engine, "gram", None)  # would fail if it were called
    second = run(Store(), tiny, folder)
    assert (second.scored, second.reused) == (0, 12)


@pytest.mark.parametrize("block", [2, 64])
def test_equal_pictures_are_scored_once_and_all_listed(store, tiny, folder, block, monkeypatch):
    in_blocks(block, tiny, monkeypatch)
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
    monkeypatch.setattr(image_run, "_BLOCK", 5)
    monkeypatch.setattr(engine.engine_of(tiny), "plan", BatchPlan(images=2, cotangents=3))
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
    tiny.kept.clear()
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
    tiny.kept.clear()
    run(store, tiny, folder)
    table = scores(store, tiny, folder).set_index("name")
    assert table.loc["flat.png", "jepa_score"] == -np.inf
    assert table.index[table["rank_disagrees"]].tolist() == ["flat.png"]


def test_an_unknown_output_is_told_before_anything_is_scored(store, tiny, folder):
    with pytest.raises(UnknownName, match="Unknown output of encoder 'tiny': 'logits'"):
        run(store, tiny, folder, "logits")


def in_blocks(size, encoder, monkeypatch):
    monkeypatch.setattr(image_run, "_BLOCK", size)
    monkeypatch.setattr(engine.engine_of(encoder), "plan", BatchPlan(images=size, cotangents=16))


# --- progress, cancel, kill -------------------------------------------------------------------------------------------


def test_progress_goes_from_nothing_to_all(store, tiny, folder, monkeypatch):
    in_blocks(5, tiny, monkeypatch)
    seen = []
    run(store, tiny, folder, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert {(0, 12), (5, 12), (10, 12), (12, 12)} <= set(seen)


def test_a_batch_within_a_block_is_told_and_can_be_the_last(store, tiny, folder, monkeypatch):
    monkeypatch.setattr(engine.engine_of(tiny), "plan", BatchPlan(images=1, cotangents=16))
    seen = []
    summary = run(store, tiny, folder, progress=lambda done, _total: seen.append(done), cancelled=lambda: seen[-1] == 3)
    assert seen[:4] == [0, 1, 2, 3]
    assert (summary.scored, summary.cancelled) == (3, True)
    assert len(scores(store, tiny, folder)) == 3


def test_a_cancelled_run_keeps_what_is_done_and_the_next_one_goes_on(store, tiny, folder, monkeypatch):
    in_blocks(5, tiny, monkeypatch)
    seen = []
    summary = run(store, tiny, folder, progress=lambda done, _total: seen.append(done), cancelled=lambda: seen[-1] == 5)
    assert (summary.scored, summary.cancelled) == (5, True)
    assert len(scores(store, tiny, folder)) == 5
    summary = run(store, tiny, folder)
    assert (summary.scored, summary.reused, summary.cancelled) == (7, 5, False)


CHILD = """
import sys, time
from contextlib import contextmanager
from jepa_core.datasets.registry import get_dataset
from jepa_core.encoders.registry import load_encoder
from jepa_core.jacobian import engine
from jepa_core.scoring import run
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.store.results import Store

run._BLOCK = 3
encoder = load_encoder("tiny", "cpu")
engine.engine_of(encoder).plan = engine.BatchPlan(images=3, cotangents=16)
put, transaction = Store.put, Store.transaction
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
        Store.transaction = never_committed
    put(self, config, results)

Store.put = counted
dataset = get_dataset(sys.argv[1])
run.ScoringRun(Store(), EncoderOutput.of(encoder), dataset.name, list(dataset.items())).score()
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
    assert len(store.scored(EncoderOutput.of(tiny).config(), f"folder:{folder}")) == 6
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
    summary = score(store, tiny, f"folder:{folder}", items)
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
    score(store, tiny, f"folder:{folder}", items, whole=False)
    assert len(names(store, folder)) == 12
