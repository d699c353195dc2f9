"""Each family of the catalogue at full size with random weights: rank, and seconds beside what was forecast.

    python benchmarks/families.py [--encoder NAME ...] [--rows 32]

Each encoder is built, one image of random numbers is taken through `--rows` rows of its Jacobian (the time of all K
rows is continued from them), and the rank that its layers allow is found. Weights do not matter for time.
"""

import argparse
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jepa_core import catalogue, forecast
from jepa_core.encoders import Encoder, build_net
from jepa_core.jacobian import Engine
from jepa_core.rank import architectural_rank

# The largest of each family that fits here, and one of each layout.
DEFAULT = (
    "ijepa-h14-1k",
    "dinov2-s14",
    "dinov2-b14",
    "dinov2-l14",
    "dinov2-s14-reg",
    "dinov3-s16",
    "dinov3-b16",
    "dinov3-h16-plus",
    "metaclip-b32-400m",
    "metaclip-b16-400m",
    "metaclip-h14-2.5b",
    "dino-s16",
    "mae-b16",
    "supervised-s16",
    "supervised-resnet50",
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", action="append")
    parser.add_argument("--rows", type=int, default=32)
    args = parser.parse_args()
    specs = {spec.name: spec for spec in catalogue.specs()}
    print("| encoder | output | K | rank | why | shared way | TFLOP a score | forecast s | measured s | ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in args.encoder or DEFAULT:
        spec = specs[name]
        torch.manual_seed(0)
        encoder = Encoder(spec, build_net(spec))
        for output, k in spec.outputs.items():
            expected = forecast.seconds_an_image(spec, output, "cpu")
            f = encoder.module(output)
            images = torch.randn(2, *encoder.input_shape)
            rank = architectural_rank(f, images)
            engine = Engine(f, images[0], rows=args.rows)
            directions = torch.eye(args.rows, k)
            engine.gram(images[:1], directions)
            start = time.perf_counter()
            engine.gram(images[:1], directions)
            measured = (time.perf_counter() - start) / args.rows * k
            print(
                f"| {name} | {output} | {k} | {rank.rank} | {rank.reason} | {'yes' if engine.shared else 'no'} | "
                f"{k * forecast.forward_flop(spec) / 1e12:.1f} | {expected:.0f} | {measured:.0f} | "
                f"{measured / expected:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
