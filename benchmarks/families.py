"""Each family of the catalogue at full size with random weights: rank, and seconds beside what was forecast.

    python benchmarks/families.py [--encoder NAME ...] [--rows 32]

Each encoder is built, one image of random numbers is taken through `--rows` rows of its Jacobian (the time of all K
rows is continued from them), and the rank that its layers allow is found. Weights do not matter for time.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jepa_core.encoders import catalog, cost
from jepa_core.encoders.encoder import Encoder, build_net
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.jacobian.engine import Engine
from jepa_core.jacobian.rank import architectural_rank

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
    specs = {spec.name: spec for spec in catalog.specs()}
    print("| encoder | output | K | rank | why | shared way | TFLOP a score | forecast s | measured s | ratio |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in args.encoder or DEFAULT:
        for line in _lines(specs[name], args.rows):
            print(line, flush=True)


def _lines(spec: EncoderSpec, rows: int) -> Iterator[str]:
    torch.manual_seed(0)
    encoder = Encoder(spec, build_net(spec))
    for output in spec.outputs:
        yield _line(encoder, output, rows)


# A function of its own: the largest engines take many gigabytes, and one has to be gone before the next is made.
def _line(encoder: Encoder, output: str, rows: int) -> str:
    spec, f = encoder.spec, encoder.module(output)
    k = spec.outputs[output]
    expected = cost.seconds_an_image(spec, output, "cpu")
    images = torch.randn(2, *encoder.input_shape)
    rank = architectural_rank(f, images)
    engine = Engine(f, images[0], rows=rows)
    directions = torch.eye(rows, k)
    engine.gram(images[:1], directions)
    start = time.perf_counter()
    engine.gram(images[:1], directions)
    measured = (time.perf_counter() - start) / rows * k
    return (
        f"| {spec.name} | {output} | {k} | {rank.rank} | {rank.reason} | {'no' if engine.why_not_traced else 'yes'} | "
        f"{k * cost.forward_flop(spec) / 1e12:.1f} | {expected:.0f} | {measured:.0f} | {measured / expected:.2f} |"
    )


if __name__ == "__main__":
    main()
