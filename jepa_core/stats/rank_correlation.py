"""How alike two columns order one set of images: Spearman's rho, alone, given a third column, with its interval."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import spearmanr

from jepa_core.stats.bootstrap import interval, times_drawn


def spearman(x: Float[ndarray, "n"], y: Float[ndarray, "n"]) -> float:
    """Spearman's rho, Pearson's correlation of the mid-ranks; NaN where a column has one value only, which is no order.

    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([1.0, 9.0, 4.0]))
    0.5
    """
    if min(np.unique(x).size, np.unique(y).size) < 2:
        return float("nan")
    return float(spearmanr(x, y).statistic)


def partial_spearman(x: Float[ndarray, "n"], y: Float[ndarray, "n"], given: Float[ndarray, "n"]) -> float:
    """Spearman's correlation of x and y given a third column: `(r_xy - r_xz r_yz) / sqrt((1 - r_xz^2) (1 - r_yz^2))`.

    NaN where a column is constant, or has the order of the third.
    """
    xy, xz, yz = spearman(x, y), spearman(x, given), spearman(y, given)
    rest = (1 - xz**2) * (1 - yz**2)
    return float((xy - xz * yz) / np.sqrt(rest)) if rest > 1e-9 else float("nan")


def spearman_with_interval(x: Float[ndarray, "n"], y: Float[ndarray, "n"]) -> tuple[float, float, float]:
    """`spearman`, and its bootstrap interval over resamples of the n rows. All three are NaN where rho is.

    Among drawn rows the mid-rank of a value is (b + a + 1) / 2, with b of them below it and a not above it: a sum along
    the sorted column, so no draw is sorted anew.
    """
    rho = spearman(x, y)
    if np.isnan(rho):
        return rho, rho, rho
    n = x.size
    columns = []
    for values in (x, y):
        order = np.argsort(values)
        below, not_above = (np.searchsorted(values[order], values, side=side) for side in ("left", "right"))
        columns.append((order, below, not_above))
    [drawn] = times_drawn(n)
    found = np.full(drawn.shape[1], np.nan)
    for resample in range(len(found)):
        times = drawn[:, resample]
        one, other = (_drawn_ranks(times, *column) - (n + 1) / 2 for column in columns)
        spread = np.sqrt((times @ one**2) * (times @ other**2))
        if spread > 0:  # a draw may hit one value only
            found[resample] = times @ (one * other) / spread
    return rho, *interval(found[~np.isnan(found)])


def _drawn_ranks(times: ndarray, order: ndarray, below: ndarray, not_above: ndarray) -> ndarray:
    """The mid-rank of each row's value among the drawn rows, `times` being how often each row was drawn."""
    smallest = np.concatenate([[0], np.cumsum(times[order])])
    return (smallest[below] + smallest[not_above] + 1) / 2
