"""Planting into a set: what is planted where, and that the figures are those of what was found."""

from pathlib import Path

import numpy as np
import pytest

from jepa_core import images
from jepa_core.analysis import curation_benchmark, planting, review_evidence
from jepa_core.datasets.registry import get_dataset
from jepa_core.encoders.registry import load_encoder
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.store.results import Store


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> curation_benchmark.Curation:
    """Shapes and galaxies planted into handwritten digits; nothing is scored."""
    store = Store(tmp_path_factory.mktemp("bench") / "store.sqlite")
    output = EncoderOutput.of(load_encoder("digits", "cpu"))
    foreign = [get_dataset("shapes#60"), get_dataset("galaxies#60")]
    return curation_benchmark.benchmark(store, output, get_dataset("digits-validation"), foreign, draws=3)


def test_what_is_unlike_digits_is_found_among_as_many_first_ones(measured: curation_benchmark.Curation) -> None:
    table = measured.table
    foreign = table[table["planted"] == "foreign"]
    assert set(foreign["kind"]) == {"Shapes, 60 of 300", "Galaxies, 60 of 300", "all mixed", "all mixed, resized"}
    together = foreign[foreign["order"] == "all"]
    assert (together["precision"] >= 0.7).all()
    assert (together["recall"] >= together["precision"]).all()
    assert (together["count"] == 6).all()
    assert "score" not in set(table["order"]), "nothing has a full score"
    assert (foreign["precision_low"] <= foreign["precision"]).all()
    assert (foreign["precision"] <= foreign["precision_high"]).all()


def test_wrong_classes_are_found_by_neighbours_alone(measured: curation_benchmark.Curation) -> None:
    misled = measured.table[measured.table["planted"] == "wrong class"].set_index("order")["precision"]
    assert misled["class"] >= 0.7
    assert misled["class"] > misled["measures"]


def test_copies_of_pictures_too_small_for_a_hash_are_not_claimed_to_be_found(
    measured: curation_benchmark.Curation,
) -> None:
    copies = measured.table[measured.table["planted"] == "copies"].set_index("kind")
    assert copies["count"]["all kinds"] == copies["count"].drop("all kinds").sum() == curation_benchmark.COPIED
    assert copies["recall"]["all kinds"] == 0
    assert "360 pictures are too small, too plain or too much of one kind" in measured.notes[0]


def test_precision_and_recall_are_shares_of_what_was_planted() -> None:
    planted = np.array([True, True, True, True, False, False, False, False])
    values = np.array([9.0, 8.0, 1.0, 2.0, 7.0, 6.0, 5.0, 0.0])  # two, then three others, then one, one
    assert curation_benchmark._hits(values, planted) == (0.5, 0.75)
    assert curation_benchmark._hits(-values, planted) == (0.5, 0.5)
    assert curation_benchmark._hits(planted.astype(float), planted) == (1.0, 1.0)


def test_made_pictures_keep_their_class_and_say_of_what_they_were_made() -> None:
    items = list(get_dataset("scenes-train").items())[:20]
    for made in (planting.disturbed(items, np.random.default_rng(0)), planting.copied(items, np.random.default_rng(0))):
        assert [one.origin for one in made] == [item.position for item in items]
        assert [one.label for one in made] == [item.label for item in items]
        assert all(one.data != item.read() for one, item in zip(made, items, strict=True))
    resized = planting.resized(items[:2], (40, 30), "kind")
    assert [images.decode(one.data).image.size for one in resized] == [(40, 30)] * 2


def test_a_planted_set_is_the_drawn_classes_and_so_many_more(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    output = EncoderOutput.of(load_encoder("digits", "cpu"))
    host, other = get_dataset("digits-validation#200"), get_dataset("shapes#30")
    for dataset in (host, other):
        review_evidence.gather(store, output, dataset)
    own, foreign = (review_evidence.load(store, output, store.members(one.name)) for one in (host, other))
    found, planted = curation_benchmark.draw_foreign(own, np.array(["1", "2", "3", "4"]), [foreign], seed=5)
    labels = found.labels[~planted]
    assert len(set(labels)) == 3
    for label in set(labels):
        size = int((own.labels == label).sum())
        assert (labels == label).sum() == size
        assert (found.labels[planted] == label).sum() == max(1, round(0.05 * size))
    digests = [member.digest for member, is_planted in zip(found.members, planted, strict=True) if is_planted]
    assert set(digests) <= {member.digest for member in foreign.members}
    assert len(set(digests)) == len(digests) or len(set(labels)) > 1
