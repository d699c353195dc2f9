"""The score against the truth on Gaussian mixtures (figure 2 of arXiv 2510.05949).

One encoder a seed is trained on samples of its own mixture and judged on `TEST` fresh points, whose log-density is
known: how well does each score correlate with it?
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy import ndarray

from jepa_core.stats.rank_correlation import spearman
from jepa_core.theory import mixtures
from jepa_core.theory.experiment import Cell, Experiment, Result, Step, rounded

if TYPE_CHECKING:  # torch takes seconds to import, and listing experiments must not pay for it
    from torch import Tensor

    from jepa_core.theory.networks import Encoders

TEST = 2000
SCORES = {
    "term": "score with the Gaussian term",
    "score": "score alone",
    "norm": "-|f|²/2 alone",
    "gaussian": "one fitted Gaussian",
}
"""What is held against the truth, by name."""

KINDS = {"equal": "K = D", "sphere": "on the sphere", "wide": "K = 2 D"}
_SEEDS = (0, 1, 2)
_GRID = 36  # points along a side of the drawn densities
_SHOWN = 120  # points of a scatter
_PREVIEW = 300  # of the test points, while the training goes on


@dataclass(frozen=True)
class Settings:
    """D, how many training samples, the kind of output, and the mixtures' seeds; the rest is the training's recipe."""

    dim: int = 2
    samples: int = 10_000
    kind: str = "equal"
    seeds: tuple[int, ...] = _SEEDS
    spread: float = mixtures.SPREAD
    noise: float = 0.03
    steps: int = 1000


def run(settings: Settings) -> Iterator[Step]:
    """Train the encoders of all seeds side by side; judge them ten times on the way."""
    from jepa_core.theory import lejepa
    from jepa_core.theory.networks import stacked

    laws = [mixtures.drawn(settings.dim, seed, settings.spread) for seed in settings.seeds]
    samples = [law.sample(settings.samples, (1, seed)) for law, seed in zip(laws, settings.seeds, strict=True)]
    tests = [law.sample(TEST, (2, seed)) for law, seed in zip(laws, settings.seeds, strict=True)]
    judge = _judge(settings, laws, samples, tests)
    recipe = lejepa.Recipe(steps=settings.steps, noise=settings.noise)
    k = 2 * settings.dim if settings.kind == "wide" else settings.dim
    training = lejepa.train(stacked(samples), recipe, k=k, sphere=settings.kind == "sphere")
    history: list[Result] = []
    for step, encoders, regular in training:
        at_end = step == settings.steps
        if step % max(1, settings.steps // 10) and not at_end:
            continue
        result = judge(encoders, TEST if at_end else _PREVIEW)
        history.append({"step": step, "sigreg": rounded(regular), "term": result["mean"]["term"]})
        yield Step(step, settings.steps, result | {"history": history})


def _judge(
    settings: Settings, laws: Sequence[mixtures.Mixture], samples: Sequence[ndarray], tests: Sequence[ndarray]
) -> Callable[..., Result]:
    """A function of the encoders: each score's correlation with the truth, the folding, and what figures need."""
    from jepa_core.theory.networks import folded_share, stacked

    truths = [law.log_density(points) for law, points in zip(laws, tests, strict=True)]
    fitted = [mixtures.gaussian_log_density(of, points) for of, points in zip(samples, tests, strict=True)]
    sheet = _sheet(settings, laws, samples)

    def judge(encoders: "Encoders", count: int) -> Result:
        scores, jacobians = score_points(encoders, stacked(tests)[:, :count])
        seeds: list[Result] = []
        for number, seed in enumerate(settings.seeds):
            of = {name: values[number] for name, values in scores.items()} | {"gaussian": fitted[number][:count]}
            line: Result = {"seed": seed}
            for name in SCORES:
                line[name] = rounded(correlation(of[name], truths[number][:count]))
                line[f"{name}_rank"] = rounded(_spearman(of[name], truths[number][:count]))
            if settings.kind == "equal":
                line["folded"] = rounded(folded_share(jacobians[number]))
            seeds.append(line)
        shown = slice(0, _SHOWN)
        first = {name: rounded(values[0][shown]) for name, values in scores.items()}
        found: Result = {
            "seeds": seeds,
            "mean": {name: rounded(float(np.mean([line[name] for line in seeds]))) for name in SCORES},
            "points": {"truth": rounded(truths[0][shown])} | first,
        }
        return found | ({"sheet": sheet(encoders)} if sheet else {})

    return judge


