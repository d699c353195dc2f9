"""What estimates are worth for their price: rank correlation and intervals on sets that a calibration never saw.

    python benchmarks/anytime.py collect FOLDER --encoder photo --output backbone [--data NAME | NAME=PICTURES ...]
    python benchmarks/anytime.py table FOLDER --pool SET [--draws 5] [--count 10000]
    python benchmarks/anytime.py extremes FOLDER --pool SET [--draws 100] [--images 300] [--shown 8]

`collect` scores images fully, once, and keeps the Grams. `table` plays estimates through on each set: the pool is the
set named, as many of its images as a regression takes; a set gives some images of its own, drawn at random, and is held
against its others. The price is in products an image for a set of `--count` images, as a share of a full score's K:
(n K + (N - n) r) / (N K). `extremes` counts how often the ends shown are those of full scores, and what that takes.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jepa_core import images
from jepa_core.datasets import registry
from jepa_core.encoders.registry import load_encoder
from jepa_core.jacobian import engine as jacobian_engine
from jepa_core.jacobian import sketch, spectrum
from jepa_core.scoring import calibration
from jepa_core.scoring.calibration import Known
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.extremes import open_extremes
from jepa_core.scoring.looks import GRAMS
from jepa_core.stats.rank_correlation import spearman

OWN = (0, 24, 64, 128, 250)
ROWS = (0, 4, 16, 32)


def collect(args: argparse.Namespace) -> None:
    """Full Grams and features of sets of images, a file each."""
    encoder = load_encoder(args.encoder, "cpu")
    rank = EncoderOutput.of(encoder, args.output).rank.rank
    engine = jacobian_engine.engine_of(encoder, args.output)
    for asked in args.data:
        name, _, pictures = asked.partition("=")
        spec = registry.with_pictures(name, Path(pictures)) if pictures else registry.get_dataset(name)
        items, grams, features = registry.sample(spec, min(args.limit, len(spec)), seed=0), [], []
        for start in range(0, len(items), engine.plan.images):
            batch = items[start : start + engine.plan.images]
            found = engine.gram(torch.stack([encoder.preprocess(images.decode(item.read()).image) for item in batch]))
            grams.append(found.gram.numpy().astype(np.float32))
            features.append(found.features.numpy())
        np.savez(args.folder / f"{name}.npz", G=np.concatenate(grams), F=np.concatenate(features), rank=rank)
        print(name, len(items), flush=True)


def read(folder: Path) -> dict[str, Known]:
    """What was collected, by set; directions are those of the first Grams of each pool, made by `against`."""
    found = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as arrays:
            grams, features, rank = arrays["G"].astype(np.float64), arrays["F"].astype(np.float64), int(arrays["rank"])
        scores = np.asarray(spectrum.jepa_score(spectrum.singular_values(grams), rank), dtype=np.float64)
        known = Known([], scores, features, grams, np.ones(len(scores), bool), np.ones(len(scores), bool))
        found[path.stem] = known
    return found


def against(pool: Known, target: Known, rank: int) -> tuple[Known, Known]:
    """Both with pivots in the place of Grams, along directions that the pool's first Grams chose."""
    mean = pool.pivots[:GRAMS].mean(axis=0)
    directions = sketch.whitened_directions(mean, rank, sketch.most_rows(mean.shape[0]))

    def turned(known: Known) -> Known:
        return replace(known, pivots=sketch.log_pivots(directions @ known.pivots @ directions.T))

    return turned(pool), turned(target)


def joined(pool: Known, target: Known, drawn: np.ndarray, also: np.ndarray | None = None) -> Known:
    """The pool, the drawn images of a set, and others that are scored fully also."""
    count, drawn = len(drawn), drawn if also is None else np.concatenate([drawn, np.setdiff1d(also, drawn)])
    first = min(calibration.POOL, len(pool.scores))

    def both(name: str) -> np.ndarray:
        return np.concatenate([getattr(pool, name)[:first], getattr(target, name)[drawn]])

    own = np.repeat([False, True], [first, len(drawn)])
    at_random = own & (np.arange(len(own)) < first + count)
    return Known([], both("scores"), both("features"), both("pivots"), own, at_random)


