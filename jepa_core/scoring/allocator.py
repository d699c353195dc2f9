"""What a run that estimates should do next: where the next seconds gain most.

After a lap two things can make estimates sharper: more full scores to calibrate on, and products for every image. What
either costs is known from what the run has measured. What products gain is known, too, since calibration images have
all of theirs; what more full scores gain is guessed from what the last ones gained. The step with the largest

    gain = log(mean squared error now / mean squared error after it) / its seconds

is taken until the goal is reached or no time is left; where products gain most, as many as should reach it. An interval
is only as good as the number of images behind it, so fewer than `LEAST_CHECKED` of them are not the end.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from jepa_core.scoring.method import LEAST_IMAGES, Goal

LEAST_CHECKED = 64
"""Calibration images behind the intervals of a run towards a fidelity, or an eighth of a smaller set."""
PRODUCT_SHARE = 0.4
"""The share of a forward pass that a product takes, before one was measured."""
_FIRST_GAIN = 0.7
"""The share of the squared error that twice the calibration images leave, before there are any to see it by."""
_MOST_GAIN, _LEAST_GAIN = 0.4, 0.97
"""Bounds of that share: from a few images it is a guess."""
_LOOK_SHARE = 0.3
"""A quick look may spend so many of its forward passes' seconds on full scores."""


@dataclass(frozen=True)
class Prices:
    """Seconds an image on this machine: of a forward pass, of one product, and of a full score."""

    look: float
    product: float
    full: float

    def products(self, rows: int) -> float:
        """Seconds of a forward pass with some products."""
        return self.look + rows * self.product


@dataclass(frozen=True)
class Standing:
    """How far a run has come.

    Attributes:
        images: how many there are.
        calibrated: how many of them, drawn at random, have a full score.
        rows: products that each image has.
        fidelity: Spearman's correlation of left-out predictions with the calibration images' scores; NaN for too few.
        errors: mean squared error of the calibration images, left out, by the number of products.
        before: that with `rows` products of the step before, with half as many calibration images; NaN if unknown.
        spent: seconds.
        lap: seconds that the regressions of a lap take.
    """

    images: int
    calibrated: int
    rows: int
    fidelity: float
    errors: Mapping[int, float]
    before: float = np.nan
    spent: float = 0.0
    lap: float = 0.0

    @property
    def overall(self) -> float:
        """The fidelity of all scores together, about: those of the calibration images are full ones."""
        return overall(self.fidelity, self.calibrated, self.images)


@dataclass(frozen=True)
class Step:
    """More full scores, up to `calibrated` images, or `rows` products for each image; never both."""

    calibrated: int = 0
    rows: int = 0


def overall(fidelity: float, calibrated: int, images: int) -> float:
    """The fidelity of all scores of a set where some are full ones: errors are left in the others alone.

    >>> round(overall(0.96, 500, 1000), 3)
    0.98
    """
    return 1 - (1 - fidelity) * (1 - calibrated / images)


def next_step(standing: Standing, prices: Prices, goal: Goal) -> Step | None:
    """The step that gains most a second, or None where the goal is reached, the time is over or nothing is left.

    >>> prices = Prices(look=0.1, product=0.05, full=20.0)
    >>> next_step(Standing(10_000, 32, 0, 0.95, {0: 9.0, 2: 8.5}), prices, Goal(fidelity=0.98))
    Step(calibrated=64, rows=0)
    >>> next_step(Standing(1000, 128, 0, 0.97, {0: 9.0, 2: 3.0}, before=9.5), prices, Goal(fidelity=0.98))
    Step(calibrated=0, rows=2)
    >>> next_step(Standing(1000, 128, 0, 0.985, {0: 9.0}), prices, Goal(fidelity=0.98)) is None
    True
    """
    if standing.calibrated >= standing.images:
        return None
    if goal.rows and goal.rows > standing.rows:
        return Step(rows=goal.rows)
    if goal.fidelity is None and goal.seconds is None:
        return None
    if goal.fidelity is not None and standing.overall >= goal.fidelity:
        least = min(LEAST_CHECKED, standing.images // 8)
        return Step(calibrated=least) if standing.calibrated < least else None
    left = np.inf if goal.seconds is None else goal.seconds - standing.spent
    if (standing.images - standing.calibrated) * prices.full <= min(2 * standing.lap, left):
        return Step(calibrated=standing.images)  # sooner done than estimated
    steps = [found for found in _steps(standing, prices, left) if found[1] > 0 and 0 < found[2] <= left]
    if not steps:
        return None
    best = max(steps, key=lambda found: found[1] / found[2])
    if best[0].rows and goal.fidelity is not None:  # no half step: products of another number are all made anew
        needed = float(np.log((1 - standing.fidelity) / (1 - goal.fidelity)))
        enough = [found for found in steps if found[0].rows and found[1] >= needed]
        best = min(enough, key=lambda found: found[2], default=best)
    return best[0]


def _steps(standing: Standing, prices: Prices, left: float) -> list[tuple[Step, float, float]]:
    """The possible steps, with what they gain and their seconds."""
    now, found = standing.errors[standing.rows], []
    affordable = standing.images if np.isinf(left) else standing.calibrated + int(left / prices.full)
    more = min(max(2 * standing.calibrated, LEAST_IMAGES), standing.images, affordable)
    if more > standing.calibrated:
        share = now / standing.before if np.isfinite(standing.before) and standing.before > 0 else _FIRST_GAIN
        share = float(np.clip(share, _MOST_GAIN, _LEAST_GAIN))
        doublings = np.log2(more / max(1, standing.calibrated))
        found.append((Step(calibrated=more), -doublings * np.log(share), (more - standing.calibrated) * prices.full))
    for rows, error in standing.errors.items():
        if rows > standing.rows and error > 0:
            found.append((Step(rows=rows), float(np.log(now / error)), standing.images * prices.products(rows)))
    return found


def quick_calibration(images: int, prices: Prices, known: int) -> int:
    """How many images a quick look scores fully: what fits a share of its forward passes, and none it can do without.

    `known` full scores of other images are there to estimate from.
    """
    fitting = int(_LOOK_SHARE * images * prices.look / prices.full)
    least = max(0, LEAST_IMAGES - known)
    return min(images, max(least, min(fitting, images // 4)))
