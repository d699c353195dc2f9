"""Figures: what is drawn is what was measured."""

import numpy as np
import pandas as pd
import pytest

from jepa_core.figures.histogram import domain_histogram, mark_on_reference
from jepa_core.figures.places import places_figure
from jepa_core.figures.truth import truth_figure


@pytest.fixture
def scores() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"Known": rng.normal(0, 1, 400), "<b>Foreign</b>": rng.normal(-5, 0.1, 100), "Nothing": np.empty(0)}


def test_each_domain_has_a_row_in_order_and_a_tick_at_its_median(scores):
    figure = domain_histogram(scores, "Known")
    assert list(figure.layout.yaxis.ticktext) == ["Nothing", "&lt;b&gt;Foreign&lt;/b&gt;", "Known"]
    assert list(figure.layout.yaxis.tickvals) == [0, 1, 2]
    medians = [trace.x[0] for trace in figure.data if (trace.hovertemplate or "").startswith("median")]
    assert np.allclose(medians, [np.median(scores["Known"]), np.median(scores["<b>Foreign</b>"])])


def test_a_row_holds_the_shares_and_is_as_high_as_any_other(scores):
    figure = domain_histogram(scores, "Known")
    rows = [trace for trace in figure.data if trace.fill == "toself"]
    for ground, trace in zip((2, 1, 0), rows, strict=True):
        assert min(trace.y) == ground
    for trace in rows[:2]:
        assert np.isclose(max(trace.y) - min(trace.y), 0.85)
        assert np.isclose(np.sum(trace.customdata[1:-1:2]), 1.0)


def test_the_band_is_the_middle_half_of_the_reference(scores):
    (band,) = domain_histogram(scores, "<b>Foreign</b>").layout.shapes
    assert np.allclose([band.x0, band.x1], np.quantile(scores["<b>Foreign</b>"], [0.25, 0.75]))


def test_every_picture_with_a_known_density_is_a_point_of_its_kind():
    density, values = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    figure = truth_figure(density, values, ["bar", "ellipse", "bar"], "JEPA-SCORE")
    assert {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data} == {
        "bar": ([1.0, 3.0], [4.0, 6.0]),
        "ellipse": ([2.0], [5.0]),
    }
    assert figure.layout.yaxis.title.text == "JEPA-SCORE"


def test_a_picture_is_marked_at_its_score_and_others_are_ticks_below():
    figure = mark_on_reference(np.array([1.0, 2.0, 3.0]), "<i>mine</i>", -4.0, [0.5, 9.0])
    bars, others, mine = figure.data
    assert sum(bars.y) == 3
    assert list(others.x) == [0.5, 9.0]
    assert max(others.y) < 0
    assert list(mine.x) == [-4.0, -4.0]
    assert mine.name == "&lt;i&gt;mine&lt;/i&gt;"
    assert min(bars.x) > -4.0 - 1
    assert len(mark_on_reference(np.array([1.0, 2.0]), "mine", 0.0, []).data) == 2


def test_every_method_has_a_row_and_its_shape_says_whether_it_finds_the_picture_unusual():
    table = pd.DataFrame(
        {
            "method": ["score", "length", "distance"],
            "percentile": [1.0, 40.0, 60.0],
            "low": [0.5, 35.0, 55.0],
            "high": [2.0, 45.0, 65.0],
            "raised": [True, None, False],
        }
    )
    figure = places_figure(table)
    assert list(figure.layout.yaxis.ticktext) == ["score", "length", "distance"]
    assert list(figure.layout.yaxis.tickvals) == [2, 1, 0]
    found = {trace.text[0]: trace for trace in figure.data}
    assert {name: trace.marker.symbol for name, trace in found.items()} == {
        "score": "diamond",
        "length": "circle-open",
        "distance": "circle",
    }
    assert list(found["distance"].error_x.arrayminus) == [5.0]
    assert list(found["distance"].error_x.array) == [5.0]
