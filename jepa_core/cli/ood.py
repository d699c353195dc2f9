"""`bench ood`: measure how well each method tells a known set of images from others."""

import argparse
from typing import Any

from jepa_core.cli.loading import open_store
from jepa_core.cli.output import Bar, note, show
from jepa_core.datasets import registry
from jepa_core.encoders.registry import get_spec
from jepa_core.errors import JepaError


def add_parser(subparsers: Any) -> None:
    """The command's arguments."""
    ood = subparsers.add_parser(
        "ood",
        help="measure detection instead: how well each method tells a known set from others",
        description="How well each method tells a known set of images from others: AUROC, FPR95 and AUPR of stored "
        "full scores. Only held-out images are judged, and nothing is tuned.",
    )
    ood.set_defaults(run=run)
    ood.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON instead of a table")
    ood.add_argument("--encoder", default="digits", help="name of an encoder (see 'encoders')")
    ood.add_argument("--output", help="which tensor of the encoder; its default if left out")
    ood.add_argument(
        "--known", metavar="SET", help="a scored dataset or folder; the encoder's held-out one if left out"
    )
    ood.add_argument(
        "--others", nargs="+", metavar="SET", help="scored datasets or folders; all held-out ones here if left out"
    )
    ood.add_argument("--fit", metavar="SET", help="what distances are fitted on; the training set if left out")


def run(args: argparse.Namespace) -> None:
    """Measure how well each method tells a known set from others."""
    from jepa_core.analysis import ood_benchmark
    from jepa_core.scoring.encoder_output import EncoderOutput

    spec = get_spec(args.encoder)
    output = EncoderOutput.of(spec, args.output)
    known = args.known or spec.reference
    if not known:
        raise JepaError(
            f"Encoder {spec.name!r} has no held-out set of its own and none was given; a scored set is accepted; name "
            "one with --known."
        )
    known = registry.get_dataset(known).name  # a folder is stored by its full path
    fit = registry.get_dataset(args.fit).name if args.fit else spec.training
    given = [registry.get_dataset(name).name for name in args.others or ()]
    store = open_store(whole=True)
    if not given:
        config = output.config()
        scored = (name for name, one in registry.list_datasets().items() if one.held_out and store.scored(config, name))
        given = [name for name in scored if name != known]
    if not given:
        raise JepaError(
            f"No other held-out set has scores for encoder {spec.name!r}, output {output.name!r}; at least one is "
            "needed; score one, and name it with --others."
        )
    for name in dict.fromkeys([fit, known, *given]):
        if name:
            ood_benchmark.measure_visible(store, output, name, Bar(f"{name}, seen"))
    found = ood_benchmark.benchmark(store, output, known, list(dict.fromkeys(given)), fit)
    for sentence in found.notes:
        note(sentence)
    show(found.table if args.json else ood_benchmark.readable(found.table), args.json)
