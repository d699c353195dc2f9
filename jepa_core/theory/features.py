"""Which features are learned first: deep linear JEPA and MAE (Littwin et al., arXiv 2407.03475).

Encoder W = W_L ... W_1, one linear predictor or decoder V, data with E[x x^T] = S_xx and E[y x^T] = S_yx. A feature has
the covariance lambda (its entry of S_yx) and the regression coefficient rho = lambda / sigma_xx.

    L_JEPA = E|V W x - stopgrad(W) y|^2 / 2        L_MAE = E|V W x - y|^2 / 2

All layers start at eps^(1/L) I, so that w, a feature's entry of W, starts at eps, and each feature follows an equation
of its own: dw/dt = L w^(3-1/L) lambda - L w^3 sigma_xx for JEPA, dw/dt = L w^(2-1/L) lambda - L w^3 sigma_xx for MAE.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp

from jepa_core.theory.experiment import Cell, Experiment, Result, Step, rounded

OBJECTIVES = ("JEPA", "MAE")
PROCESSES = ("static", "dynamic")
_POINTS = 60  # of each drawn curve
_STABLE = 0.2


@dataclass(frozen=True)
class Settings:
    """Features by their covariance and regression coefficient; depth L and the initial size eps of W.

    With `samples` 0 the covariances are the exact ones; else they are those of so many pairs (x, y) of the process.
    """

    depth: int = 2
    size: float = 0.01
    covariance: tuple[float, ...] = (1.0, 0.9)
    regression: tuple[float, ...] = (0.5, 1.0)
    process: str = "static"
    samples: int = 0
    seed: int = 0


def fixed_point(objective: str, depth: int, rho: float) -> float:
    """Where w ends: rho^L for JEPA, rho^(L / (L + 1)) for MAE."""
    return rho**depth if objective == "JEPA" else rho ** (depth / (depth + 1))


def slope(objective: str, depth: int, covariance: float, rho: float, w: float) -> float:
    """dw/dt of one feature under gradient flow."""
    power = (3 if objective == "JEPA" else 2) - 1 / depth
    return depth * (w**power * covariance - w**3 * covariance / rho)


def flow(
    objective: str, depth: int, covariance: float, rho: float, size: float, until: float
) -> tuple[ndarray, ndarray]:
    """w(t) from `size` on, integrated by scipy: (times, values), at most until the time `until`."""
    solved = solve_ivp(
        lambda _t, w: [slope(objective, depth, covariance, rho, max(w[0], 0.0))],
        (0.0, until),
        [size],
        method="LSODA",
        rtol=1e-9,
        atol=1e-12,
        t_eval=np.linspace(0, until, _POINTS),
    )
    return solved.t, solved.y[0]


def half_time(objective: str, depth: int, covariance: float, rho: float, size: float) -> float:
    """When w has come half the way up, w = fixed point / 2, by scipy's integration; 0 if it starts above."""
    half = fixed_point(objective, depth, rho) / 2
    if size >= half:
        return 0.0

    def reached(_t: float, w: ArrayLike) -> float:
        return float(np.asarray(w)[0]) - half

    reached.terminal = True  # type: ignore[attr-defined]
    solved = solve_ivp(
        lambda _t, w: [slope(objective, depth, covariance, rho, w[0])],
        (0.0, 1e9),
        [size],
        method="LSODA",
        events=reached,
        rtol=1e-9,
        atol=1e-12,
    )
    return float(solved.t_events[0][0])


def critical_time(depth: int, covariance: float, rho: float, size: float) -> float:
    """JEPA's predicted time, (1 / lambda) sum over n = 1..2L-1 of 1 / (n rho^(2L-n-1) eps^(n/L)), for small eps.

    Its leading term has no rho; that comes in with the next ones, which grow as eps falls too.

    >>> round(critical_time(1, 1.0, 1.0, 0.01))
    100
    """
    n = np.arange(1, 2 * depth)
    return float((1 / (n * rho ** (2.0 * depth - n - 1) * size ** (n / depth))).sum() / covariance)


