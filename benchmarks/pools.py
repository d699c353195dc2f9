"""Make the full scores that estimates of the bundled encoders start from: assets/pools/ENCODER-OUTPUT.npz.

    python benchmarks/pools.py --encoder photo --output backbone --data imagenette-train=PICTURES shapes:60 ...

Each set gives as many images as stand behind its colon (400 if nothing does), drawn at random. Directions are chosen by
the first Grams of the first set. Sets that figures are reported on have no place here.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jepa_core import images
from jepa_core.datasets import registry
from jepa_core.encoders.registry import load_encoder
from jepa_core.jacobian import sketch
from jepa_core.jacobian.spectrum import jepa_score
from jepa_core.scoring import looks, pool
from jepa_core.scoring.batches import Grams, exact_work
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.store.records import Result


def main() -> None:
    """Score the images and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--data", nargs="+", required=True, metavar="NAME[=PICTURES][:COUNT]")
    args = parser.parse_args()
    output = EncoderOutput.of(load_encoder(args.encoder, "cpu"), args.output)
    kept, results, digests = Grams([], []), [], set()
    work = exact_work(output, keep=kept)
    for asked in args.data:
        named, _, count = asked.partition(":")
        name, _, pictures = named.partition("=")
        spec = registry.with_pictures(name, Path(pictures)) if pictures else registry.get_dataset(name)
        items = registry.sample(spec, min(int(count or 400), len(spec)), seed=0)
        for start in range(0, len(items), work.size):
            batch = items[start : start + work.size]
            batch = [item for item in batch if item.digest not in digests]  # mixed-train has digits of digits-train
            if not batch:
                continue
            digests |= {item.digest for item in batch}
            inputs = [output.loaded.preprocess(images.decode(item.read()).image) for item in batch]
            results += work.results([item.digest for item in batch], torch.stack(inputs))
        print(name, len(results), flush=True)
    found = [result for result in results if isinstance(result, Result)]
    directions = looks.directions_by(output, kept.grams)
    made = pool.Pool(
        np.array([result.digest for result in found]),
        np.asarray(jepa_score(np.stack([result.spectrum for result in found]), output.rank.rank), dtype=np.float64),
        np.stack([np.concatenate([result.sizes, result.embedding]) for result in found]),
        sketch.log_pivots(np.stack([directions @ gram @ directions.T for gram in kept.grams])),
        directions,
    )
    print(pool.write(output, made))


if __name__ == "__main__":
    main()
