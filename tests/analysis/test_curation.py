"""Which images are proposed for review, how many of each class, and how lists of images leave the explorer."""

import io

import numpy as np
import pandas as pd
import pytest

from jepa_core.analysis import curation
from jepa_core.errors import JepaError
from jepa_core.store.records import Member


def scored(sizes: dict[str, int], seed: int = 0) -> pd.DataFrame:
    """A score table with classes of these sizes, mixed."""
    labels = np.random.default_rng(seed).permutation([label for label, size in sizes.items() for _ in range(size)])
    scores = np.random.default_rng(seed + 1).permutation(len(labels)).astype(float)
    return pd.DataFrame(
        {
            "name": [f"{label}/{place}.png" for place, label in enumerate(labels)],
            "label": labels,
            "position": np.arange(len(labels)),
            "digest": [f"digest {place}" for place in range(len(labels))],
            "jepa_score": scores,
            "low": scores,
            "high": scores,
            "estimated": False,
        }
    )


@pytest.mark.parametrize(("percent", "expected"), [(0, (0, 0, 0)), (2, (4, 2, 0)), (7, (14, 7, 0)), (50, (100, 50, 5))])
def test_so_many_of_each_class_are_to_review_and_never_more(percent, expected):
    table = scored({"a": 200, "b": 100, "c": 10})
    counts = curation.by_class(curation.decide(table, percent, "set"))
    assert counts["label"].tolist() == ["a", "b", "c"]
    assert counts["images"].tolist() == [200, 100, 10]
    assert tuple(counts["review"]) == expected


def test_those_to_review_are_the_least_likely_of_their_own_class():
    decided = curation.decide(scored({"a": 60, "b": 40}), 10, "set")
    for label, share in decided.groupby("label"):
        chosen, kept = (share[share["decision"] == word]["jepa_score"] for word in ("review", "keep"))
        assert chosen.max() < kept.min(), label
    counts = curation.by_class(decided).set_index("label")
    chosen = decided[(decided["label"] == "a") & (decided["decision"] == "review")]
    assert counts["limit"]["a"] == chosen["jepa_score"].max()
    assert curation.by_class(curation.decide(scored({"a": 3}), 10, "set"))["limit"].isna().all()


def test_the_list_has_every_image_in_the_order_of_the_dataset_whatever_order_the_table_had():
    table = scored({"a": 30, "b": 30})
    decided = curation.decide(table, 10, "folder:/data")
    assert decided["name"].tolist() == table["name"].tolist()
    assert decided["path"][0] == f"/data/{table['name'][0]}"
    assert decided.equals(curation.decide(table.sort_values("jepa_score"), 10, "folder:/data"))


def test_of_equal_scores_the_first_of_the_dataset_come():
    table = scored({"a": 10}).assign(jepa_score=1.0)
    decided = curation.decide(table, 30, "set")
    assert decided["decision"].tolist() == ["review"] * 3 + ["keep"] * 7
    assert decided["percentile"].tolist() == [50.0] * 10


def test_by_another_order_its_largest_of_each_class_are_to_review():
    table = scored({"a": 10, "b": 10})
    unlike = pd.Series(table["position"].to_numpy(dtype=float), index=table["digest"])
    last = unlike.drop(table["digest"].iloc[-1])  # without a value it comes last
    for values, missing in ((unlike, []), (last, [19])):
        decided = curation.decide(table, 20, "set", values)
        for _label, share in decided.groupby("label"):
            places = [place for place in share.index if place not in missing]
            assert share[share["decision"] == "review"].index.tolist() == places[-2:]


@pytest.mark.parametrize("percent", [-1, 51, float("nan")])
def test_a_share_that_is_none_is_refused_in_one_sentence(percent):
    with pytest.raises(JepaError, match="of each class was to be reviewed; 0 to 50 is accepted; take a smaller share"):
        curation.decide(scored({"a": 3}), percent, "set")


def test_picked_images_come_in_their_order_with_scores_where_there_are_any():
    members = {
        "folder:/one": [Member("x/1.png", 0, "x", "d1"), Member("x/2.png", 1, "x", "d2")],
        "two": [Member("two/0", 0, "y", "d1")],
    }
    row = {
        "digest": ["d1"],
        "jepa_score": [3.5],
        "low": [3.0],
        "high": [4.0],
        "estimated": [True],
        "percentile": [80.0],
    }
    tables = {"folder:/one": pd.DataFrame(row)}
    found = curation.picked(members, {"d2": "folder:/one", "d1": "folder:/one", "gone": "two"}, tables)
    assert found["path"].tolist() == ["/one/x/2.png", "/one/x/1.png"]
    columns = ["jepa_score", "low", "high", "estimated", "percentile"]
    assert found[columns].iloc[0].isna().all()
    assert found[columns].iloc[1].tolist() == [3.5, 3.0, 4.0, True, 80.0]
    assert curation.picked(members, {"d1": "two"}, tables)["path"].tolist() == ["two/0"]
    assert curation.picked({}, {}, {}).empty


def test_exports_can_be_read_again():
    table = curation.decide(scored({"a": 5, "b": 5}), 20, "folder:/data")
    assert pd.read_csv(io.BytesIO(curation.as_csv(table)))["decision"].tolist() == table["decision"].tolist()
    assert curation.as_paths(table).decode().splitlines() == table["path"].tolist()


def test_a_path_of_a_folder_with_a_number_sign_stays_whole(tmp_path):
    (tmp_path / "set#5").mkdir()
    assert curation.path_of(f"folder:{tmp_path}/set#5", "a.png") == f"{tmp_path}/set#5/a.png"


def test_a_range_of_scores_has_its_ends():
    table = scored({"a": 10})
    assert sorted(curation.within(table, 2, 4)["jepa_score"]) == [2, 3, 4]


@pytest.mark.parametrize("text", ["", "1", "1:2:3", "2:1", "nan:1", "0:inf", "a:b", "50:60", "-9:-1"])
def test_a_range_that_is_none_or_elsewhere_is_no_range(text):
    assert curation.read_range(text, np.array([0.0, 10.0, -np.inf])) is None
    assert curation.read_range("-1:0", np.array([0.0, 10.0])) == (-1.0, 0.0)


def test_random_rows_are_different_ones_and_a_seed_decides_which():
    table = pd.DataFrame({"jepa_score": range(40)})
    first, again, other = (curation.random_rows(table, 8, seed).index.tolist() for seed in (0, 0, 1))
    assert first == again != other
    assert len(set(first)) == 8
    assert sorted(curation.random_rows(table, 99, 0).index) == list(range(40)), "as many as there are"