def score_points(encoders: "Encoders", points: "Tensor") -> tuple[dict[str, ndarray], "Tensor"]:
    """The scores of each encoder's own points by name, each (count, n), and the Jacobians."""
    import torch

    from jepa_core.theory.networks import log_volumes

    with torch.no_grad():
        embedded, jacobians = encoders.with_jacobians(points)
        rank = min(encoders.k - encoders.sphere, points.shape[-1])
        score = log_volumes(jacobians, rank).numpy()
        norm = -0.5 * embedded.double().square().sum(dim=-1).numpy()
    return {"score": score, "term": score + norm, "norm": norm}, jacobians


def correlation(values: ndarray, truth: ndarray) -> float:
    """Pearson's; 0 where a score is the same everywhere, as the length of an embedding on the sphere is."""
    if np.ptp(values) <= 1e-4 * max(1.0, float(np.abs(values).max())):
        return 0.0
    return float(np.corrcoef(values, truth)[0, 1])


def _spearman(values: ndarray, truth: ndarray) -> float:
    return spearman(values, truth) if correlation(values, truth) else 0.0


def _sheet(
    settings: Settings, laws: Sequence[mixtures.Mixture], samples: Sequence[ndarray]
) -> Callable[..., Result] | None:
    """In the plane: the true and the learned density of the first seed on a grid, each summing to 1."""
    if settings.dim != 2:
        return None
    from jepa_core.theory.networks import stacked

    low, high = samples[0].min(axis=0) - 0.5, samples[0].max(axis=0) + 0.5
    across, up = np.linspace(low[0], high[0], _GRID), np.linspace(low[1], high[1], _GRID)
    grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    true = shares(laws[0].log_density(grid))

    def sheet(encoders: "Encoders") -> Result:
        scores, _jacobians = score_points(encoders, stacked([grid] * len(laws)))
        learned = shares(scores["term"][0]) if settings.kind != "sphere" else shares(scores["score"][0])
        return {
            "x": rounded(across),
            "y": rounded(up),
            "truth": rounded(true.reshape(_GRID, _GRID), 3),
            "learned": rounded(learned.reshape(_GRID, _GRID), 3),
        }

    return sheet


def shares(log_density: ndarray) -> ndarray:
    """exp of a log-density known up to a constant, scaled to sum to 1."""
    weights = np.exp(log_density - log_density.max())
    return weights / weights.sum()


def table(cells: Sequence[Cell]) -> pd.DataFrame:
    """A line for each cell: the mean over seeds of each score's Pearson correlation, the least, Spearman, folding."""
    lines = []
    for cell in cells:
        seeds = pd.DataFrame(cell.result["seeds"])
        line: Result = {
            "D": cell.settings.dim,
            "samples": cell.settings.samples,
            "output": cell.settings.kind,
            "seeds": len(seeds),
            "with term": seeds["term"].mean(),
            "least": seeds["term"].min(),
            "most": seeds["term"].max(),
            "Spearman": seeds["term_rank"].mean(),
            "score alone": seeds["score"].mean(),
            "its Spearman": seeds["score_rank"].mean(),
            "-|f|^2/2 alone": seeds["norm"].mean(),
            "one Gaussian": seeds["gaussian"].mean(),
            "folded %": 100 * seeds["folded"].mean() if "folded" in seeds else None,
            "seconds": cell.result.get("seconds"),
        }
        lines.append(line)
    return pd.DataFrame(lines)


def curves(cells: Sequence[Cell], samples: int) -> list[Result]:
    """Every score's correlations (one a seed) at each D for one number of samples, as a figure takes them.

    The score of outputs on the sphere is called "sphere".
    """
    rows: list[Result] = []
    for cell in cells:
        if cell.settings.samples != samples or cell.settings.kind == "wide":
            continue
        names = {"sphere": "score"} if cell.settings.kind == "sphere" else {name: name for name in SCORES}
        for name, column in names.items():
            values = [line[column] for line in cell.result["seeds"]]
            rows.append({"dim": cell.settings.dim, "name": name, "values": values})
    return rows


DIMS = (1, 2, 4, 8, 16, 32, 64)
SAMPLES = (100, 1_000, 10_000, 100_000)

TRUTH = Experiment(
    name="truth",
    title="Score against truth",
    look_for="Fresh points of a Gaussian mixture are scored; each line says how well one score follows their true "
    "log-density (Pearson: 1 is perfectly, 0 not at all). Compare the score alone, the score with the Gaussian term, "
    "and what the length of the embedding or one fitted Gaussian gives already.",
    version=1,
    settings=Settings,
    run=run,
    # What matters most comes first, since a run may be stopped.
    cells=(
        *(Settings(dim=dim, samples=samples) for samples in (10_000, 1_000, 100, 100_000) for dim in DIMS),
        *(Settings(dim=dim, kind="wide") for dim in (1, 2, 4, 8)),
        *(
            Settings(dim=dim, samples=samples, kind="sphere")
            for samples in (10_000, 1_000, 100, 100_000)
            for dim in DIMS[1:]
        ),
    ),
    table=table,
)
