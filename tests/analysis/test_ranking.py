"""Encoders compared by their orders: the comparison, its figure and its command."""

import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from jepa_core.analysis.agreement import of_orders
from jepa_core.analysis.ranking import Comparison, agreements, compare, disputed, most_apart_first, pair_table
from jepa_core.errors import NotEnoughData
from jepa_core.figures.rank_scatter import rank_scatter_figure, selected_rows
from jepa_core.figures.style import WEBGL_ABOVE

RNG = np.random.default_rng(0)


def table(scores: object, digests: str = "") -> pd.DataFrame:
    values = np.asarray(scores, dtype=float)
    names = list(digests) or [f"d{place}" for place in range(len(values))]
    return pd.DataFrame(
        {
            "name": [f"{digest}.png" for digest in names],
            "position": range(len(names)),
            "label": "x",
            "digest": names,
            "jepa_score": values,
        }
    )


# --- the comparison ---------------------------------------------------------------------------------------------------


def test_images_are_brought_together_by_digest_and_ranked_among_those_that_all_have_scored():
    found = compare({"a": table([1, 2, 3, 4], "wxyz"), "b": table([30, 10, 20], "zyx")})
    assert found.images["digest"].tolist() == ["x", "y", "z"]
    assert found.images["name"].tolist() == ["x.png", "y.png", "z.png"]
    assert found.percentiles["a"].round(1).tolist() == [16.7, 50.0, 83.3]
    assert found.percentiles["b"].round(1).tolist() == [50.0, 16.7, 83.3]


def test_an_image_that_a_table_has_twice_counts_once():
    assert len(compare({"a": table([1, 1, 2], "xxy"), "b": table([1, 2], "xy")}).images) == 2


def test_no_scale_of_a_score_changes_a_comparison():
    one, other = RNG.normal(size=40), RNG.normal(size=40)
    plainly, scaled = (compare({"a": table(one), "b": table(values)}) for values in (other, np.exp(3 * other) - 900))
    assert plainly.percentiles.equals(scaled.percentiles)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_two_to_four_encoders_are_compared(count):
    with pytest.raises(NotEnoughData, match=f"asked of {count} encoders?; 2 to 4 different ones are accepted"):
        compare({str(number): table([1, 2, 3]) for number in range(count)})


def test_encoders_that_scored_other_images_are_told_so():
    with pytest.raises(NotEnoughData, match="0 images that a, b have all scored; at least 2 are needed"):
        compare({"a": table([1, 2], "wx"), "b": table([1, 2], "yz")})


def test_every_two_encoders_have_a_line_with_what_their_orders_share():
    values = {name: RNG.normal(size=60) for name in ("a", "b", "c")}
    found = pair_table(agreements(compare({name: table(one) for name, one in values.items()}), 0.1))
    assert list(zip(found["first"], found["second"], strict=True)) == [("a", "b"), ("a", "c"), ("b", "c")]
    for line in found.itertuples():
        one = of_orders(values[line.first], values[line.second], 0.1)
        assert (line.spearman, line.spearman_low, line.spearman_high) == pytest.approx((one.rho, one.low, one.high))
        assert (line.end, line.least, line.most) == (6, one.least.share, one.most.share)
        assert (line.chance, line.chance_low, line.chance_high) == (0.1, one.least.low, one.least.high)


def test_too_few_images_have_no_overlap_and_say_so():
    with pytest.raises(NotEnoughData, match=r"asked for 12 images .*; at least 20 are needed"):
        agreements(compare({"a": table(range(12)), "b": table(range(12))}))


def of_percentiles(first: list[float], second: list[float]) -> Comparison:
    images = table(first).drop(columns="jepa_score")
    return Comparison(images, pd.DataFrame({"a": first, "b": second}, dtype=float))


def test_the_most_disputed_images_are_those_with_the_largest_difference_each_way():
    found = disputed(of_percentiles([10, 90, 50, 20, 80], [95, 5, 50, 60, 70]), "a", "b", count=2)
    assert list(zip(found["likelier"], found.index, found["difference"], strict=True)) == [
        ("a", 1, 85.0),
        ("a", 4, 10.0),
        ("b", 0, 85.0),
        ("b", 3, 40.0),
    ]
    assert found.loc[0, ["percentile_first", "percentile_second", "name"]].tolist() == [10.0, 95.0, "d0.png"]


def test_encoders_that_agree_on_everything_dispute_nothing():
    assert disputed(of_percentiles([1, 2, 3], [1, 2, 3]), "a", "b").empty


# --- the figure -------------------------------------------------------------------------------------------------------


def figure(count: int, **options: object) -> go.Figure:
    names = [f"<b>{place}" for place in range(count)]
    first, second = RNG.uniform(0, 100, (2, count))
    return rank_scatter_figure(first, second, ("<a>", "b"), names, {"<a>": [2], "b": [0]}, **options)


def test_every_image_is_one_point_that_knows_its_row_and_the_disputed_are_marked():
    drawn = figure(6)
    rows = {trace.name: list(trace.customdata) for trace in drawn.data}
    assert rows == {"images": [1, 3, 4, 5], "disputed, likely for &lt;a&gt;": [2], "disputed, likely for b": [0]}
    assert drawn.data[0].text[0] == "&lt;b&gt;1"
    assert len({trace.marker.symbol for trace in drawn.data}) == 3  # not colours alone
    assert "percentile by &lt;a&gt;" in drawn.layout.xaxis.title.text


