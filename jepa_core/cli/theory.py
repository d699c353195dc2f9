"""`theory` from a terminal: the full run of one experiment, cell by cell, which goes on where it was stopped."""

import argparse
import time
from pathlib import Path
from typing import Any

from jepa_core import files
from jepa_core.cli.arguments import add_command
from jepa_core.cli.output import Bar, note, show
from jepa_core.config import cache_dir


def add_parser(subparsers: Any) -> None:
    """The command's arguments."""
    theory = add_command(subparsers, "theory", run, "Run one of the papers' controlled experiments again.")
    theory.add_argument("name", help="spheres, truth, sampling, ascent, features or views")
    theory.add_argument(
        "--out", type=_result_path, metavar="FILE.json", help="what to write; a file in the cache folder if left out"
    )


def _result_path(text: str) -> Path:
    path = Path(text)
    if not files.is_dir(path.absolute().parent) or files.is_dir(path):
        raise argparse.ArgumentTypeError(f"{text!r} was given where a file in a folder that exists is accepted")
    return path


def run(args: argparse.Namespace) -> None:
    """Compute every cell that is not in the cache, print the table and write the result file."""
    from jepa_core.theory import experiment as theory_experiment
    from jepa_core.theory import get_experiment

    experiment = get_experiment(args.name)
    path = args.out or cache_dir() / "theory" / f"{experiment.name}.json"
    if args.out is None:
        path.parent.mkdir(parents=True, exist_ok=True)
    left = [settings for settings in experiment.cells if theory_experiment.kept(experiment, settings) is None]
    if len(left) < len(experiment.cells):
        note(f"{len(experiment.cells) - len(left)} of {len(experiment.cells)} parts are in the cache.")
    start = time.monotonic()
    bar = Bar(experiment.title, "part")
    for done, settings in enumerate(left):
        bar(done, len(left))
        theory_experiment.compute(experiment, settings)
        theory_experiment.write(experiment, path)  # what there is so far: a stopped run leaves a file that can be read
    bar(len(left), len(left))
    theory_experiment.write(experiment, path)
    note(f"{len(left)} parts took {time.monotonic() - start:.0f} s; wrote {path}.")
    show(experiment.table(theory_experiment.at_hand(experiment)), args.json)
