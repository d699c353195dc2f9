"""`theory` from a terminal: the full run of one experiment, cell by cell, which goes on where it was stopped."""

import argparse
import time

from jepa_core.cli.output import Bar, note, show
from jepa_core.config import cache_dir
from jepa_core.theory import experiment as theory_experiment
from jepa_core.theory import get_experiment


def run_theory(args: argparse.Namespace) -> None:
    """Compute every cell that is not in the cache, print the table and write the result file."""
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
