"""Figures: what is drawn is what was measured."""

import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from scipy.stats import gaussian_kde

from jepa_core.figures.domains import FORMS, domain_figure
from jepa_core.figures.histogram import reference_histogram
from jepa_core.figures.known_density import known_density_figure
from jepa_core.figures.percentiles import percentiles_figure
from jepa_core.figures.style import LIKELY, NEUTRAL, finish


@pytest.fixture
def scores() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"Known": rng.normal(0, 1, 400), "<b>Foreign</b>": rng.normal(-5, 0.1, 100), "Nothing": np.empty(0)}


def rows(figure: go.Figure) -> list[tuple[np.ndarray, np.ndarray]]:
    """The filled outlines (x, y), from the top."""
    found = []
    for trace in figure.data:
        if trace.fill == "toself":
            x, y = np.array(trace.x), np.array(trace.y)
            ends = np.flatnonzero(np.isnan(x))
            found += [(x[start:end], y[start:end]) for start, end in zip([0, *ends[:-1] + 1], ends, strict=True)]
    return sorted(found, key=lambda outline: -outline[1].min())


@pytest.mark.parametrize("form", FORMS)
def test_each_domain_has_a_row_in_order_and_its_middle_below_it(scores, form):
    figure = domain_figure(scores, "Known", form)
    assert list(figure.layout.yaxis.ticktext) == ["Nothing", "&lt;b&gt;Foreign&lt;/b&gt;", "Known"]
    assert list(figure.layout.yaxis.tickvals) == [0, 1, 2]
    assert [outline[1].min() for outline in rows(figure)] == [2, 1]  # of nothing, nothing is drawn
    middles = {trace.line.color: trace for trace in figure.data if trace.line.width == 3}
    for colour, name in ((LIKELY, "Known"), (NEUTRAL, "<b>Foreign</b>")):
        trace = middles[colour]
        assert [trace.x[0], trace.x[3], trace.x[1]] == pytest.approx(np.quantile(scores[name], [0.25, 0.5, 0.75]))
        assert f"median {np.median(scores[name]):.1f}" in trace.text[0]


@pytest.mark.parametrize("form", FORMS)
def test_every_row_is_as_high_as_any_other(scores, form):
    for _x, y in rows(domain_figure(scores, "Known", form)):
        assert np.ptp(y) == pytest.approx(0.85)


def test_a_histogram_holds_all_images(scores):
    figure = domain_figure(scores, "Known", "histogram")
    (known,) = [trace for trace in figure.data if trace.fill == "toself" and trace.line.color == LIKELY]
    said = [float(re.search(r"([\d.]+)% of the images", hint).group(1)) for hint in known.text if hint]
    assert sum(said[1:-1:2]) == pytest.approx(100, abs=3)  # each bar has two corners; rounded to a tenth


def test_a_density_is_that_of_scipys_kernels_and_peaks_where_the_scores_are(scores):
    (x, y), (_, foreign) = rows(domain_figure(scores, "Known", "density"))
    expected = gaussian_kde(scores["Known"])(x)
    assert (y - 2) / 0.85 == pytest.approx(np.r_[0, (expected / expected.max())[1:-1], 0], abs=1e-6)
    assert x[np.argmax(foreign)] == pytest.approx(-5, abs=0.1)


@pytest.mark.parametrize("values", [[3.0], [3.0, 3.0, 3.0]])
def test_one_score_alone_has_a_density_where_it_is(values):
    ((x, y),) = rows(domain_figure({"One": np.array(values)}, "One", "density"))
    assert x[np.argmax(y)] == pytest.approx(3, abs=0.01)


def test_the_cumulative_share_rises_to_all_images_beside_the_references(scores):
    figure = domain_figure(scores, "Known", "cumulative")
    for name, (x, y) in zip(("Known", "<b>Foreign</b>"), rows(figure), strict=True):
        share = (y - y.min())[1:-1] / 0.85
        assert share == pytest.approx([np.mean(scores[name] <= score) for score in x[1:-1]])
    (dotted,) = [trace for trace in figure.data if trace.line.dash == "dot"]
    assert np.isnan(np.array(dotted.x)).sum() == 2  # beside each of the other sets


def test_the_band_is_the_middle_half_of_the_reference(scores):
    (band,) = domain_figure(scores, "<b>Foreign</b>").layout.shapes
    assert np.allclose([band.x0, band.x1], np.quantile(scores["<b>Foreign</b>"], [0.25, 0.75]))


def test_an_infinite_score_takes_no_room(scores):
    scores["Known"][0] = -np.inf
    assert np.isfinite(domain_figure(scores, "Known").layout.xaxis.range).all()


def test_every_picture_with_a_known_density_is_a_point_of_its_kind():
    density, values = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    figure = known_density_figure(density, values, ["bar", "ellipse", "bar"], "JEPA-SCORE")
    assert {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data} == {
        "bar": ([1.0, 3.0], [4.0, 6.0]),
        "ellipse": ([2.0], [5.0]),
    }
    assert figure.layout.yaxis.title.text == "JEPA-SCORE"


def test_a_picture_is_marked_at_its_score_and_others_are_ticks_below():
    figure = reference_histogram(np.array([1.0, 2.0, 3.0]), "<i>mine</i>", -4.0, [0.5, 9.0])
    bars, others, mine = figure.data
    assert sum(bars.y) == 3
    assert list(others.x) == [0.5, 9.0]
    assert max(others.y) < 0
    assert list(mine.x) == [-4.0, -4.0]
    assert mine.name == "&lt;i&gt;mine&lt;/i&gt;"
    assert min(bars.x) > -4.0 - 1
    assert len(reference_histogram(np.array([1.0, 2.0]), "mine", 0.0, []).data) == 2


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
    figure = percentiles_figure(table)
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


@pytest.mark.parametrize(
    ("short", "long"),
    [("cats", "cats that are asleep"), ("<b>cats</b>", "cats"), ("&lt;b&gt;", "cats, dogs"), ("猫", "猫たち")],
)
def test_names_have_the_margin_that_they_need(short, long):
    def margin(name):
        axis = {"yaxis": {"tickvals": [0], "ticktext": [name]}}
        return finish(go.Figure(layout=axis), x="score", y="").layout.margin.l

    assert margin(short) <= margin(long)
    assert margin(long) > 7 * len(long) if long.isascii() else margin(long) > 13 * len(long)
