"""`bench curation`: plant pictures into a set, and measure which order of a review finds them."""

import argparse
from typing import Any

from jepa_core.cli.arguments import count, table_path
from jepa_core.cli.loading import load, open_store
from jepa_core.cli.output import Bar, note, show
from jepa_core.datasets import registry
from jepa_core.encoders.registry import get_spec

_DATA = "scenes-test"
_FOREIGN = ("digits-test", "galaxies", "shapes", "world-test")


def add_parser(subparsers: Any) -> None:
    """The command's arguments."""
    curation = subparsers.add_parser(
        "curation",
        help="measure lists for review instead: plant foreign, disturbed and copied pictures into a set",
        description="Plant foreign pictures (5 % of three classes), disturbed ones and copies into a set, and measure "
        "which of them each order of 'review' finds: precision among as many as were planted, recall among half again "
        "as many, means of several draws.",
    )
    curation.set_defaults(run=run)
    curation.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON, not a table")
    curation.add_argument("--data", default=_DATA, help="name of a bundled dataset, or a folder of images")
    curation.add_argument("--encoder", default="photo", help="name of an encoder (see 'encoders')")
    curation.add_argument("--output", help="which tensor of the encoder; its default if left out")
    curation.add_argument(
        "--foreign", nargs="+", metavar="SET", default=_FOREIGN, help="datasets or folders that are planted"
    )
    curation.add_argument("--draws", type=count, default=10, help="how often pictures are drawn")
    curation.add_argument("--out", type=table_path, metavar="FILE", help="write a .parquet or .csv instead of printing")


def run(args: argparse.Namespace) -> None:
    """Measure which order finds what was planted."""
    from jepa_core.analysis import curation_benchmark
    from jepa_core.scoring.encoder_output import EncoderOutput
    from jepa_core.store import shipped

    get_spec(args.encoder).check_output(args.output)  # before anything is loaded
    host = registry.get_dataset(args.data)
    foreign = [registry.get_dataset(name) for name in args.foreign]
    store = open_store()
    output = EncoderOutput.of(load(args.encoder, getattr(args, "device", None)), args.output)
    found = curation_benchmark.benchmark(store, output, host, foreign, args.draws, Bar(host.title))
    for sentence in found.notes:
        note(sentence)
    if args.out:
        shipped.write_table(found.table, args.out)
        note(f"Wrote {args.out}.")
    else:
        show(found.table, args.json)
