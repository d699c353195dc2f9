"""Orders of a set for review: what is planted comes first, groups of foreign images too, with reasons that hold."""

import re
from dataclasses import replace

import numpy as np
import pytest

from jepa_core.analysis import picture_facts, review, review_orders
from jepa_core.analysis.duplicates import Duplicate, Duplicates
from jepa_core.analysis.review_evidence import Evidence, joined
from jepa_core.analysis.review_orders import ORDERS, by_class, deviations, distances, groups, ranked
from jepa_core.confounds.image_stats import MEASURES
from jepa_core.errors import JepaError
from jepa_core.store.records import Member
from tests.helpers import picture

NO_COPIES = Duplicates([], 0)
FACTS = picture_facts.read(picture_facts.look_at(picture(0)))


def evidence(labels: list[str], rng: np.random.Generator, shift: float = 0.0, **given: np.ndarray) -> Evidence:
    count = len(labels)
    arrays = {
        "sizes": rng.normal(shift, 1, (count, 12)),
        "embeddings": rng.normal(shift, 1, (count, 8)),
        "measures": rng.normal(shift, 1, (count, len(MEASURES))),
        "scores": rng.normal(-shift, 1, count),
        "spectra": rng.normal(shift, 1, (count, 8)),
    }
    members = [Member(f"{label}/{place}", place, label, f"{place:064x}") for place, label in enumerate(labels)]
    return Evidence(members=members, facts=[FACTS] * count, **(arrays | given))