def covariances(settings: Settings) -> tuple[Float[ndarray, "d d"], Float[ndarray, "d d"]]:
    """(S_xx, S_yx): the exact ones, or those of drawn pairs.

    Static: a hidden u ~ N(0, lambda) is seen twice, each time with noise of its own, so that noise makes rho small.
    Dynamic: x is u itself and y its next value, u' = rho u + fresh noise: a feature that changes fast has a small rho.
    """
    covariance, rho = np.array(settings.covariance), np.array(settings.regression)
    if not settings.samples:
        return np.diag(covariance / rho), np.diag(covariance)
    generator = np.random.default_rng(settings.seed)
    draw = generator.standard_normal((3, settings.samples, len(covariance)))
    if settings.process == "static":
        noise = np.sqrt(covariance / rho - covariance)
        hidden = np.sqrt(covariance) * draw[0]
        x, y = hidden + noise * draw[1], hidden + noise * draw[2]
    else:
        x = np.sqrt(covariance / rho) * draw[0]
        y = rho * x + np.sqrt((1 - rho**2) * covariance / rho) * draw[1]
    return x.T @ x / settings.samples, y.T @ x / settings.samples


def gradients(
    objective: str, layers: Float[ndarray, "depth d d"], last: Float[ndarray, "d d"], s_xx: ndarray, s_yx: ndarray
) -> tuple[Float[ndarray, "depth d d"], Float[ndarray, "d d"]]:
    """The gradients of the loss by every layer of W and by V, with the target's W held fixed for JEPA.

    With the residual R = V W S_xx - T S_yx, T = W for JEPA and I for MAE: dV = R W^T and dW = V^T R.
    """
    below = [np.eye(len(s_xx))]
    for layer in layers:
        below.append(layer @ below[-1])
    whole = below.pop()
    target = whole if objective == "JEPA" else np.eye(len(s_xx))
    residual = last @ whole @ s_xx - target @ s_yx
    above = last.T @ residual
    found = np.empty_like(layers)
    for index in reversed(range(len(layers))):
        found[index] = above @ below[index].T
        above = layers[index].T @ above
    return found, residual @ whole.T


