"""`compare`: two to four encoders on the same images, and what they dispute."""

import argparse
import json
from typing import Any

from jepa_core.cli.arguments import add_command, add_common, count
from jepa_core.cli.loading import method_of, open_store
from jepa_core.cli.output import note, show
from jepa_core.datasets import registry
from jepa_core.errors import JepaError


def add_parser(subparsers: Any) -> None:
    """The command's arguments."""
    command = add_command(
        subparsers,
        "compare",
        run,
        "Do encoders agree? Rank correlations, overlaps of the ends, and the images that two to four of them dispute.",
    )
    add_common(command, several=True)
    command.add_argument("--data", required=True, help="name of a bundled dataset, or a folder of images")
    command.add_argument("--class", dest="label", help="only this class")
    command.add_argument(
        "--share", type=_share, default=5, metavar="PERCENT", help="of the images that are at each end; 5 if left out"
    )
    command.add_argument("--top", type=count, metavar="N", help="how many disputed images of each method to print")


def _share(text: str) -> int:
    if (share := count(text)) > 50:
        raise argparse.ArgumentTypeError(f"{text!r} was given where a whole number of per cent up to 50 is accepted")
    return share


def run(args: argparse.Namespace) -> None:
    """Two to four encoders on the same images: their orders, the overlaps of their ends, what they dispute most."""
    import pandas as pd

    from jepa_core.analysis import paper_figures
    from jepa_core.analysis.agreement import in_words
    from jepa_core.analysis.ranking import (
        DISPUTED,
        FEWEST_ENCODERS,
        MOST_ENCODERS,
        agreements,
        compare,
        disputed,
        pair_table,
    )
    from jepa_core.cli.score_missing import known, outputs_of, score_missing

    outputs, dataset, label = outputs_of(args), registry.get_dataset(args.data), args.label
    if not FEWEST_ENCODERS <= len({output.spec.name for output in outputs}) == len(outputs) <= MOST_ENCODERS:
        raise JepaError(
            f"A comparison was asked of {', '.join(output.spec.name for output in outputs)}; "
            f"{FEWEST_ENCODERS} to {MOST_ENCODERS} different encoders are accepted; name each with --encoder."
        )
    list(dataset.items(label))  # an unknown class is said before anything is computed
    store, method = open_store(), method_of(args)
    score_missing(store, [(output, dataset) for output in outputs], method, args.device, label)
    found = compare({one.spec.name: paper_figures.table(store, one, dataset, method, label) for one in known(outputs)})
    shared = agreements(found, args.share / 100)
    pairs = pair_table(shared)
    images = pd.concat([disputed(found, *pair, args.top or DISPUTED) for pair in found.pairs])
    for pair, one in shared.items():
        note(in_words(one, *pair))
    if args.json:
        facts = {
            "dataset": dataset.name,
            "class": label,
            "images": len(found.images),
            "outputs": {output.spec.name: output.name for output in outputs},
        }
        parts = {"pairs": pairs, "disputed": images}
        print(
            json.dumps(
                facts | {name: json.loads(part.to_json(orient="records")) for name, part in parts.items()}, indent=2
            )
        )
        return
    show(pairs, as_json=False)
    print()
    show(images.drop(columns=["position", "digest"]), as_json=False)
