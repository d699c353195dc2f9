"""How good the calibrated sketch is: rank correlation and intervals, in domain and out of it, over many draws.

    python benchmarks/sketch.py [--part validation] [--encoder digits] [--output backbone] [--draws 20]

Each draw takes other calibration images of the part and other random directions, and is measured on the part's
remaining images and on drawn domains. Choices (how many calibration images, which features, how directions are chosen)
were made on the validation part; the test part is for reporting.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from numpy import ndarray
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jepa_core import datasets, images, jacobian, sketch, spectrum
from jepa_core.encoders import Encoder, load_encoder

DOMAINS = ("flipped-digits", "inverted-digits", "photo-tiles", "shapes", "galaxies", "noise", "flat-colours")
FOREIGN = 150  # images of each domain


class Known:
    """Full Grams, features and scores of images."""

    def __init__(self, encoder: Encoder, output: str, name: str, count: int | None = None) -> None:
        spec = datasets.get_dataset(name)
        items = list(spec.items()) if count is None else datasets.sample(spec, count, seed=0)
        inputs = torch.stack([encoder.preprocess(images.decode(item.read()).image) for item in items])
        found = jacobian.engine_of(encoder, output).gram(inputs)
        self.grams, self.features = found.gram.numpy(), found.features.double().numpy()
        self.scores = spectrum.jepa_score(spectrum.singular_values(self.grams), encoder.spec.ranks[output].rank)

    def small(self, directions: ndarray, chosen: ndarray | slice = slice(None)) -> ndarray:
        """D G D^T of some of the images."""
        return directions @ self.grams[chosen] @ directions.T


def main() -> None:
    """Print a table for each number of calibration images, and one for the domains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", default="test", choices=["validation", "test"])
    parser.add_argument("--encoder", default="digits")
    parser.add_argument("--output", default="backbone")
    parser.add_argument("--draws", type=int, default=20)
    args = parser.parse_args()
    encoder = load_encoder(args.encoder)
    k, rank = encoder.spec.outputs[args.output], encoder.spec.ranks[args.output].rank
    part = Known(encoder, args.output, f"digits-{args.part}")
    print(f"{args.encoder}, {args.output}: K = {k}, rank {rank}; {len(part.scores)} images, scores' spread", end=" ")
    print(f"{part.scores.std():.2f}; {args.draws} draws, mean (spread) over them\n")
    print("| calibration images | r | Spearman | plain sketch | in interval | half-width / spread | flagged | s |")
    print("|---|---|---|---|---|---|---|---|")
    for count in (48, 96, 144):
        for r in sorted({k // 24, k // 12, round(k / 12), k // 6}):
            _print_row(part, count, r, rank, args.draws)
    foreign = {name: Known(encoder, args.output, name, FOREIGN) for name in DOMAINS}
    print(f"\nOther domains, {sketch.IMAGES} calibration images of the part, r = {round(k / 12)}\n")
    print("| domain | Spearman | in interval | flagged | in interval or flagged |")
    print("|---|---|---|---|---|")
    calibrations = [_draw(part, sketch.IMAGES, round(k / 12), rank, draw)[0] for draw in range(args.draws)]
    for name, other in foreign.items():
        rows = [_foreign(calibration, other) for calibration in calibrations]
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in np.mean(rows, axis=0)) + " |", flush=True)


def _draw(part: Known, count: int, r: int, rank: int, draw: int) -> tuple[sketch.Calibration, ndarray]:
    order = np.random.default_rng(draw).permutation(len(part.scores))
    inside, outside = order[:count], order[count:]
    return sketch.calibrate(part.grams[inside], part.features[inside], rank, r, seed=draw), outside


def _print_row(part: Known, count: int, r: int, rank: int, draws: int) -> None:
    rows, start = [], time.perf_counter()
    for draw in range(draws):
        calibration, outside = _draw(part, count, r, rank, draw)
        found = calibration.estimate(part.small(calibration.directions, outside), part.features[outside])
        truth = part.scores[outside]
        plain = np.linalg.qr(np.random.default_rng(draw).standard_normal((part.grams.shape[1], r)))[0].T
        rows.append(
            (
                spearmanr(found.score, truth).statistic,
                spearmanr(np.linalg.slogdet(part.small(plain, outside))[1], truth).statistic,
                np.mean((found.low <= truth) & (truth <= found.high)),
                np.mean(found.high - found.low) / 2 / part.scores.std(),
                found.far.mean(),
            )
        )
    mean, spread = np.mean(rows, axis=0), np.std(rows, axis=0)
    cells = [f"{value:.3f} ({deviation:.3f})" for value, deviation in zip(mean, spread, strict=True)]
    seconds = (time.perf_counter() - start) / draws
    print(f"| {count} | {r} | " + " | ".join(cells) + f" | {seconds:.1f} |", flush=True)


def _foreign(calibration: sketch.Calibration, other: Known) -> tuple[float, float, float, float]:
    found = calibration.estimate(other.small(calibration.directions), other.features)
    inside = (found.low <= other.scores) & (other.scores <= found.high)
    correlation = spearmanr(found.score, other.scores).statistic
    return correlation, inside.mean(), found.far.mean(), (inside | found.far).mean()


if __name__ == "__main__":
    main()
