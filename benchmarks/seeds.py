"""Do two seeds of one recipe find the same photos likely? `python benchmarks/seeds.py --pictures FOLDER [--steps N]`.

Trains the recipe `photo-2` (photo's, from other random weights and in another random order) into the cache folder, all
of it or for fewer steps, scores the listed held-out photos with it, and prints what it shares with the encoder `photo`
at both ends. A run that was stopped goes on from its checkpoint. A twin that was trained for less is expected to agree
less, so that what it shares is a lower bound.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jepa_core.analysis import agreement
from jepa_core.config import cache_dir
from jepa_core.datasets import registry
from jepa_core.encoders.registry import list_encoders, load_encoder
from jepa_core.pretrain.recipes import get_recipe
from jepa_core.pretrain.train import pretrain
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.run import ScoringRun
from jepa_core.scoring.stored import stored_scores
from jepa_core.store import shipped
from jepa_core.store.results import Store


def main() -> None:
    """Train, score and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, required=True, help="Imagenette's folder, with train and val")
    parser.add_argument("--steps", type=int, default=get_recipe("photo-2").steps)
    parser.add_argument("--fp32", action="store_true", help="for a processor without bfloat16 products")
    parser.add_argument("--made", default="", help="how the twin was made, for --write")
    parser.add_argument("--write", action="store_true", help="into assets, so that the Domains page says it")
    args = parser.parse_args()
    whole = get_recipe("photo-2")
    name = whole.name if args.steps == whole.steps else f"{whole.name}-{args.steps}"
    if name not in list_encoders():
        recipe = replace(whole, name=name, steps=args.steps, bf16=not args.fp32)
        pretrain(recipe, cache_dir() / "encoders", data=args.pictures, log=lambda line: print(line, flush=True))
    store, twin, photo = Store(), load_encoder(name), list_encoders()["photo"]
    for problem in shipped.load_all_shipped(store):
        print(problem)
    dataset = registry.with_pictures(photo.reference, args.pictures)
    twins = []
    for output in photo.outputs:
        mine = stored_scores(store, EncoderOutput(photo, output), dataset.name)
        if mine.empty:
            print(f"{output}: photo ships no scores of it")
            continue
        ScoringRun(store, EncoderOutput.of(twin, output), dataset.name, list(dataset.items())).score()
        found = agreement.agreement(mine, stored_scores(store, EncoderOutput.of(twin, output), dataset.name))
        print(f"{output}: {agreement.in_words(found, photo.name, name)}")
        twins.append(agreement.Twin(photo.name, output, dataset.name, name, args.made, found))
    if args.write:
        agreement.write_twins(twins)


if __name__ == "__main__":
    main()