def planted(rng: np.random.Generator, count: int = 6) -> tuple[Evidence, np.ndarray]:
    """Two classes of 80, and foreign images that are much alike among both."""
    own = evidence(["a"] * 80 + ["b"] * 80, rng)
    foreign = evidence(["a", "b"] * (count // 2), rng, shift=6.0)
    close = {name: 6 + 0.01 * getattr(foreign, name) for name in ("sizes", "embeddings", "measures", "spectra")}
    both = joined([own, replace(foreign, **close)])
    members = [
        replace(member, name=f"{member.label}/{place}", position=place) for place, member in enumerate(both.members)
    ]
    return replace(both, members=members), np.arange(160, 160 + count)


@pytest.mark.parametrize("order", [name for name in ORDERS if name not in ("class", "score-ends")])
def test_foreign_images_come_first_even_where_they_are_each_others_company(order: str) -> None:
    found, foreign = planted(np.random.default_rng(0), count=12)
    assert set(ranked(ORDERS[order].of(found))[:12]) == set(foreign)


def test_both_ends_of_the_score_come_first_and_images_without_a_score_last() -> None:
    found = evidence(["a"] * 60, np.random.default_rng(1))
    scores = found.scores.copy()
    scores[[3, 7]] = [50.0, -50.0]
    scores[9] = np.nan
    places = ranked(ORDERS["score-ends"].of(replace(found, scores=scores)))
    assert set(places[:2]) == {3, 7}
    assert places[-1] == 9
    assert ranked(ORDERS["score"].of(replace(found, scores=scores)))[0] == 7


def test_an_image_among_another_class_is_told_by_its_neighbours() -> None:
    rng = np.random.default_rng(2)
    embeddings = np.concatenate([rng.normal(0, 1, (40, 8)), rng.normal(9, 1, (40, 8))])
    found = evidence(["a"] * 39 + ["b"] + ["b"] * 40, rng, embeddings=embeddings)
    shares, named = review_orders.other_class(found)
    assert shares[39] == 1.0
    assert named[39] == "a"
    assert np.delete(shares, 39).max() <= 0.1
    table = review.review(found, "set", "class", NO_COPIES).table
    assert table["name"][0] == found.members[39].name
    assert "10 of its 10 nearest are of other classes, most of class a" in table["reasons"][0]
    assert review_orders.other_class(found.labelled(["one"] * 80))[0].tolist() == [0.0] * 80


def test_a_class_that_is_too_small_is_held_against_the_whole_set_and_it_is_said() -> None:
    rng = np.random.default_rng(3)
    found = evidence(["a"] * 50 + ["b"] * 5 + ["c"] * 3, rng)
    judged, among, small = groups(found.labels)
    assert [len(one) for one in judged] == [50, 8]
    assert [len(one) for one in among] == [50, 58]
    assert small == 2
    assert (
        "2 classes with fewer than 20 images are held against the whole set."
        in review.review(found, "set", "all", NO_COPIES).notes
    )
    foreign = replace(found, measures=np.where(np.arange(58)[:, None] == 57, 9.0, found.measures))
    assert ranked(ORDERS["measures"].of(foreign))[0] == 57


def test_classes_of_another_spread_are_comparable() -> None:
    rng = np.random.default_rng(4)
    values = np.concatenate([rng.normal(0, 1, 500), rng.normal(50, 20, 500)])
    labels = np.array(["a"] * 500 + ["b"] * 500, dtype=object)
    first = ranked(by_class(labels, lambda some: values[some]))[:100]
    assert 30 <= (first < 500).sum() <= 70


def test_a_distance_is_to_the_kth_other_point_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.arange(200.0)[:, None]
    found = np.exp(distances(points))
    assert found[0] == pytest.approx(20)  # a tenth of 200, all of them to the right
    assert found[100] == pytest.approx(10)
    monkeypatch.setattr(review_orders, "MOST_REFERENCES", 100)
    drawn = np.exp(distances(points))
    assert np.abs(np.log(drawn / found)).max() < 0.7


def test_a_column_that_never_varies_says_nothing() -> None:
    values = np.array([[1.0, 5.0], [1.0, 6.0], [1.0, 7.0], [1.0, 100.0]])
    assert (deviations(values, values)[:, 0] == 0).all()
    assert deviations(values, values)[3, 1] > 10


def test_rounding_of_what_ships_does_not_tell_planted_images() -> None:
    rng = np.random.default_rng(8)
    own, planted = evidence(["a"] * 80, rng), evidence(["a"] * 4, rng)
    even = np.full((84, 3), -2.5)
    even[80:] += 2e-4  # what rounding leaves of a column that is the same for all
    both = joined([own, planted])
    plain = ORDERS["sizes"].of(both)
    assert np.allclose(ORDERS["sizes"].of(replace(both, sizes=np.hstack([both.sizes, even]))), plain)


def test_the_reason_names_a_measure_and_never_a_value_within_its_range() -> None:
    rng = np.random.default_rng(5)
    found = evidence(["a"] * 200, rng)
    measures = found.measures.copy()
    column = list(MEASURES).index("brightness")
    measures[17, column] = -40.0
    reviewed = review.review(replace(found, measures=measures), "set", "measures", NO_COPIES).table
    first = reviewed.iloc[0]
    assert first["name"] == "a/17"
    assert first["reasons"].startswith("dark (brightness -40; 98 % of its class have")
    told = 0
    for sentence in reviewed["reasons"]:
        for value, low, high in re.findall(
            r"\((?:[\w ]+) ([-.e\d]+); 98 % of its class have ([-.e\d]+) to ([-.e\d]+)\)", sentence
        ):
            assert not float(low) <= float(value) <= float(high)
            told += 1
    assert told


def test_copies_are_reasons_and_name_what_was_there_first() -> None:
    found = evidence(["a"] * 40, np.random.default_rng(6))
    copies = Duplicates([Duplicate(2, 5, "near", 0.97), Duplicate(1, 5, "mirrored"), Duplicate(2, 9, "same file")], 3)
    other = review.Across("Other set", [Member("x/1", 0, "x", "0" * 64)], Duplicates([Duplicate(0, 9, "near")], 0))
    reviewed = review.review(found, "folder:/data", "all", copies, other)
    table = reviewed.table.set_index("name")
    assert table["reasons"]["a/5"].startswith("a near duplicate of a/2; a mirror image of a/1")
    assert table["reasons"]["a/9"].startswith("the same file as a/2; a near duplicate of x/1 of Other set")
    assert (table["duplicate_of"]["a/5"], table["duplicate_of"]["a/9"], table["duplicate_of"]["a/1"]) == (
        "a/2",
        "a/2",
        "",
    )
    assert table["path"]["a/5"] == "/data/a/5"
    assert any(note.startswith("3 pictures are too small, too plain") for note in reviewed.notes)


def test_an_order_of_scores_without_any_is_refused_in_one_sentence() -> None:
    found = evidence(["a"] * 40, np.random.default_rng(7), scores=np.full(40, np.nan))
    with pytest.raises(JepaError, match="none of the 40 images has one; score the set first, or choose another order"):
        review.review(found, "set", "score", NO_COPIES)
