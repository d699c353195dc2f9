"""Gaussians live on spheres (Lemma 1 of arXiv 2510.05949), and what does not become small there.

For z ~ N(0, I) in K dimensions, |z| / sqrt(K) has mean about 1 and standard deviation about 1 / sqrt(2 K), and a
coordinate of sqrt(K) z / |z| tends to N(0, 1). But |z|^2 / 2, the Gaussian term of the log-density, has standard
deviation sqrt(K / 2): it grows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy import ndarray
from scipy import stats

from jepa_core.theory.experiment import Cell, Experiment, Result, Step, rounded

_BLOCK = 500  # vectors drawn at once
_POINTS = 81  # of each curve


@dataclass(frozen=True)
class Settings:
    """How many numbers a vector has, and how many vectors are drawn."""

    k: int = 16
    samples: int = 20_000
    seed: int = 0


def coordinate_density(k: int, at: ndarray) -> ndarray:
    """The density of one coordinate of a uniform point on the sphere of radius sqrt(K) in K dimensions.

    (t / sqrt(K) + 1) / 2 has the law Beta((K - 1) / 2, (K - 1) / 2). For K = 2 it has poles at the ends.
    """
    radius = np.sqrt(k)
    return stats.beta((k - 1) / 2, (k - 1) / 2, loc=-radius, scale=2 * radius).pdf(at)


def exact(k: int) -> Result:
    """What is known without drawing: the length's law is chi with K degrees of freedom."""
    length = stats.chi(k)
    radius = np.sqrt(k)
    coordinate = stats.beta((k - 1) / 2, (k - 1) / 2, loc=-radius, scale=2 * radius)
    at = np.linspace(-4, 4, 4001)
    return {
        "length_mean": float(length.mean() / radius),
        "length_sd": float(length.std() / radius),
        "term_sd": float(np.sqrt(k / 2)),
        "coordinate_distance": float(np.abs(coordinate.cdf(at) - stats.norm.cdf(at)).max()),
    }


def run(settings: Settings) -> Iterator[Step]:
    """Draw vectors, and histogram their lengths and one coordinate of theirs on the sphere beside the exact laws."""
    generator = np.random.default_rng(settings.seed)
    k, radius = settings.k, np.sqrt(settings.k)
    reach = 6 * stats.chi(k).std() / radius
    edges = np.linspace(max(0.0, 1 - reach), 1 + reach, _POINTS)
    at = np.linspace(-3.5, 3.5, _POINTS)
    lengths, coordinates = np.empty(0), np.empty(0)
    for done in range(_BLOCK, settings.samples + _BLOCK, _BLOCK):
        drawn = generator.standard_normal((min(_BLOCK, settings.samples - done + _BLOCK), k))
        length = np.sqrt(np.square(drawn).sum(axis=1))
        lengths = np.concatenate([lengths, length])
        coordinates = np.concatenate([coordinates, radius * drawn[:, 0] / length])
        result = {
            "exact": exact(k),
            "drawn": {
                "length_mean": float(lengths.mean() / radius),
                "length_sd": float(lengths.std() / radius),
                "term_sd": float((lengths**2 / 2).std()),
                "coordinate_distance": float(stats.kstest(coordinates, "norm").statistic),
            },
            "length": {
                "edges": rounded(edges),
                "drawn": rounded(np.histogram(lengths / radius, edges, density=True)[0]),
                "law": rounded(radius * stats.chi(k).pdf(radius * edges)),
            },
            "coordinate": {
                "edges": rounded(at),
                "drawn": rounded(np.histogram(coordinates, at)[0] / len(coordinates) / (at[1] - at[0])),
                "law": rounded(np.nan_to_num(coordinate_density(k, at), posinf=0.0)),
            },
        }
        yield Step(min(done, settings.samples), settings.samples, result)


def table(cells: Sequence[Cell]) -> pd.DataFrame:
    """A line for each K: exact and drawn spreads, and the largest distance of a coordinate's law from N(0, 1)."""
    return pd.DataFrame(
        {
            "K": cell.settings.k,
            "sd of |z|/sqrt(K)": cell.result["exact"]["length_sd"],
            "drawn": cell.result["drawn"]["length_sd"],
            "1/sqrt(2K)": 1 / np.sqrt(2 * cell.settings.k),
            "sd of |z|^2/2": cell.result["exact"]["term_sd"],
            "drawn ": cell.result["drawn"]["term_sd"],
            "coordinate's distance from N(0,1)": cell.result["exact"]["coordinate_distance"],
        }
        for cell in cells
    )


def spreads(cells: Sequence[Cell]) -> list[Result]:
    """The exact and the drawn standard deviations for each K, as a figure takes them."""
    return [
        {
            "k": cell.settings.k,
            "length_sd": cell.result["exact"]["length_sd"],
            "length_drawn": cell.result["drawn"]["length_sd"],
            "term_sd": cell.result["exact"]["term_sd"],
            "term_drawn": cell.result["drawn"]["term_sd"],
        }
        for cell in cells
    ]


SPHERES = Experiment(
    name="spheres",
    title="Gaussians live on spheres",
    look_for="The plain score leaves out how long an embedding is, as if all lay on one sphere: with K coordinates, "
    "at √K from the middle. As K grows, the length of a Gaussian vector divided by √K does narrow to 1, and each "
    "coordinate of a point on the sphere comes to look Gaussian. But half its squared length, the term that is left "
    "out, spreads wider and wider.",
    version=1,
    settings=Settings,
    run=run,
    cells=tuple(Settings(k=2**power) for power in range(1, 13)),
    table=table,
)
