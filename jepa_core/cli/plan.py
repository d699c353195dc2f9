"""`plan`: hours, gigabytes and files of scoring a dataset on machines that are not here."""

import argparse
import json
from dataclasses import asdict
from typing import Any

from jepa_core.cli.arguments import add_command, count
from jepa_core.cli.output import note, show
from jepa_core.datasets import registry
from jepa_core.encoders.registry import get_spec


def add_parser(subparsers: Any) -> None:
    """The command's arguments."""
    plan = add_command(subparsers, "plan", run, "How long a dataset takes on so many cards, and how large that gets.")
    plan.add_argument("--encoder", default="digits", help="name of an encoder (see 'encoders')")
    plan.add_argument("--output", help="which tensor of the encoder; its default if left out")
    what = plan.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", help="name of a bundled dataset, or a folder of images")
    what.add_argument("--images", type=count, metavar="N", help="so many images, of a dataset that is not here")
    plan.add_argument(
        "--on", required=True, metavar="'N x CARD'", help="such as '8 x H100'; 'here' is a machine such as this one"
    )


def run(args: argparse.Namespace) -> None:
    """Say what it takes."""
    import pandas as pd

    from jepa_core.encoders.encoder import choose_device
    from jepa_core.scoring import planning

    machines = planning.Machines.of(args.on)
    spec = get_spec(args.encoder)
    output = spec.check_output(args.output)
    images = args.images or len(registry.get_dataset(args.data))
    found = planning.plan(spec, output, images, machines, choose_device(None))
    for sentence in found.notes:
        note(sentence)
    frame = pd.DataFrame([asdict(one) for one in found.methods])
    if args.json:
        print(json.dumps(json.loads(frame.assign(images=images).to_json(orient="records")), indent=2))
    else:
        show(frame.assign(hours=frame["hours"].map(lambda hours: f"{hours:,.3g}").replace("nan", "?")), as_json=False)
