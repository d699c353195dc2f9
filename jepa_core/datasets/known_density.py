"""A world with a known density: pictures drawn by a smooth renderer g of a few random factors.

A picture has a kind (a shape on a ground) and six continuous factors z, independent within a kind, each with a mixture
of normal densities of its own. Within a kind g is smooth and injective, so the pictures lie on a surface of six
dimensions in the space of all images, and the density on that surface, per unit of its volume, is known:

    log p(image) = log mass(kind) + sum_i log p_i(z_i | kind) - 1/2 log det(J_g^T J_g)

J_g (pixels x 6) is the Jacobian of the renderer. The renderer is made of analytic functions and runs in complex numbers
too, so its derivatives are exact: Im g(z + i h) / h with a tiny h (Squire and Trapp, SIAM Review 40 (1998) 110-112).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

SIZE = 32  # px, height and width
SEEDS = {"train": 201, "validation": 202, "test": 203}
FACTORS = ("x", "y", "size", "angle", "hue", "ground")

_SOFT = 0.07  # width of an outline, as a share of half the picture: about a pixel, so that g is smooth
_CORNERS = 12.0  # how sharp a triangle's corners are
_STEP = 1e-30  # of the complex derivative: no difference is taken, so nothing is lost


@dataclass(frozen=True)
class Mixture:
    """A density on the line: normal components as (weight, mean, deviation)."""

    parts: tuple[tuple[float, float, float], ...]

    def log_density(self, values: Float[ndarray, "n"]) -> Float[ndarray, "n"]:
        """The log of sum_j w_j N(value; m_j, s_j^2)."""
        weight, mean, deviation = np.array(self.parts).T
        standard = (values[:, None] - mean) / deviation
        return np.log((weight / (deviation * math.sqrt(2 * math.pi)) * np.exp(-np.square(standard) / 2)).sum(axis=1))

    def draw(self, rng: np.random.Generator) -> float:
        """One value."""
        weight, mean, deviation = np.array(self.parts).T
        part = rng.choice(len(weight), p=weight)
        return float(rng.normal(mean[part], deviation[part]))


@dataclass(frozen=True)
class Kind:
    """A component of the world: how much of it there is, what it draws, and how its factors are spread."""

    shape: str
    ground: str
    mass: float
    factors: tuple[Mixture, ...]  # one for each of FACTORS

    @property
    def name(self) -> str:
        """What a person calls it."""
        return f"{self.shape} on {self.ground}"


def _normal(mean: float, deviation: float) -> Mixture:
    return Mixture(((1.0, mean, deviation),))


def _two(weight: float, first: float, second: float, deviation: float) -> Mixture:
    """Two humps, the first with `weight`."""
    return Mixture(((weight, first, deviation), (1 - weight, second, deviation)))


KINDS = (
    Kind(
        "ellipse",
        "plain",
        0.30,
        (
            _two(0.75, -0.7, 0.8, 0.3),
            _normal(0.0, 0.5),
            _normal(0.0, 0.6),
            _two(0.6, -0.5, 0.6, 0.25),
            _normal(-0.6, 0.6),
            _two(0.5, -0.8, 0.8, 0.35),
        ),
    ),
    Kind(
        "ellipse",
        "shaded",
        0.12,
        (
            _normal(0.0, 0.5),
            _two(0.3, -0.7, 0.7, 0.3),
            _normal(0.3, 0.4),
            _normal(0.2, 0.5),
            _two(0.7, -0.8, 0.7, 0.3),
            _normal(0.2, 0.5),
        ),
    ),
    Kind(
        "bar",
        "plain",
        0.20,
        (
            _normal(0.2, 0.6),
            _two(0.5, -0.6, 0.6, 0.25),
            _two(0.8, -0.3, 0.8, 0.3),
            _normal(0.0, 0.4),
            _normal(0.5, 0.5),
            _normal(-0.5, 0.5),
        ),
    ),
    Kind(
        "bar",
        "shaded",
        0.08,
        (
            _two(0.5, -0.6, 0.6, 0.3),
            _normal(0.1, 0.5),
            _normal(0.0, 0.5),
            _two(0.4, -0.6, 0.5, 0.25),
            _normal(0.0, 0.7),
            _normal(0.4, 0.4),
        ),
    ),
    Kind(
        "triangle",
        "plain",
        0.20,
        (
            _normal(-0.1, 0.4),
            _normal(0.0, 0.6),
            _normal(0.2, 0.5),
            _two(0.7, -0.4, 0.6, 0.3),
            _two(0.5, -0.7, 0.8, 0.3),
            _normal(0.0, 0.6),
        ),
    ),
    Kind(
        "triangle",
        "shaded",
        0.10,
        (
            _two(0.2, -0.8, 0.5, 0.3),
            _normal(0.2, 0.4),
            _two(0.6, -0.4, 0.6, 0.3),
            _normal(0.0, 0.5),
            _normal(0.3, 0.5),
            _two(0.6, -0.6, 0.7, 0.3),
        ),
    ),
)
NAMES = tuple(kind.name for kind in KINDS)


@lru_cache(maxsize=4096)
def sample(split: str, position: int) -> tuple[int, tuple[float, ...]]:
    """Number of the kind, and the factors, of a picture of a split ("train", "validation" or "test")."""
    rng = np.random.default_rng([SEEDS[split], position])
    kind = int(rng.choice(len(KINDS), p=[kind.mass for kind in KINDS]))
    return kind, tuple(factor.draw(rng) for factor in KINDS[kind].factors)


def draw(split: str, position: int) -> ndarray:
    """A picture of a split, uint8 (32, 32, 3)."""
    kind, factors = sample(split, position)
    return np.rint(render(KINDS[kind], np.array(factors)) * 255).astype(np.uint8)


def render(kind: Kind, factors: ndarray) -> ndarray:
    """g: factors (..., 6), real or complex -> colours (..., 32, 32, 3), in (0, 1) where real."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    along, up = ((2 * place + 1) / SIZE - 1 for place in (columns, rows))
    bounded = np.moveaxis(np.tanh(factors), -1, 0)[..., None, None]
    x, y = 0.45 * bounded[0], 0.45 * bounded[1]
    radius = 0.45 * np.exp(0.6 * bounded[2])
    # Below a quarter turn to both sides, so that no two angles look alike.
    angle = 1.4 * bounded[3]
    cosine, sine = np.cos(angle), np.sin(angle)
    across = (cosine * (along - x) + sine * (up - y)) / radius
    down = (cosine * (up - y) - sine * (along - x)) / radius
    cover = 1 / (1 + np.exp(-_INSIDE[kind.shape](across, down) * radius / _SOFT))
    # Two thirds of the colour circle: no two hues look alike.
    turn = 2 * math.pi / 3 * bounded[4]
    light = (0.5 + 0.15 * bounded[5]) * (1 + 0.25 * along if kind.ground == "shaded" else 1)
    inks = [0.5 + 0.4 * np.cos(turn - 2 * math.pi * channel / 3) for channel in range(3)]
    return np.stack([light * (1 - cover) + ink * cover for ink in inks], axis=-1)


