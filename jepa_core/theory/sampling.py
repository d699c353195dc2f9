"""Sampling from an encoder: Langevin dynamics on the score with the Gaussian term (figure 2 of arXiv 2510.05949).

x <- x + eta / 2 grad log q(x) + sqrt(eta T) n, n ~ N(0, I), with log q = score - |f|^2 / 2, in the plane (K = D = 2)
and inside a box: a point that would leave it is put back onto its edge. At T = 1 and small eta points settle into q.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.distance import cdist

from jepa_core.theory import mixtures
from jepa_core.theory.experiment import Cell, Experiment, Result, Step, rounded

if TYPE_CHECKING:  # torch takes seconds to import, and listing experiments must not pay for it
    from torch import Tensor

    from jepa_core.theory.networks import Encoders

BOX = 4.0
"""Half the side of the box, in units of the data's standard deviation, about its mean."""

DENSITIES = {"moons": "two moons", "rings": "two rings", "mixture": "three Gaussians"}
_POINTS = 1000  # chains, and points of every sample that is compared
_SHOWN = 400
_LARGEST = 20.0  # of a gradient, in units of the data: folds have poles


@dataclass(frozen=True)
class Settings:
    """The density, the training's length, and the dynamics: step size eta, temperature T, how many steps."""

    density: str = "moons"
    steps: int = 3000
    step_size: float = 0.002
    temperature: float = 1.0
    walk: int = 1000
    seed: int = 0


def law_of(settings: Settings) -> mixtures.Mixture:
    """The density that is learned."""
    if settings.density == "mixture":
        return mixtures.drawn(2, settings.seed)
    return mixtures.moons() if settings.density == "moons" else mixtures.rings()


def energy_distance(one: Float[ndarray, "n dim"], other: Float[ndarray, "m dim"]) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|: 0 exactly where both have one law (Szekely and Rizzo, 2013).

    The pairs within a sample leave out a point with itself, so that two samples of one law come out about 0, on either
    side of it.
    """
    within = [cdist(x, x).sum() / (len(x) * (len(x) - 1)) for x in (one, other)]
    return float(2 * cdist(one, other).mean() - sum(within))


def run(settings: Settings) -> Iterator[Step]:
    """Train an encoder, then let points that start evenly in the box walk."""
    import torch

    from jepa_core.theory import lejepa
    from jepa_core.theory.networks import stacked

    law = law_of(settings)
    samples = law.sample(20_000, (1, settings.seed))
    truth = law.sample(_POINTS, (2, settings.seed))
    fresh = law.sample(_POINTS, (3, settings.seed))
    centre, scale = samples.mean(axis=0), float(samples.std())
    generator = torch.Generator().manual_seed(settings.seed)
    start = centre + BOX * scale * (2 * torch.rand(_POINTS, 2, generator=generator).double().numpy() - 1)
    result: Result = {
        "box": rounded([*(centre - BOX * scale), *(centre + BOX * scale)]),
        "truth": rounded(truth[:_SHOWN]),
        "start": rounded(start[:_SHOWN]),
        "energy_fresh": rounded(energy_distance(fresh, truth)),
        "energy_start": rounded(energy_distance(start, truth)),
        "density_fresh": rounded(float(law.log_density(fresh).mean())),
    }
    total = settings.steps + settings.walk
    recipe = lejepa.Recipe(steps=settings.steps, directions=8)
    for step, encoders, _regular in lejepa.train(stacked([samples]), recipe, k=2):  # noqa: B007 (the last is used below)
        if step % max(1, settings.steps // 10) == 0:
            yield Step(step, total, result)
    points = torch.from_numpy(start).float()[None]
    low, high = (torch.from_numpy(centre + side * BOX * scale).float() for side in (-1, 1))
    history: list[Result] = []
    step_size = settings.step_size * scale**2  # so that it means the same for every density
    for step in range(1, settings.walk + 1):
        slope = log_density_slope(encoders, points).clamp(-_LARGEST / scale, _LARGEST / scale)
        noise = torch.randn(points.shape, generator=generator)
        points = points + step_size / 2 * slope + (step_size * settings.temperature) ** 0.5 * noise
        points = torch.minimum(torch.maximum(points, low), high)
        if step % max(1, settings.walk // 12) == 0 or step == settings.walk:
            now = points[0].double().numpy()
            energy = rounded(energy_distance(now, truth))
            history.append({"step": step, "energy": energy})
            result = result | {"samples": rounded(now[:_SHOWN]), "energy": energy, "history": history}
            result["density"] = rounded(float(law.log_density(now).mean()))
            yield Step(settings.steps + step, total, result)


def log_density_slope(encoders: "Encoders", points: "Tensor") -> "Tensor":
    """The gradient, by the points, of the score with the Gaussian term, log |det J| - |f|^2 / 2."""
    import torch

    points = points.detach().requires_grad_()
    embedded, jacobian = encoders.with_jacobians(points)
    determinant = jacobian[..., 0, 0] * jacobian[..., 1, 1] - jacobian[..., 0, 1] * jacobian[..., 1, 0]
    value = determinant.abs().clamp_min(1e-12).log().sum() - embedded.square().sum() / 2
    (slope,) = torch.autograd.grad(value, points)
    return slope


def table(cells: Sequence[Cell]) -> pd.DataFrame:
    """A line for each cell: energy distances to the truth, and the mean true log-density of the points.

    The energy distance hardly sees fine structure: points that fill a ring count little. Their log-density does."""
    return pd.DataFrame(
        {
            "density": cell.settings.density,
            "seed": cell.settings.seed,
            "temperature": cell.settings.temperature,
            "samples": cell.result["energy"],
            "fresh true sample": cell.result["energy_fresh"],
            "starting points": cell.result["energy_start"],
            "mean log p of samples": cell.result["density"],
            "of a fresh sample": cell.result["density_fresh"],
            "seconds": cell.result.get("seconds"),
        }
        for cell in cells
    )


SAMPLING = Experiment(
    name="sampling",
    title="Sampling from an encoder",
    look_for="The points start evenly in the box and follow the slope of the score with the Gaussian term, with noise. "
    "If the encoder has learned the density, they end where the true points are, and their energy distance to the "
    "truth comes close to that of a fresh true sample.",
    version=2,
    settings=Settings,
    run=run,
    cells=tuple(Settings(density=density, seed=seed) for seed in (0, 1, 2) for density in DENSITIES),
    table=table,
)