def test_many_points_are_drawn_with_webgl():
    assert isinstance(figure(WEBGL_ABOVE).data[0], go.Scatter)
    assert isinstance(figure(WEBGL_ABOVE + 1).data[0], go.Scattergl)


def test_a_finger_scrolls_past_the_figure_unless_it_may_drag():
    assert figure(5).layout.dragmode == "lasso"
    assert figure(5, drag=False).layout.dragmode is False


def test_selected_points_become_rows_in_order_each_once():
    points = [{"customdata": 3}, {"customdata": [1]}, {"customdata": 3}, {"x": 1.0}]
    assert selected_rows(points, 6) == [1, 3]
    assert selected_rows([], 6) == []


@pytest.mark.parametrize("given", [6, -1, "2", None, [], 1.5, [[1]], True])
def test_a_selection_that_names_no_row_of_the_table_is_left_out(given):
    assert selected_rows([{"customdata": given}, {"customdata": 0}], 6) == [0]


# --- the command ------------------------------------------------------------------------------------------------------

ASKED = ("compare", "--encoder", "photo", "--encoder", "world", "--data", "digits-test")


def test_the_command_prints_the_same_numbers_as_a_table_and_as_json(command):
    status, out, err = command(*ASKED, "--share", 10, "--top", 2, "--json")
    assert status == 0
    facts = json.loads(out)
    assert (facts["dataset"], facts["class"], facts["images"]) == ("digits-test", None, 360)
    assert facts["outputs"] == {"photo": "projector", "world": "projector"}
    (pair,) = facts["pairs"]
    assert (pair["first"], pair["second"], pair["end"]) == ("photo", "world", 36)
    assert pair["spearman_low"] < pair["spearman"] < pair["spearman_high"]
    assert [image["likelier"] for image in facts["disputed"]] == ["photo", "photo", "world", "world"]
    assert f"rho {pair['spearman']:.2f}" in err
    status, out, _err = command(*ASKED, "--share", 10, "--top", 2)
    assert status == 0
    assert f"{pair['spearman']:.4f}" in out
    assert all(image["name"] in out for image in facts["disputed"])


def test_the_command_compares_one_class_where_it_is_asked_to(command):
    facts = json.loads(command(*ASKED, "--class", "3", "--json")[1])
    assert facts["class"] == "3"
    assert 20 < facts["images"] < 60
    assert {image["label"] for image in facts["disputed"]} == {"3"}


def test_listed_sets_are_compared_by_the_scores_that_are_there(command):
    facts = json.loads(
        command("compare", "--encoder", "photo", "--encoder", "photo-tenth", "--data", "mnist", "--json")[1]
    )
    assert facts["images"] == 500
    status, out, err = command("compare", "--encoder", "photo", "--encoder", "world", "--data", "imagenette-train")
    assert (status, out) == (1, "")
    assert "has no scores for world, projector" in err


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("--encoder", "photo"), 1, "asked of photo; 2 to 4 different encoders are accepted"),
        (("--encoder", "photo", "--encoder", "photo"), 1, "asked of photo, photo; 2 to 4 different encoders"),
        (("--encoder", "photo", "--encoder", "nothing"), 2, "Unknown encoder: 'nothing'"),
        (("--encoder", "photo", "--encoder", "world", "--class", "cat"), 2, "'cat'"),
        (("--encoder", "photo", "--encoder", "world", "--share", "51"), 2, "up to 50 is accepted"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(command, words, status, sentence):
    got, out, err = command("compare", *words, "--data", "digits-test")
    assert (got, out) == (status, "")
    assert sentence in err.strip().splitlines()[-1]


@pytest.mark.usefixtures("own_assets")
def test_missing_scores_are_computed_first(command, folder, install_tiny, monkeypatch):
    from jepa_core.encoders import cost

    monkeypatch.setattr(cost, "engine_rate", lambda _device, precision="fp32": 1e9)  # noqa: ARG005
    card = install_tiny()
    other = json.loads(card.read_text()) | {"name": "other"}
    card.with_name("other.json").write_text(json.dumps(other))
    card.with_name("other.safetensors").write_bytes(card.with_suffix(".safetensors").read_bytes())
    asked = ("compare", "--encoder", "tiny", "--encoder", "other", "--data", folder, "--share", "50", "--device", "cpu")
    status, out, err = command(*asked, "--json")
    assert status == 0
    assert "tiny, projector on pictures: 12 images to score" in err
    (pair,) = json.loads(out)["pairs"]
    assert pair["spearman"] == pytest.approx(1.0)  # the same weights by another name
    assert json.loads(out)["disputed"] == []


def test_rows_come_in_the_order_of_how_differently_they_are_placed():
    percentiles = pd.DataFrame({"a": [10.0, 50.0, 90.0, 20.0], "b": [20.0, 50.0, 10.0, 10.0]})
    found = Comparison(pd.DataFrame(index=percentiles.index), percentiles)
    assert most_apart_first(found, "a", "b", [0, 1, 2, 3]) == [2, 0, 3, 1], "of equal differences the first first"
    assert most_apart_first(found, "a", "b", [1, 3]) == [3, 1]
