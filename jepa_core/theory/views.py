"""More views, a better score? Eq. 4 of arXiv 2510.05949: -logmeanexp over views T of -score_T.

A view is the point with the noise of the training views. The encoders are those of the truth experiment.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from jepa_core.jacobian.spectrum import multi_view_score
from jepa_core.theory import mixtures
from jepa_core.theory.experiment import Cell, Experiment, Result, Step, rounded
from jepa_core.theory.truth import correlation, score_points

COUNTS = (1, 2, 4, 8, 16, 32)
_TEST = 1000


@dataclass(frozen=True)
class Settings:
    """D, the noise of the training's views and of those that are scored, and the training."""

    dim: int = 2
    noise: float = 0.1
    samples: int = 10_000
    seeds: tuple[int, ...] = (0, 1, 2)
    steps: int = 1000


def run(settings: Settings) -> Iterator[Step]:
    """Train, then score more and more views of fresh points."""
    from jepa_core.theory import lejepa
    from jepa_core.theory.networks import stacked

    laws = [mixtures.drawn(settings.dim, seed) for seed in settings.seeds]
    samples = [law.sample(settings.samples, (1, seed)) for law, seed in zip(laws, settings.seeds, strict=True)]
    tests = [law.sample(_TEST, (2, seed)) for law, seed in zip(laws, settings.seeds, strict=True)]
    truths = [law.log_density(points) for law, points in zip(laws, tests, strict=True)]
    recipe = lejepa.Recipe(steps=settings.steps, noise=settings.noise)
    training = lejepa.train(stacked(samples), recipe, k=settings.dim)
    total = settings.steps + 100
    for step, encoders, _regular in training:  # noqa: B007 (the last is used below)
        if step % max(1, settings.steps // 10) == 0:
            yield Step(step, total, {})
    generator = np.random.default_rng(0)
    deviations = encoders.scale.numpy() * settings.noise
    plain, term = [], []
    counts: list[Result] = []
    clean, _jacobians = score_points(encoders, stacked(tests))
    result: Result = {"none": _correlations(clean["score"], clean["term"], truths)}
    for view in range(1, COUNTS[-1] + 1):
        noise = deviations * generator.standard_normal((len(laws), _TEST, settings.dim))
        scores, _jacobians = score_points(encoders, stacked(list(np.stack(tests) + noise)))
        plain.append(scores["score"])
        term.append(scores["term"])
        if view in COUNTS:
            joined, with_term = (np.asarray(multi_view_score(np.stack(values))) for values in (plain, term))
            counts.append({"views": view} | _correlations(joined, with_term, truths))
            result = result | {"counts": counts}
            yield Step(settings.steps + 100 * view // COUNTS[-1], total, result)


def _correlations(score: np.ndarray, term: np.ndarray, truths: Sequence[np.ndarray]) -> Result:
    return {
        name: rounded([correlation(one, truth) for one, truth in zip(values, truths, strict=True)])
        for name, values in (("score", score), ("term", term))
    }


def table(cells: Sequence[Cell]) -> pd.DataFrame:
    """A line for each cell and number of views; 0 views is the point itself, without noise."""
    return pd.DataFrame(
        {
            "D": cell.settings.dim,
            "noise": cell.settings.noise,
            "views": line.get("views", 0),
            "score alone": np.mean(line["score"]),
            "with term": np.mean(line["term"]),
            "least": np.min(line["term"]),
            "most": np.max(line["term"]),
        }
        for cell in cells
        for line in [cell.result["none"], *cell.result["counts"]]
    )


VIEWS = Experiment(
    name="views",
    title="More views, better score?",
    look_for="The formula for several views takes a soft minimum of their scores. If more views helped, the lines "
    "would rise from left to right; the dashed lines are the point itself, scored once without noise.",
    version=1,
    settings=Settings,
    run=run,
    cells=tuple(Settings(dim=dim, noise=noise) for dim in (2, 8) for noise in (0.1, 0.3)),
    table=table,
)
