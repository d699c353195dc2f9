"""Do p-values hold on real scores? How often p <= alpha on held-out images that a reference does not know.

    python benchmarks/coverage.py [--splits 1000]

Each shipped table's held-out images are split at random, again and again, into a reference of n and new images. The
rate that is promised is floor(alpha (n + 1)) / (n + 1) one-sided, twice that of alpha / 2 two-sided; ties may only
lower it. Computes no score; writes docs/trust/p_values.csv.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy import ndarray
from scipy.stats import betabinom

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jepa_core.analysis.methods import METHODS, Domain, FittedMethods, load_domain
from jepa_core.encoders.registry import list_encoders
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.stats.conformal import Reference
from jepa_core.store import shipped
from jepa_core.store.results import Store

OUT = Path(__file__).resolve().parent.parent / "docs" / "trust" / "p_values.csv"
SIZES = (50, 200, 700)
ALPHAS = (0.05, 0.1)
TIED = "JEPA-SCORE in steps of its standard deviation, unlikely"
LEFT = 50  # new images that a split has at least


def rates(scores: ndarray, n: int, side: str, splits: int) -> ndarray:
    """The share of new images with p <= alpha in each split, (splits, alphas)."""
    generator = np.random.default_rng(n)
    found = np.empty((splits, len(ALPHAS)))
    for place in range(splits):
        mixed = generator.permutation(scores)
        p = getattr(Reference("a random part", mixed[:n]), side)(mixed[n:])
        found[place] = (p[:, None] <= np.array(ALPHAS)).mean(axis=0)
    return found


def promised(n: int, alpha: float, sides: int) -> float:
    """The rate without ties."""
    return sides * np.floor(alpha / sides * (n + 1) + 1e-9) / (n + 1)


def kinds_of(known: Domain, fitted: FittedMethods) -> list[tuple[str, ndarray, str]]:
    """(title, scores, side) of what is tested on one table: the score from both sides, a distance, and ties."""
    score = -fitted.outlying("jepa", known)
    tied = np.round(score / score.std())  # a handful of values
    return [
        ("JEPA-SCORE, unlikely", score, "p_lower"),
        ("JEPA-SCORE, untypical", score, "p_two_sided"),
        (f"{METHODS['knn']}, far", -fitted.outlying("knn", known), "p_lower"),
        (TIED, tied, "p_lower"),
    ]


def rows(store: Store, spec: EncoderSpec, splits: int) -> list[dict[str, object]]:
    """One encoder, its default output: measured and promised rate, and their difference in standard errors."""
    known, training = (load_domain(store, EncoderOutput.of(spec), name) for name in (spec.reference, spec.training))
    found: list[dict[str, object]] = []
    for title, scores, side in kinds_of(known, FittedMethods(training)):
        for n in (n for n in SIZES if n + LEFT <= len(scores)):
            drawn = rates(scores, n, side, splits)
            for column, alpha in enumerate(ALPHAS):
                rate, goal = drawn[:, column].mean(), promised(n, alpha, 1 if side == "p_lower" else 2)
                error = drawn[:, column].std(ddof=1) / np.sqrt(splits)
                row = {"encoder": spec.name, "held_out_set": spec.reference, "p_value_of": title, "n": n}
                row |= {"alpha": alpha, "rate": f"{rate:.4f}", "promised": f"{goal:.4f}"}
                found.append(row | {"standard_errors": "" if title == TIED else f"{(rate - goal) / error:+.1f}"})
    return found


def across_sets(store: Store, encoder: str, reference: str, new: str) -> str:
    """One sentence on two sets that were split long before: what one reference finds of the other set's images."""
    spec = list_encoders()[encoder]
    first, second = (load_domain(store, EncoderOutput.of(spec), name).table["jepa_score"] for name in (reference, new))
    rate = np.mean(Reference(reference, first.to_numpy()).p_lower(second.to_numpy()) <= ALPHAS[0])
    calls = int(np.floor(ALPHAS[0] * (len(first) + 1)))
    # Of m new images the number of calls is beta-binomial: the reference's own rate is a draw, and so are the images.
    low, high = betabinom.ppf([0.05, 0.95], len(second), calls, len(first) + 1 - calls) / len(second)
    return (
        f"{encoder}: a share of {rate:.3f} of the {len(second)} images of {new} has p <= {ALPHAS[0]} among the "
        f"{len(first)} of {reference}; nine in ten such pairs of sets would lie between {low:.3f} and {high:.3f}."
    )


def main() -> None:
    """Write docs/trust/p_values.csv: measured and promised rates, and how many standard errors apart they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=1000)
    args = parser.parse_args()
    store = Store()
    for problem in shipped.load_all_shipped(store):
        print(problem)
    table = [row for spec in list_encoders().values() for row in rows(store, spec, args.splits)]
    pd.DataFrame(table).to_csv(OUT, index=False)
    print(across_sets(store, "digits", "digits-validation", "digits-test"))


if __name__ == "__main__":
    main()
