"""Parts of a run, and the store that is made of them: the same rows as on one machine, whatever happened meanwhile."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jepa_core.datasets.registry import get_dataset
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.errors import JepaError, StoreError, TableError
from jepa_core.jacobian import engine
from jepa_core.scoring import image_run, parts
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import Goal, ScoringMethod
from jepa_core.scoring.parts import PartScorer, listing_of, merge_parts, share
from jepa_core.scoring.run import ScoringRun
from jepa_core.store.parts import PartFolder
from jepa_core.store.results import Store
from tests.helpers import png

COUNT = 40  # pictures, in batches of three
TABLES = {
    "members": "dataset, name, position, label, digest",
    "results": "digest, spectrum, squared_norm, device",  # seconds are another each time
    "embeddings": "space, digest, vector",
    "measures": "space, digest, vector",
    "ranks": "space, rank, reason",
    "configs": "key, weights, transform, output, method, precision, view",
}


@pytest.fixture
def batches_of_three(own_engines: None, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """A plan that divides neither the pictures nor the shares, on any machine."""
    made = engine.Engine._choose

    def choose(self, *args) -> None:
        made(self, *args)
        self.plan = self.plan._replace(images=3)

    monkeypatch.setattr(engine.Engine, "_choose", choose)
    monkeypatch.setattr(image_run, "_BLOCK", 12)


@pytest.fixture
def output(batches_of_three: None, tiny) -> EncoderOutput:  # noqa: ARG001
    return EncoderOutput.of(tiny)


@pytest.fixture
def pictures(tmp_path: Path) -> DatasetSpec:
    for seed in range(COUNT):
        path = tmp_path / "pictures" / ("even" if seed % 2 == 0 else "odd") / f"{seed}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(seed))
    return get_dataset(str(tmp_path / "pictures"))


@pytest.fixture
def parts_at(tmp_path: Path) -> PartFolder:
    return PartFolder(str(tmp_path / "parts"))


def score_part(folder: PartFolder, output: EncoderOutput, dataset: DatasetSpec, part: int, of: int, **options):
    scorer = PartScorer(folder, output, options.pop("method", ScoringMethod()), listing_of(dataset, output))
    chosen = share(len(dataset), part, of, scorer.batch)
    return scorer.score(list(dataset.items())[chosen.start : chosen.stop], **options)


def content(store: Store) -> dict[str, list[tuple]]:
    return {table: sorted(store.select(f"SELECT {columns} FROM {table}")) for table, columns in TABLES.items()}


def plain(path: Path, output: EncoderOutput, dataset: DatasetSpec, method: ScoringMethod | None = None) -> Store:
    store = Store(path)
    ScoringRun.of_dataset(store, output, dataset, method or ScoringMethod()).score()
    return store


@pytest.fixture
def expected(tmp_path: Path, output: EncoderOutput, pictures: DatasetSpec) -> dict[str, list[tuple]]:
    """What the store has after a run on one machine."""
    return content(plain(tmp_path / "plain.sqlite", output, pictures))


# --- the same rows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", [1, 4, 7, 50])
def test_merged_parts_are_the_rows_of_one_run_bit_for_bit(store, output, pictures, parts_at, expected, of):
    for part in range(of, 0, -1):  # in any order
        score_part(parts_at, output, pictures, part, of)
    merged = merge_parts(store, parts_at)
    assert merged.problems == []
    assert merged.new == COUNT
    assert content(store) == expected
    assert len(expected["results"]) == len(expected["members"]) == COUNT
    assert len(expected["ranks"]) == 1
    assert merged.notes == [f"40 of 40 images of {pictures.name} have full scores by tiny, projector (fp32)."]


def test_merging_again_changes_nothing(store, output, pictures, parts_at):
    score_part(parts_at, output, pictures, 1, 1)
    merge_parts(store, parts_at)
    before, stamp = content(store), store.select("SELECT * FROM results")
    again = merge_parts(store, parts_at)
    assert again.new == 0
    assert content(store) == before
    assert store.select("SELECT * FROM results") == stamp  # seconds, too


def test_two_machines_with_batches_of_other_sizes_leave_no_image_out():
    for first, second in [(3, 7), (7, 3), (1, 25)]:
        found = set(share(COUNT, 1, 2, first)) | set(share(COUNT, 2, 2, second))
        assert found == set(range(COUNT))


def test_shares_of_equal_batches_only_share_the_batch_on_their_border():
    for of in (1, 2, 7, 16):
        places = [place for part in range(1, of + 1) for place in share(1000, part, of, 4)]
        assert set(places) == set(range(1000))
        assert len(places) <= 1000 + 4 * (of - 1)


def test_the_pivots_along_a_pools_directions_come_along(store, output, pictures, parts_at, tmp_path, monkeypatch):
    directions = np.random.default_rng(0).normal(size=(5, 16))
    nothing = np.zeros((0, 1))
    found = parts.pool.Pool(np.array([]), np.zeros(0), nothing, nothing, directions)
    monkeypatch.setattr(parts.pool, "shipped", lambda _output: found)
    score_part(parts_at, output, pictures, 1, 1)
    merge_parts(store, parts_at)
    assert content(store) == content(plain(tmp_path / "plain.sqlite", output, pictures))
    assert len(store.select("SELECT * FROM measures")) == 2 * COUNT  # sizes and pivots


def test_an_estimate_from_merged_parts_needs_no_further_full_score(store, output, pictures, parts_at):
    score_part(parts_at, output, pictures, 1, 1)
    merge_parts(store, parts_at)
    summary = ScoringRun.of_dataset(store, output, pictures, ScoringMethod("estimate", goal=Goal(rows=2))).score()
    assert summary.scored == 0


def test_equal_pictures_are_computed_once_and_all_of_them_are_members(store, output, tmp_path, parts_at):
    folder = tmp_path / "same"
    folder.mkdir()
    for name in range(20):
        (folder / f"{name}.png").write_bytes(png(name % 4))
    dataset = get_dataset(str(folder))
    summary = score_part(parts_at, output, dataset, 1, 1)
    assert (summary.scored, summary.reused) == (4, 16)
    merge_parts(store, parts_at)
    assert content(store) == content(plain(tmp_path / "plain.sqlite", output, dataset))


@pytest.mark.usefixtures("pictures")
def test_a_picture_that_cannot_be_decoded_is_told_and_its_part_goes_on(store, output, tmp_path, parts_at):
    (tmp_path / "pictures" / "even" / "4.png").write_bytes(b"no picture")
    dataset = get_dataset(str(tmp_path / "pictures"))
    summary = score_part(parts_at, output, dataset, 1, 1)
    assert [name for name, _why in summary.failed] == ["even/4.png"]
    merged = merge_parts(store, parts_at)
    assert content(store) == content(plain(tmp_path / "plain.sqlite", output, dataset))
    assert "39 of 40 images" in merged.notes[0]
    assert score_part(parts_at, output, dataset, 1, 1).scored == 0


def test_versions_of_an_encoder_and_precisions_are_told_apart(store, output, pictures, parts_at, tmp_path):
    score_part(parts_at, output, pictures, 1, 1)
    other = EncoderOutput.of(output.loaded, "backbone")
    score_part(parts_at, other, pictures, 1, 1)
    with_less = ScoringMethod(precision="bf16")
    score_part(parts_at, output, pictures, 1, 1, method=with_less)
    merged = merge_parts(store, parts_at)
    assert (merged.new, len(merged.notes)) == (3 * COUNT, 3)
    both = plain(tmp_path / "plain.sqlite", output, pictures)
    for one, method in ((other, ScoringMethod()), (output, with_less)):
        ScoringRun.of_dataset(both, one, pictures, method).score()
    assert content(store) == content(both)


# --- killed and resumed -----------------------------------------------------------------------------------------------


def test_what_is_in_the_files_is_neither_computed_nor_read_again(output, pictures, parts_at, monkeypatch):
    score_part(parts_at, output, pictures, 1, 2)
    computed = _spy(monkeypatch)
    unread = replace(pictures, reader_of=lambda _position: pytest.fail)
    summary = score_part(parts_at, output, unread, 1, 2)
    assert (summary.scored, summary.reused, computed) == (0, 21, [])
    assert score_part(parts_at, output, pictures, 2, 2).scored == COUNT - 21  # 18 begins a batch that is there


def _spy(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    computed: list[int] = []
    gram = engine.Engine.gram

    def spy(self, images, *args):
        computed.append(len(images))
        return gram(self, images, *args)

    monkeypatch.setattr(engine.Engine, "gram", spy)
    return computed


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_a_part_that_is_stopped_anywhere_goes_on_to_the_same_rows(
    store, output, pictures, parts_at, expected, monkeypatch, seconds
):
    monkeypatch.setattr(parts, "WRITTEN_AFTER", seconds)
    gram = engine.Engine.gram
    turns = iter([True, True, False] * 20)

    def sometimes(self, images, *args):
        if not next(turns):
            raise KeyboardInterrupt
        return gram(self, images, *args)

    monkeypatch.setattr(engine.Engine, "gram", sometimes)
    for _try in range(30):
        try:
            score_part(parts_at, output, pictures, 1, 1)
            break
        except KeyboardInterrupt:
            pass
    else:
        pytest.fail("it never came to its end")
    merge_parts(store, parts_at)
    assert content(store) == expected


def test_each_batch_is_in_a_file_before_the_next_where_it_takes_long(output, pictures, parts_at, monkeypatch):
    monkeypatch.setattr(parts, "WRITTEN_AFTER", 0.0)
    there = []
    gram = engine.Engine.gram

    def killed(self, images, *args):
        there.append(len(parts_at.paths()))
        return gram(self, images, *args)

    monkeypatch.setattr(engine.Engine, "gram", killed)
    score_part(parts_at, output, pictures, 1, 1)
    assert there == list(range(14))


def test_a_picture_that_was_changed_is_computed_again(store, output, pictures, parts_at, tmp_path):
    score_part(parts_at, output, pictures, 1, 1)
    (tmp_path / "pictures" / "odd" / "7.png").write_bytes(png(700))
    (tmp_path / "pictures" / "odd" / "9.png").unlink()
    (tmp_path / "pictures" / "even" / "900.png").write_bytes(png(900))
    changed = get_dataset(str(tmp_path / "pictures"))
    summary = score_part(parts_at, output, changed, 1, 1)
    assert (summary.scored, summary.reused) == (2, COUNT - 2)
    merge_parts(store, parts_at)
    found, wanted = content(store), content(plain(tmp_path / "plain.sqlite", output, changed))
    assert found["members"] == wanted["members"]
    assert {row[0] for row in wanted["results"]} < {row[0] for row in found["results"]}  # results belong to digests


# --- damage -----------------------------------------------------------------------------------------------------------


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flipped(data: bytes) -> bytes:
    return data[:200] + bytes([data[200] ^ 1]) + data[201:]


@pytest.mark.parametrize("damage", [_cut, _flipped, lambda _data: b""])
def test_a_damaged_file_is_one_sentence_and_the_others_are_merged(
    store, output, pictures, parts_at, expected, damage, monkeypatch
):
    monkeypatch.setattr(parts, "WRITTEN_AFTER", 0.0)
    score_part(parts_at, output, pictures, 1, 1)
    victim = Path(parts_at.paths()[2])
    victim.write_bytes(damage(victim.read_bytes()))
    merged = merge_parts(store, parts_at)
    [problem] = merged.problems
    assert problem.startswith(f"The part {victim.name} cannot be read (")
    assert "\n" not in problem
    assert (merged.new, "37 of 40 images" in merged.notes[0]) == (COUNT - 3, True)
    with pytest.raises(TableError):
        parts_at.read(str(victim))
    assert score_part(parts_at, output, pictures, 1, 1).scored == 3
    merge_parts(store, parts_at)
    assert content(store) == expected


def test_what_a_killed_writer_left_half_written_is_no_part(store, output, pictures, parts_at, expected):
    score_part(parts_at, output, pictures, 1, 1)
    [path] = map(Path, parts_at.paths())
    path.with_name(f".{path.stem}.jepa-00000000-1-1-.parquet").write_bytes(_cut(path.read_bytes()))
    assert merge_parts(store, parts_at).problems == []
    assert content(store) == expected


def test_a_table_of_another_kind_is_told(store, output, pictures, parts_at, tmp_path):
    import pandas as pd

    from jepa_core import images

    score_part(parts_at, output, pictures, 1, 1)
    frame = tmp_path / "frame.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(frame)
    name = f"0000000000-{images.digest(frame.read_bytes())[:16]}.parquet"
    Path(parts_at.paths()[0]).with_name(name).write_bytes(frame.read_bytes())
    assert len(merge_parts(store, parts_at).problems) == 1


# --- where parts are --------------------------------------------------------------------------------------------------


def test_parts_lie_in_whatever_fsspec_opens(store, output, pictures, expected):
    folder = PartFolder("memory://parts-of-a-test/run")
    assert folder.paths() == []
    score_part(folder, output, pictures, 1, 2)
    score_part(folder, output, pictures, 2, 2)
    assert merge_parts(store, folder).problems == []
    assert content(store) == expected


def test_an_address_that_cannot_be_opened_is_told():
    with pytest.raises(StoreError, match=r"^Parts cannot be kept at 'nosuch://x' \(.*\); a folder, or an address"):
        PartFolder("nosuch://x")


def test_a_place_that_cannot_be_written_to_is_told(output, pictures, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match=r"^A part cannot be written to .*/file \(.*\); a place with room"):
        score_part(PartFolder(str(tmp_path / "file")), output, pictures, 1, 1)


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        (ScoringMethod("estimate"), "Estimates were asked for in parts"),
        (ScoringMethod(precision="auto"), "Precision auto was asked for in parts"),
    ],
)
def test_what_parts_cannot_decide_on_their_own_is_told(output, pictures, parts_at, method, sentence):
    with pytest.raises(JepaError, match=sentence):
        score_part(parts_at, output, pictures, 1, 1, method=method)
