"""The controlled experiments: small encoders on known densities, spheres, sampling, and how results are kept."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from jepa_core import theory
from jepa_core.config import ROOT
from jepa_core.errors import JepaError, TableError, UnknownName
from jepa_core.theory import ascent, lejepa, mixtures, networks, sampling, spheres, truth, views
from jepa_core.theory import experiment as theory_experiment


def last(steps) -> theory_experiment.Result:
    *_, step = steps
    assert step.done == step.total
    return step.result


def bent(count: int = 2, dim: int = 3, k: int = 3, *, sphere: bool = False) -> networks.Encoders:
    """Encoders in float64 whose perceptron does something."""
    generator = torch.Generator().manual_seed(0)
    encoders = networks.Encoders(count, dim, k, width=8, depth=2, sphere=sphere, generator=generator)
    torch.nn.init.normal_(encoders.last, std=0.3, generator=generator)
    return encoders.double()


class TestEncoders:
    @pytest.mark.parametrize("sphere", [False, True])
    @pytest.mark.parametrize(("dim", "k"), [(3, 3), (2, 4)])
    def test_jacobians_are_autograds(self, dim: int, k: int, sphere: bool):
        encoders = bent(dim=dim, k=k, sphere=sphere)
        encoders.fit_scale(torch.randn(2, 50, dim, dtype=torch.float64) * 3 + 1)
        points = torch.randn(2, 5, dim, dtype=torch.float64)
        embedded, jacobians = encoders.with_jacobians(points)
        assert torch.allclose(embedded, encoders(points))
        full = torch.autograd.functional.jacobian(encoders, points)
        for one in range(2):
            for n in range(5):
                assert torch.allclose(jacobians[one, n], full[one, n, :, one, n].T, atol=1e-10)

    def test_start_as_they_are_given(self):
        encoders = networks.Encoders(
            2, 3, 3, width=8, depth=2, sphere=False, generator=torch.Generator().manual_seed(0)
        )
        points = torch.randn(2, 10, 3)
        assert torch.allclose(encoders(points), points)

    def test_share_nothing(self):
        encoders = bent()
        points = torch.randn(2, 10, 3, dtype=torch.float64)
        before = encoders(points)
        points[1] += 1
        assert torch.equal(encoders(points)[0], before[0])

    def test_an_output_on_the_sphere_has_one_length_and_one_rank_less(self):
        embedded, jacobians = bent(sphere=True).with_jacobians(torch.randn(2, 10, 3, dtype=torch.float64))
        assert torch.allclose(embedded.norm(dim=-1), torch.tensor(3.0, dtype=torch.float64).sqrt())
        sigma = torch.linalg.svdvals(jacobians)
        assert (sigma[..., 2] < 1e-6 * sigma[..., 0]).all()
        assert torch.allclose(networks.log_volumes(jacobians, 2), sigma[..., :2].log().sum(dim=-1))

    def test_a_fold_is_seen(self):
        flips = torch.eye(2).repeat(10, 1, 1)
        flips[:3, 0, 0] = -1
        assert networks.folded_share(flips) == pytest.approx(0.3)
        assert networks.folded_share(-flips[:, :1, :1]) == pytest.approx(0.3), "a mirror image is no fold"


def test_a_whitening_encoder_of_a_gaussian_has_the_density_with_the_term():
    """K = D: score with the Gaussian term - log p is one constant; the score alone is the same everywhere."""
    law = mixtures.drawn(3, seed=5, components=1)
    points = law.sample(200, 0)
    encoders = bent(count=1)
    torch.nn.init.zeros_(encoders.last)
    inverse = torch.from_numpy(np.linalg.inv(law.factors[0]))
    encoders.straight.data = inverse.T[None]
    encoders.offset.data = -torch.from_numpy(law.means[0] @ inverse.numpy().T)[None, None]
    scores, _jacobians = truth.score_points(encoders, torch.from_numpy(points)[None])
    difference = scores["term"][0] - law.log_density(points)
    assert np.ptp(difference) < 1e-9
    assert difference[0] == pytest.approx(3 * np.log(2 * np.pi) / 2)
    assert truth.correlation(scores["score"][0], law.log_density(points)) == 0.0


class TestMixtures:
    @pytest.mark.parametrize("law", [mixtures.drawn(2, 0), mixtures.moons(), mixtures.rings()])
    def test_densities_sum_to_one(self, law: mixtures.Mixture):
        side = np.linspace(-9, 9, 121)
        grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
        assert np.exp(law.log_density(grid)).sum() * (side[1] - side[0]) ** 2 == pytest.approx(1, abs=1e-3)

    def test_samples_follow_the_density(self):
        law = mixtures.drawn(1, 3)
        at = np.linspace(-15, 15, 20_001)
        heights = np.exp(law.log_density(at[:, None]))
        cumulated = np.cumsum(heights) * (at[1] - at[0])
        found = stats.kstest(law.sample(4000, 1)[:, 0], lambda x: np.interp(x, at, cumulated))
        assert found.pvalue > 1e-3

    def test_the_law_is_fixed_and_its_components_are_as_far_apart_as_said(self):
        for dim in (1, 4, 64):
            laws = [mixtures.drawn(dim, seed) for seed in range(300)]
            apart = [np.square(law.means[0] - law.means[1]).sum() for law in laws]
            assert np.sqrt(np.mean(apart)) == pytest.approx(mixtures.SPREAD, rel=0.15)
            deviations = np.linalg.svd(laws[0].factors, compute_uv=False)
            assert deviations.min() >= 0.5 - 1e-9
            assert deviations.max() <= 1 + 1e-9
        assert np.array_equal(mixtures.drawn(2, 0).means, mixtures.drawn(2, 0).means)

    def test_one_fitted_gaussian_is_right_for_a_gaussian(self):
        law = mixtures.drawn(3, 0, components=1)
        points = law.sample(500, 1)
        fitted = mixtures.gaussian_log_density(law.sample(50_000, 2), points)
        assert truth.correlation(fitted, law.log_density(points)) > 0.999

    def test_a_fitted_gaussian_copes_with_few_points_and_one_dimension(self):
        few = np.random.default_rng(0).normal(size=(5, 8))
        assert np.isfinite(mixtures.gaussian_log_density(few, few)).all()
        assert mixtures.gaussian_log_density(few[:, :1], few[:, :1]).shape == (5,)


class TestTraining:
    def test_makes_the_embedding_gaussian_and_the_score_right(self):
        settings = truth.Settings(dim=2, samples=2000, seeds=(100,), spread=0.5, steps=300)
        found = last(truth.run(settings))
        (seed,) = found["seeds"]
        assert seed["term"] > 0.95
        assert seed["term"] > seed["score"]
        assert seed["folded"] == 0.0
        assert np.sum(found["sheet"]["learned"]) == pytest.approx(1, rel=0.02)
        assert [row["step"] for row in found["history"]] == list(range(30, 301, 30))

    def test_trains_encoders_side_by_side_as_well_as_one(self):
        samples = torch.randn(1, 300, 2, generator=torch.Generator().manual_seed(0))

        def loss_falls(count: int) -> tuple[float, float]:
            recipe = lejepa.Recipe(steps=150, batch=128, first_noise=0.0)
            seen = [
                regular
                for _step, _encoders, regular in lejepa.train(2 * samples.repeat(count, 1, 1).exp(), recipe, k=2)
            ]
            return float(np.mean(seen[:10])), float(np.mean(seen[-10:]))

        for count in (1, 3):
            first, end = loss_falls(count)
            assert end < 0.5 * first

    @pytest.mark.parametrize("kind", ["sphere", "wide"])
    def test_other_outputs_are_judged_too(self, kind: str):
        found = last(truth.run(truth.Settings(dim=2, samples=200, kind=kind, seeds=(100, 101), steps=30)))
        assert len(found["seeds"]) == 2
        assert all(-1 <= line[name] <= 1 for line in found["seeds"] for name in truth.SCORES)
        if kind == "sphere":
            assert all(line["norm"] == 0.0 for line in found["seeds"]), "every embedding has the same length"

    def test_views_start_with_the_point_itself(self):
        found = last(views.run(views.Settings(dim=2, samples=500, seeds=(100,), steps=30)))
        assert [line["views"] for line in found["counts"]] == list(views.COUNTS)
        assert set(found["none"]) == {"score", "term"}


class TestSpheres:
    def test_what_is_drawn_agrees_with_the_exact_laws(self):
        for k in (2, 3, 64):
            found = last(spheres.run(spheres.Settings(k=k, samples=10_000)))
            for name in ("length_mean", "length_sd", "term_sd"):
                assert found["drawn"][name] == pytest.approx(found["exact"][name], rel=0.03)

    def test_the_length_narrows_and_the_term_widens(self):
        rows = [spheres.exact(k) for k in (4, 64, 1024)]
        assert rows[2]["length_sd"] == pytest.approx(1 / np.sqrt(2 * 1024), rel=1e-3)
        assert rows[0]["term_sd"] < rows[1]["term_sd"] < rows[2]["term_sd"]
        assert rows[2]["coordinate_distance"] < 1e-3 < rows[0]["coordinate_distance"]

    def test_in_three_dimensions_a_coordinate_is_uniform(self):
        """Archimedes: the area of a zone of a sphere depends on its height alone."""
        radius = np.sqrt(3)
        np.testing.assert_allclose(spheres.coordinate_density(3, np.linspace(-1.7, 1.7, 9)), 1 / (2 * radius))

    def test_as_many_are_drawn_as_were_asked_for(self):
        *_, step = spheres.run(spheres.Settings(k=2, samples=700))
        assert (step.done, step.total) == (700, 700)


class TestSampling:
    def test_the_slope_is_that_of_a_whitening_encoder(self):
        encoders = bent(count=1, dim=2, k=2)
        torch.nn.init.zeros_(encoders.last)
        points = torch.randn(1, 20, 2, dtype=torch.float64)
        assert torch.allclose(sampling.log_density_slope(encoders, points), -points)

    def test_the_slope_is_that_of_the_score_with_the_term(self):
        encoders = bent(count=1, dim=2, k=2)
        point = torch.randn(1, 1, 2, dtype=torch.float64)

        def value(at: Tensor) -> float:
            return float(truth.score_points(encoders, at)[0]["term"][0, 0])

        step = 1e-5 * torch.eye(2, dtype=torch.float64)
        numeric = [(value(point + one) - value(point - one)) / 2e-5 for one in step]
        assert sampling.log_density_slope(encoders, point).flatten().tolist() == pytest.approx(numeric, rel=1e-4)

    def test_the_energy_distance_has_its_closed_form_between_points(self):
        """Two points at 0 against two at distance 3: 2 * 3 - 0 - 0."""
        assert sampling.energy_distance(np.zeros((2, 1)), np.full((2, 1), 3.0)) == pytest.approx(6.0)

    def test_two_samples_of_one_law_are_close(self):
        generator = np.random.default_rng(0)
        same = sampling.energy_distance(generator.normal(size=(800, 2)), generator.normal(size=(800, 2)))
        other = sampling.energy_distance(generator.normal(size=(800, 2)), 1 + generator.normal(size=(800, 2)))
        assert abs(same) < 0.02 < other

    def test_the_walk_comes_closer_to_the_truth_and_stays_in_the_box(self):
        settings = sampling.Settings(density="mixture", steps=200, walk=100, step_size=0.03, seed=100)
        found = last(sampling.run(settings))
        assert found["energy"] < 0.3 * found["energy_start"]
        left, low, right, high = found["box"]
        x, y = np.array(found["samples"]).T
        assert x.min() >= left - 1e-3
        assert x.max() <= right + 1e-3
        assert y.min() >= low - 1e-3
        assert y.max() <= high + 1e-3


class TestAscent:
    def test_the_slope_is_that_of_the_score(self, tiny):
        point = torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(0))
        module = tiny.module()
        slope, score, term = ascent.slope_of(module, point, 16, term=True)
        ahead = point + 1e-2 * slope / slope.norm()
        _slope, higher, higher_term = ascent.slope_of(module, ahead, 16, term=True)
        assert higher_term - term == pytest.approx(1e-2 * float(slope.norm()), rel=0.2)
        rows = torch.autograd.functional.jacobian(lambda x: module(x[None])[0], point).flatten(1).double()
        assert score == pytest.approx(float(torch.linalg.svdvals(rows).log().sum()), rel=1e-4)
        assert higher != score

    def test_it_climbs_from_noise_and_keeps_to_pictures(self):
        found = last(ascent.run(ascent.Settings(image=-1, steps=3)))
        assert found["path"][-1]["score"] > found["path"][0]["score"]
        assert [frame["step"] for frame in found["frames"]] == [0, 1, 2, 3]
        assert ascent.picture(found["frames"][0]).shape == (16, 16, 3)


class TestLab:
    def test_a_finished_part_is_kept_and_read_again(self, monkeypatch):
        settings = spheres.Settings(k=2, samples=500)
        found = theory_experiment.compute(theory.SPHERES, settings)
        monkeypatch.setattr(np.random, "default_rng", None)  # nothing can be drawn any more
        assert theory_experiment.compute(theory.SPHERES, settings) == found
        assert theory_experiment.kept(theory.SPHERES, spheres.Settings(k=3, samples=500)) is None

    def test_a_cancelled_part_leaves_nothing(self):
        settings = spheres.Settings(k=2, samples=5000)
        assert theory_experiment.compute(theory.SPHERES, settings, cancelled=lambda: True) is None
        assert theory_experiment.kept(theory.SPHERES, settings) is None

    def test_a_damaged_file_is_computed_again(self, cache, caplog):
        settings = spheres.Settings(k=2, samples=500)
        theory_experiment.compute(theory.SPHERES, settings)
        (path,) = (cache / "theory" / "spheres").glob("*.json")
        path.write_text("{")
        assert theory_experiment.kept(theory.SPHERES, settings) is None
        assert "computed again" in caplog.text
        assert theory_experiment.compute(theory.SPHERES, settings) is not None

    def test_progress_is_shown_step_by_step(self):
        seen: list[theory_experiment.Step] = []
        theory_experiment.compute(theory.SPHERES, spheres.Settings(k=2, samples=2000), show=seen.append)
        assert [step.done for step in seen] == [500, 1000, 1500, 2000]

    def test_an_unknown_experiment_is_named_with_those_there_are(self):
        with pytest.raises(UnknownName, match=r"Unknown experiment: 'x'\. Must be one of: spheres, truth"):
            theory.get_experiment("x")

    def test_a_damaged_shipped_result_says_how_to_make_it_again(self, monkeypatch, tmp_path):
        monkeypatch.setattr(theory_experiment, "ASSETS", tmp_path / "assets")
        with pytest.raises(TableError, match="python -m jepa_core theory spheres"):
            theory_experiment.shipped(theory.SPHERES)

    def test_an_unwritable_file_is_one_sentence(self, tmp_path):
        with pytest.raises(JepaError, match="choose another with --out"):
            theory_experiment.write(theory.SPHERES, tmp_path / "nowhere" / "file.json")

    @pytest.mark.parametrize("name", theory.EXPERIMENTS)
    def test_settings_survive_json(self, name: str):
        experiment = theory.get_experiment(name)
        for settings in experiment.cells:
            assert experiment.read(json.loads(json.dumps(asdict(settings)))) == settings


class TestShipped:
    @pytest.mark.parametrize("name", theory.EXPERIMENTS)
    def test_the_full_result_is_that_of_the_cells(self, name: str):
        experiment = theory.get_experiment(name)
        cells = theory_experiment.shipped(experiment)
        assert {cell.settings for cell in cells} <= set(experiment.cells)
        assert len(experiment.table(cells)) >= len(cells) > 0

    def test_descent_is_within_five_percent_of_the_equation(self):
        table = theory.FEATURES.table(theory_experiment.shipped(theory.FEATURES))
        exact = table[table["process"] == "exact"]
        assert {1, 2, 3, 4} <= set(exact["L"])
        assert (exact["off %"].abs() < 5).all()

    def test_the_command_makes_the_shipped_file(self):
        assert (
            theory_experiment.command(theory.TRUTH) == "python -m jepa_core theory truth --out assets/theory/truth.json"
        )
        assert theory_experiment.shipped_path(theory.TRUTH) == ROOT / "assets" / "theory" / "truth.json"


class TestCommand:
    @pytest.fixture(autouse=True)
    def few(self, monkeypatch):
        """Two small cells."""
        cells = tuple(spheres.Settings(k=k, samples=500) for k in (2, 4))
        monkeypatch.setitem(theory.EXPERIMENTS, "spheres", replace(theory.SPHERES, cells=cells))

    def test_prints_the_table_and_writes_the_file(self, command, cache):
        status, out, err = command("theory", "spheres")
        assert status == 0
        assert "sd of |z|/sqrt(K)" in out
        assert len(json.loads((cache / "theory" / "spheres.json").read_text())["cells"]) == 2
        assert "2 parts took" in err

    def test_goes_on_where_it_was(self, command, tmp_path):
        command("theory", "spheres", "--json")
        status, out, err = command("theory", "spheres", "--json", "--out", tmp_path / "s.json")
        assert status == 0
        assert "2 of 2 parts are in the cache" in err
        assert [row["K"] for row in json.loads(out)] == [2, 4]
        assert (tmp_path / "s.json").exists()

    def test_an_unknown_name_is_a_wrong_argument(self, command):
        status, _out, err = command("theory", "nothing")
        assert status == 2
        assert "Unknown experiment" in err