def _ellipse(across: ndarray, down: ndarray) -> ndarray:
    return 1 - np.sqrt(across**2 + (down / 0.55) ** 2 + 1e-3)


def _bar(across: ndarray, down: ndarray) -> ndarray:
    """A box with round corners: the fourth power's norm."""
    return 1 - np.sqrt(np.sqrt(across**4 + (down / 0.35) ** 4 + 1e-6))


def _triangle(across: ndarray, down: ndarray) -> ndarray:
    """A slim triangle that points to the right: a soft minimum of the distances to its three sides."""
    sides = (0.6 + across, 0.42 - 0.35 * across - 0.94 * down, 0.42 - 0.35 * across + 0.94 * down)
    return -np.log(sum(np.exp(-_CORNERS * side) for side in sides)) / _CORNERS


_INSIDE = {"ellipse": _ellipse, "bar": _bar, "triangle": _triangle}


def jacobian(kind: Kind, factors: Float[ndarray, "n 6"], scale: Float[ndarray, "3"]) -> Float[ndarray, "n pixels 6"]:
    """J_g of pictures of a kind, pixels flattened as an encoder's input (CHW).

    `scale` is what each channel is divided by before it enters the encoder: its normalisation's deviation.
    """
    moved = factors[:, None] + 1j * _STEP * np.eye(len(FACTORS))
    slopes = render(kind, moved).imag / _STEP / scale
    return slopes.transpose(0, 4, 2, 3, 1).reshape(len(factors), -1, len(FACTORS))


def log_density(
    kinds: Int[ndarray, "n"],
    factors: Float[ndarray, "n 6"],
    scale: Float[ndarray, "3"],
    left: tuple[int, ...] = tuple(range(len(FACTORS))),
) -> Float[ndarray, "n"]:
    """log p(image) as in the module's formula, over the factors numbered `left`; the others are ignored.

    With some factors left out it is the density of what remains: log mass + sum over `left` of log p_i(z_i) - 1/2 log
    det of the Gram of those columns of J_g.
    """
    found = np.empty(len(kinds))
    columns = list(left)
    for number, kind in enumerate(KINDS):
        chosen = kinds == number
        if not chosen.any():
            continue
        own = factors[chosen]
        columns_of_j = jacobian(kind, own, scale)[:, :, columns]
        volume = np.linalg.slogdet(columns_of_j.transpose(0, 2, 1) @ columns_of_j)[1] / 2
        logs = sum(kind.factors[i].log_density(own[:, i]) for i in columns)
        found[chosen] = math.log(kind.mass) + logs - volume
    return found


def known_log_density(
    split: str, positions: Sequence[int], scale: Float[ndarray, "3"]
) -> tuple[Int[ndarray, "n"], Float[ndarray, "n"]]:
    """Kinds and `log_density`, over all factors, of pictures of a split."""
    drawn = [sample(split, position) for position in positions]
    kinds = np.array([kind for kind, _factors in drawn])
    return kinds, log_density(kinds, np.array([factors for _kind, factors in drawn]), scale)
