"""Areas on a map: from a chart's event, into an address and back, and what lies within."""

import numpy as np
import pytest

from jepa_core.analysis import lasso as analysis_lasso

SQUARE = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]])
# A "C": its opening is outside, though inside of the box around it.
OPEN = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 1.0], [1.0, 1.0], [1.0, 2.0], [3.0, 2.0], [3.0, 3.0], [0.0, 3.0]])


def test_a_box_has_its_corners_and_a_lasso_its_own():
    selection = {
        "points": [],
        "box": [{"xref": "x", "yref": "y", "x": [2.0, 0.0], "y": [0.0, 2.0]}],
        "lasso": [{"xref": "x", "yref": "y", "x": [0, 1, 1], "y": [0, 0, 1]}],
    }
    box, lasso = analysis_lasso.area_of(selection)
    assert {tuple(corner) for corner in box.tolist()} == {tuple(corner) for corner in SQUARE.tolist()}
    assert lasso.tolist() == [[0, 0], [1, 0], [1, 1]]


def test_a_click_is_no_area():
    assert analysis_lasso.area_of({"points": [{"x": 1}], "box": [], "lasso": []}) == []
    assert analysis_lasso.area_of({}) == []


@pytest.mark.parametrize(("customdata", "index"), [(7, 7), ([7], 7), (7.0, 7), (None, None), ("x", None)])
def test_a_click_names_its_point(customdata, index):
    assert analysis_lasso.clicked({"points": [{"customdata": customdata}], "box": [], "lasso": []}) == index


def test_an_area_with_one_point_is_no_click_and_neither_are_several_or_none():
    box = [{"x": [0, 1], "y": [0, 1]}]
    assert analysis_lasso.clicked({"points": [{"customdata": 7}], "box": box, "lasso": []}) is None
    assert analysis_lasso.clicked({"points": [{"customdata": 7}] * 2, "box": [], "lasso": []}) is None
    assert analysis_lasso.clicked({"points": [], "box": [], "lasso": []}) is None


@pytest.mark.parametrize(
    ("place", "inside"),
    [((2.0, 0.5), True), ((0.5, 1.5), True), ((2.0, 1.5), False), ((2.0, 2.5), True), ((-1.0, 1.5), False)],
)
def test_within_follows_the_outline(place, inside):
    assert analysis_lasso.within(np.array([place]), [OPEN]).tolist() == [inside]


def test_within_is_within_any_of_several_polygons():
    places = np.array([[1.0, 1.0], [11.0, 1.0], [5.0, 1.0]])
    assert analysis_lasso.within(places, [SQUARE, SQUARE + np.array([10, 0])]).tolist() == [True, True, False]
    assert analysis_lasso.within(places, []).tolist() == [False, False, False]


def test_an_area_is_the_same_again_out_of_an_address():
    area = [SQUARE - 0.25, OPEN * 1.5]
    again = analysis_lasso.read(analysis_lasso.written(area))
    assert [polygon.tolist() for polygon in again] == [polygon.tolist() for polygon in area]


def test_a_long_lasso_is_thinned_so_that_an_address_can_hold_it():
    turn = np.linspace(0, 2 * np.pi, 5000, endpoint=False)
    (polygon,) = analysis_lasso.area_of({"lasso": [{"x": 10 * np.cos(turn), "y": 10 * np.sin(turn)}]})
    assert len(polygon) == analysis_lasso.MOST_CORNERS
    assert analysis_lasso.read(analysis_lasso.written([polygon]))[0].tolist() == polygon.tolist()
    grid = np.random.default_rng(0).uniform(-12, 12, (2000, 2))
    far = np.abs(np.hypot(*grid.T) - 10) > 0.1
    assert (analysis_lasso.within(grid, [polygon]) == (np.hypot(*grid.T) < 10))[far].all()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "1,2",
        "1,2_3,4",
        "1,2_3,4_5",
        "1,2_3,4_nan,5",
        "1,2_3,4_1e99,5",
        "1,2_3,4_5,6~",
        "~".join(["0,0_1,0_1,1"] * 9),
        "_".join(["0,0"] * 61),
        "1,2_3,4_5,6" + "0" * 30_000,
    ],
)
def test_an_address_with_anything_else_has_no_area(text):
    assert analysis_lasso.read(text) == []
