"""Peak resident memory while images are scored: it must not grow with the dataset.

    python benchmarks/memory.py [--output projector]

Draws 1,000 and then 10,000 images, each in a process of its own, and scores them into a store that is thrown away.
"""

import argparse
import dataclasses
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def score(count: int, output: str) -> None:
    """Score `count` drawn images and print the seconds and the peak resident memory in GB."""
    from jepa_core.datasets.registry import get_dataset
    from jepa_core.encoders.registry import load_encoder
    from jepa_core.scoring.encoder_output import EncoderOutput
    from jepa_core.scoring.run import ScoringRun
    from jepa_core.store.results import Store

    dataset = dataclasses.replace(get_dataset("shapes"), size=count)
    start = time.perf_counter()
    summary = ScoringRun(
        Store(), EncoderOutput.of(load_encoder("digits"), output), "drawn", list(dataset.items())
    ).score()
    seconds = time.perf_counter() - start
    if summary.scored + summary.reused != count:
        raise SystemExit(f"{len(summary.failed)} images failed")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(f"| {count} | {seconds:.0f} | {peak:.2f} |", flush=True)


def main() -> None:
    """Print one line for each number of images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", default="projector")
    parser.add_argument("--count", type=int, help="score so many in this process")
    args = parser.parse_args()
    if args.count:
        score(args.count, args.output)
        return
    print("| images | seconds | peak GB |\n|---|---|---|", flush=True)
    for count in (1_000, 10_000):
        with tempfile.TemporaryDirectory() as cache:
            command = [sys.executable, __file__, "--count", str(count), "--output", args.output]
            subprocess.run(command, check=True, env=os.environ | {"JEPA_CACHE": cache})


if __name__ == "__main__":
    main()