def table(args: argparse.Namespace) -> None:
    """Spearman and coverage by own images and products, for each set."""
    sets = read(args.folder)
    with np.load(args.folder / f"{args.pool}.npz") as arrays:
        rank, k = int(arrays["rank"]), arrays["G"].shape[1]
    lines = []
    for name, target in sets.items():
        if name == args.pool:
            continue
        pool, turned = against(sets[args.pool], target, rank)
        for own in OWN:
            if own > len(turned.scores) // 2:
                continue
            for rows in ROWS:
                if rows > turned.pivots.shape[1]:
                    continue
                rho, covered = [], []
                for draw in range(args.draws):
                    order = np.random.default_rng(draw).permutation(len(turned.scores))
                    fitted = calibration.calibrate(joined(pool, turned, order[:own]), rows)
                    rest = order[own:]
                    scores, half = fitted.estimate(turned.features[rest], turned.pivots[rest])
                    rho.append(spearman(scores, turned.scores[rest]))
                    covered.append(np.mean(np.abs(scores - turned.scores[rest]) <= half))
                price = (own * k + (args.count - own) * rows) / (args.count * k)
                lines.append((name, own, rows, round(price, 4), np.mean(rho), np.mean(covered), np.std(covered)))
                print("| {} | {} | {} | {:.4f} | {:.3f} | {:.2f} ± {:.2f} |".format(*lines[-1]), flush=True)


def extremes(args: argparse.Namespace) -> None:
    """Of draws of sets: how often the ends are those of full scores, and the share of images scored fully for it."""
    sets = read(args.folder)
    with np.load(args.folder / f"{args.pool}.npz") as arrays:
        rank = int(arrays["rank"])
    for name, target in sets.items():
        if name == args.pool:
            continue
        pool, turned = against(sets[args.pool], target, rank)
        right, shares = 0, []
        for draw in range(args.draws):
            generator = np.random.default_rng(draw)
            count = min(args.images, len(turned.scores))
            order = generator.permutation(len(turned.scores))[:count]
            drawn = order[: args.own]
            truth = turned.scores[order]
            full = np.isin(order, drawn)
            while True:
                fitted = calibration.calibrate(joined(pool, turned, drawn, order[full]), args.rows)
                scores, half = fitted.estimate(turned.features[order], turned.pivots[order])
                shown = pd.DataFrame(
                    {
                        "name": np.arange(count),
                        "jepa_score": np.where(full, truth, scores),
                        "low": np.where(full, truth, scores - half),
                        "high": np.where(full, truth, scores + half),
                        "estimated": ~full,
                    }
                )
                names = open_extremes(shown, args.shown)
                if not names:
                    break
                full[names[: min(max(8, len(names) // 4), 32)]] = True
            found, wanted = np.argsort(shown["jepa_score"]), np.argsort(truth)
            ends = [*range(args.shown), *range(-args.shown, 0)]
            right += bool(np.array_equal(found.to_numpy()[ends], wanted[ends]))
            shares.append(full.mean())
        print(f"| {name} | {count} | {right} of {args.draws} | {np.mean(shares):.3f} |", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, work in (("collect", collect), ("table", table), ("extremes", extremes)):
        one = commands.add_parser(name)
        one.set_defaults(work=work)
        one.add_argument("folder", type=Path)
        if name == "collect":
            one.add_argument("--encoder", default="digits")
            one.add_argument("--output", default="backbone")
            one.add_argument("--data", nargs="+", required=True)
            one.add_argument("--limit", type=int, default=1000)
            continue
        one.add_argument("--pool", required=True)
        one.add_argument("--draws", type=int, default=5 if name == "table" else 100)
        if name == "table":
            one.add_argument("--count", type=int, default=10_000)
        else:
            one.add_argument("--images", type=int, default=1000)
            one.add_argument("--shown", type=int, default=8)
            one.add_argument("--own", type=int, default=24)
            one.add_argument("--rows", type=int, default=0)
    args = parser.parse_args()
    args.work(args)


if __name__ == "__main__":
    main()