def descend(objective: str, settings: Settings, until: float) -> Iterator[tuple[ndarray, ndarray]]:
    """Gradient descent on the networks until a time: (times, diagonals of W) so far, twenty times over.

    The step size keeps descent stable at the fixed points, where the curvature grows with L sigma_xx.
    """
    s_xx, s_yx = covariances(settings)
    depth, d = settings.depth, len(s_xx)
    start = settings.size ** (1 / depth) * np.eye(d)
    layers, last = np.tile(start, (depth, 1, 1)), start.copy()
    steps = int(np.ceil(until / min(_STABLE / (depth * s_xx.diagonal().max()), until / 2000)))
    rate = until / steps
    times, diagonals = [0.0], [np.full(d, settings.size)]
    for step in range(1, steps + 1):
        by_layer, by_last = gradients(objective, layers, last, s_xx, s_yx)
        layers -= rate * by_layer
        last -= rate * by_last
        if step % max(1, steps // 400) == 0:
            whole = layers[0]
            for layer in layers[1:]:
                whole = layer @ whole
            times.append(step * rate)
            diagonals.append(whole.diagonal().copy())
        if step % max(1, steps // 20) == 0 or step == steps:
            yield np.array(times), np.array(diagonals)


def run(settings: Settings) -> Iterator[Step]:
    """Both objectives: each feature's curve by descent and by the equation, and its half-way and predicted times."""
    features = list(zip(settings.covariance, settings.regression, strict=True))
    result: Result = {}
    for number, objective in enumerate(OBJECTIVES):
        halves = [half_time(objective, settings.depth, *feature, settings.size) for feature in features]
        until = 1.6 * max(*halves, 1.0)
        lines: list[Result] = []
        for (covariance, rho), half in zip(features, halves, strict=True):
            times, values = flow(objective, settings.depth, covariance, rho, settings.size, until)
            end = fixed_point(objective, settings.depth, rho)
            line: Result = {"covariance": covariance, "regression": rho, "end": end, "half_flow": half}
            line |= {"times": rounded(times), "flow": rounded(values / end)}
            if objective == "JEPA":
                line["predicted"] = critical_time(settings.depth, covariance, rho, settings.size)
            lines.append(line)
        for share, (times, diagonals) in enumerate(descend(objective, settings, until), 1):
            for column, line in enumerate(lines):
                line |= {
                    "descent_times": rounded(times[::8]),
                    "descent": rounded(diagonals[::8, column] / line["end"]),
                    "half_descent": _crossing(times, diagonals[:, column] / line["end"]),
                }
            result = result | {objective: lines, "until": (result.get("until") or {}) | {objective: until}}
            yield Step(20 * number + min(share, 20), 20 * len(OBJECTIVES), result)


def _crossing(times: ndarray, shares: ndarray) -> float | None:
    """When a rising curve passes one half, by linear interpolation; None if it has not."""
    above = np.flatnonzero(shares >= 0.5)
    if not above.size:
        return None
    first = int(above[0])
    if first == 0:
        return 0.0
    return float(np.interp(0.5, shares[first - 1 : first + 1], times[first - 1 : first + 1]))


def table(cells: Sequence[Cell]) -> pd.DataFrame:
    """A line for each feature of each cell and objective: half-way times by descent, by the equation, and predicted."""
    return pd.DataFrame(
        {
            "objective": objective,
            "L": cell.settings.depth,
            "eps": cell.settings.size,
            "process": cell.settings.process if cell.settings.samples else "exact",
            "lambda": line["covariance"],
            "rho": line["regression"],
            "descent": line["half_descent"],
            "equation": line["half_flow"],
            "off %": _off(line),
            "predicted": line.get("predicted"),
        }
        for cell in cells
        for objective in OBJECTIVES
        for line in cell.result[objective]
    )


def _off(line: Result) -> float | None:
    """By how many per cent descent is later than the equation; None where either has no half-way time."""
    if not line["half_flow"] or line["half_descent"] is None:
        return None
    return 100 * (line["half_descent"] / line["half_flow"] - 1)


def order(lines: Sequence[Result]) -> list[int]:
    """The features in the order in which descent learned them."""
    return sorted(range(len(lines)), key=lambda number: lines[number]["half_descent"] or np.inf)


def ratios(cells: Sequence[Cell]) -> list[Result]:
    """The first feature's half-way time over the second's, for each depth and objective of the case that disagrees."""
    rows: list[Result] = []
    for cell in cells:
        same = Settings(depth=cell.settings.depth, **_DISAGREE)
        for objective in OBJECTIVES if cell.settings == same else ():
            first, second = cell.result[objective]
            rows.append(
                {
                    "objective": objective,
                    "depth": cell.settings.depth,
                    "ratio": first["half_descent"] / second["half_descent"],
                    "equation": first["half_flow"] / second["half_flow"],
                }
            )
    return rows


_SAME: Result = {"covariance": (1.0, 1.0), "regression": (1.0, 0.5)}
_DISAGREE: Result = {"covariance": (1.0, 0.9), "regression": (0.5, 1.0)}

FEATURES = Experiment(
    name="features",
    title="Which features are learned first",
    look_for="What does a network learn first? Both see one feature that varies much but is half noise and one that "
    "varies a little less but can be predicted exactly. The autoencoder, which has to restore what it sees, learns the "
    "noisy one first; a JEPA, which has to predict the embedding of another view, learns the predictable one first if "
    "it has two layers or more, and the more so the deeper it is.",
    version=1,
    settings=Settings,
    run=run,
    cells=(
        *(Settings(depth=depth, **_SAME) for depth in (1, 2, 3, 4)),
        *(Settings(depth=depth, **_DISAGREE) for depth in (1, 2, 3, 4)),
        *(Settings(depth=3, size=size, **_DISAGREE) for size in (0.05, 0.02)),
        *(Settings(depth=3, process=process, samples=10_000, **_DISAGREE) for process in PROCESSES),
    ),
    table=table,
)
