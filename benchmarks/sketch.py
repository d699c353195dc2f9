"""How good the calibrated sketch is: rank correlation and intervals, in domain and out of it, over many draws.

    python benchmarks/sketch.py [--encoder digits] [--output backbone] [--data NAME] [--pictures FOLDER] [--draws 20]
                               [--calibration 48 96 144]

Each draw takes other calibration images of a dataset, the encoder's reference unless another is named, and other random
directions, and is measured on the dataset's remaining images and on drawn domains. Choices (how many calibration
images, which features, how directions are chosen) were made on digits-validation; test sets are for reporting.
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

from jepa_core import images
from jepa_core.datasets import registry
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.encoders.encoder import Encoder
from jepa_core.encoders.registry import load_encoder
from jepa_core.jacobian import engine as jacobian_engine
from jepa_core.jacobian import sketch, spectrum
from jepa_core.scoring.method import SKETCH_IMAGES

DOMAINS = (
    *("digits-test", "flipped-digits", "inverted-digits", "world-test"),
    *("photo-tiles", "shapes", "galaxies", "noise", "flat-colours"),
)
COUNT = 500  # images of the dataset at most
FOREIGN = 150  # images of each domain


class Known:
    """Full Grams, features and scores of images."""

    def __init__(self, encoder: Encoder, output: str, spec: DatasetSpec, count: int) -> None:
        engine = jacobian_engine.engine_of(encoder, output)
        items = registry.sample(spec, count, seed=0)
        grams, features = [], []
        for start in range(0, len(items), engine.plan.images):
            batch = items[start : start + engine.plan.images]
            found = engine.gram(torch.stack([encoder.preprocess(images.decode(item.read()).image) for item in batch]))
            grams.append(found.gram.numpy())
            features.append(found.features.double().numpy())
        self.grams, self.features = np.concatenate(grams), np.concatenate(features)
        self.scores = spectrum.jepa_score(spectrum.singular_values(self.grams), encoder.spec.ranks[output].rank)

    def small(self, directions: ndarray, chosen: ndarray | slice = slice(None)) -> ndarray:
        """D G D^T of some of the images."""
        return directions @ self.grams[chosen] @ directions.T


def main() -> None:
    """Print a table for each number of calibration images, and one for the domains."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="digits")
    parser.add_argument("--output", default="backbone")
    parser.add_argument("--data", help="a dataset; the encoder's reference if left out")
    parser.add_argument("--pictures", type=Path, help="the folder with its pictures, if it is a listed one")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--calibration", type=int, nargs="+", default=[48, 96, 144], help="numbers of images")
    args = parser.parse_args()
    encoder = load_encoder(args.encoder)
    k, rank = encoder.spec.outputs[args.output], encoder.spec.ranks[args.output].rank
    name = args.data or encoder.spec.reference
    spec = registry.with_pictures(name, args.pictures) if args.pictures else registry.get_dataset(name)
    part = Known(encoder, args.output, spec, COUNT)
    print(
        f"{args.encoder}, {args.output}: K = {k}, rank {rank}; {len(part.scores)} images of {name}, scores' spread",
        end=" ",
    )
    print(f"{part.scores.std():.2f}; {args.draws} draws, mean (spread) over them\n")
    print("| calibration images | r | Spearman | plain sketch | in interval | half-width / spread | flagged | s |")
    print("|---|---|---|---|---|---|---|---|")
    for count in args.calibration:
        for r in sorted({max(1, rows) for rows in (k // 24, k // 12, round(k / 12), k // 6)}):
            _print_row(part, count, r, rank, args.draws)
    foreign = {
        other: Known(encoder, args.output, registry.get_dataset(other), FOREIGN) for other in DOMAINS if other != name
    }
    print(f"\nOther domains, {SKETCH_IMAGES} calibration images, r = {round(k / 12)}\n")
    print("| domain | Spearman | in interval | flagged | in interval or flagged |")
    print("|---|---|---|---|---|")
    calibrations = [_draw(part, SKETCH_IMAGES, round(k / 12), rank, draw)[0] for draw in range(args.draws)]
    for title, other in foreign.items():
        rows = [_foreign(calibration, other) for calibration in calibrations]
        print(f"| {title} | " + " | ".join(f"{value:.3f}" for value in np.mean(rows, axis=0)) + " |", flush=True)


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
