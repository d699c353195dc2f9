"""`bench`: measure what a score costs here; `bench ood` measures detection, `bench curation` lists for review."""

import argparse
from typing import Any

from jepa_core.cli import curation, ood
from jepa_core.cli.arguments import Parser, add_command, count
from jepa_core.cli.output import note, show
from jepa_core.errors import UnknownName


def add_parser(subparsers: Any) -> None:
    """The command's arguments."""
    bench = add_command(subparsers, "bench", run, "Measure what a score costs here, beside the paper's listing.")
    bench.add_argument("--case", action="append", metavar="NAME", help="only this case; may be given several times")
    bench.add_argument(
        "--device", choices=["cpu", "cuda", "mps"], help="where to compute; the best there is if left out"
    )
    bench.add_argument("--limit", type=count, default=20, help="about how many seconds one run may take")
    others = bench.add_subparsers(metavar="ood | curation", parser_class=Parser)
    ood.add_parser(others)
    curation.add_parser(others)


def run(args: argparse.Namespace) -> None:
    """Measure what a score costs."""
    import pandas as pd

    from jepa_core.encoders.encoder import choose_device
    from jepa_core.scoring import benchmark

    device = choose_device(args.device)
    cases = args.case or [name for name in benchmark.CASES if name != "vitb14-224"]
    for name in cases:
        if name not in benchmark.CASES:
            raise UnknownName("case", name, benchmark.CASES)
    lines = []
    for name in cases:
        note(f"Measuring {benchmark.CASES[name].title} ...")
        lines += benchmark.measure(benchmark.CASES[name], device, args.limit)
    show(pd.DataFrame([vars(line) for line in lines]), args.json)
