"""The figures of the Theory page on the shipped results: what a person reads off them is what is in the rows."""

import numpy as np
import pytest

from jepa_core import theory
from jepa_core.figures import theory_features, theory_sampling, theory_spheres, theory_truth, theory_views
from jepa_core.theory import experiment, features, spheres, truth


def cells(name: str) -> list[experiment.Cell]:
    return experiment.shipped(theory.get_experiment(name))


def traces(figure, name: str) -> list:
    return [trace for trace in figure.data if name in (trace.name or "")]


def test_the_spread_of_the_length_falls_and_that_of_the_term_rises():
    figure = theory_spheres.deviations_figure(spheres.spreads(cells("spheres")))
    (length,), (term,) = traces(figure, "|z|/√K, exact"), traces(figure, "|z|²/2, exact")
    assert np.all(np.diff(length.y) < 0)
    assert np.all(np.diff(term.y) > 0)


@pytest.mark.parametrize("part", ["length", "coordinate"])
def test_laws_have_a_line_for_each_k(part: str):
    figure = theory_spheres.exact_laws_figure([(cell.settings.k, cell.result) for cell in cells("spheres")[:3]], part)
    assert [trace.name for trace in figure.data][:3] == ["K = 2", "K = 4", "K = 8"]


def test_what_is_drawn_stands_beside_its_law():
    result = cells("spheres")[3].result
    figure = theory_spheres.drawn_vectors_figure(result)
    assert list(figure.data[0].y) == result["length"]["drawn"]
    assert list(figure.data[1].y) == result["length"]["law"]


def test_the_table_of_the_truth_has_means_and_the_range_over_seeds():
    rows = truth.curves(cells("truth"), 10_000)
    (line,) = traces(theory_truth.correlation_figure(rows), "score with the Gaussian term")
    mine = sorted((row for row in rows if row["name"] == "term"), key=lambda row: row["dim"])
    assert list(line.x) == [row["dim"] for row in mine]
    assert list(line.y) == pytest.approx([np.mean(row["values"]) for row in mine])
    assert [mean + up for mean, up in zip(line.y, line.error_y.array, strict=True)] == pytest.approx(
        [max(row["values"]) for row in mine]
    )


def test_a_plane_has_a_scatter_and_both_densities():
    result = next(cell.result for cell in cells("truth") if cell.settings.dim == 2)
    scatter = theory_truth.scatter_figure(result["points"], result["mean"])
    assert [len(trace.x) for trace in scatter.data] == [len(result["points"]["truth"])] * 2
    true, learned = theory_truth.density_figure(result["sheet"]).data
    assert true.zmax == learned.zmax, "one scale of colours"


def test_samples_stand_in_the_box_and_the_start_before_they_move():
    result = cells("sampling")[0].result
    figure = theory_sampling.samples_figure(result)
    assert list(figure.data[1].x) == [point[0] for point in result["samples"]]
    assert tuple(figure.layout.xaxis.range) == (result["box"][0], result["box"][2])
    early = {name: value for name, value in result.items() if name not in ("samples", "history")}
    assert list(theory_sampling.samples_figure(early).data[1].x) == [point[0] for point in result["start"]]
    assert theory_sampling.energy_distance_figure(result).data[0].y[0] == result["energy_start"]
    assert list(theory_sampling.energy_distance_figure(early).data[0].y) == [result["energy_start"]]


def test_a_climb_shows_both_scores():
    path = cells("ascent")[0].result["path"]
    score, term = theory_sampling.ascent_figure(path).data
    assert list(score.y) == [row["score"] for row in path]
    assert list(term.y) == [row["term"] for row in path]


def test_learning_has_the_equation_descent_and_the_prediction():
    cell = next(cell for cell in cells("features") if cell.settings == features.Settings(depth=3))
    lines = cell.result["JEPA"]
    figure = theory_features.learning_curves_figure(lines, cell.result["until"]["JEPA"])
    assert [trace.mode for trace in figure.data] == ["lines", "markers"] * 2
    dashes = [shape.x0 for shape in figure.layout.shapes if shape.x0 == shape.x1]
    assert dashes == [line["predicted"] for line in lines]


def test_depth_shows_that_the_two_disagree():
    figure = theory_features.learning_order_figure(features.ratios(cells("features")))
    (jepa,), (mae,) = traces(figure, "JEPA: descent"), traces(figure, "MAE: descent")
    assert list(jepa.x) == [1, 2, 3, 4]
    assert all(ratio > 1 for ratio in jepa.y[1:])
    assert all(ratio < 1 for ratio in mae.y)


def test_views_have_the_point_itself_beside_them():
    result = cells("views")[0].result
    figure = theory_views.views_figure(result)
    assert list(figure.data[0].x) == [line["views"] for line in result["counts"]]
    assert [shape.y0 for shape in figure.layout.shapes] == pytest.approx(
        [np.mean(result["none"][name]) for name in ("term", "score")]
    )


def test_the_words_of_a_figure_have_the_means_that_it_draws():
    rows = truth.curves(cells("truth"), 10_000)
    figure = theory_truth.correlation_figure(rows)
    (term,) = traces(figure, truth.SCORES["term"])
    words = theory_truth.correlation_in_words(rows)
    for dim, mean in zip(term.x, term.y, strict=True):
        assert f"D = {dim}, {truth.SCORES['term']}: {mean:.2f}" in words.split("; ")
    result = cells("views")[0].result
    means = theory_views.views_figure(result).data[0].y
    expected = "; ".join(f"{line['views']} views: {y:.2f}" for line, y in zip(result["counts"], means, strict=True))
    assert theory_views.views_in_words(result) == f"Pearson with the Gaussian term, {expected}"
