"""`pretrain`: train a bundled encoder again, or one on pictures of one's own."""

import argparse
import json
from pathlib import Path
from typing import Any

from jepa_core.cli.arguments import add_command
from jepa_core.cli.output import note, say


def add_parser(subparsers: Any) -> None:
    """The command's arguments."""
    pretrain = add_command(subparsers, "pretrain", run, "Train a bundled encoder again, or one on your own pictures.")
    pretrain.add_argument("recipe", help="name of a recipe, such as digits or photo")
    pretrain.add_argument(
        "--data", type=Path, metavar="FOLDER", help="the pictures, for a recipe of photos; sub-folders are classes"
    )
    pretrain.add_argument("--name", help="of the encoder; the recipe's if left out, which a bundled one may have")
    pretrain.add_argument("--device", choices=["cpu", "cuda"], help="where to train; cpu if left out")
    pretrain.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for the weights and card; the cache's if left out"
    )


def run(args: argparse.Namespace) -> None:
    """Train an encoder."""
    from jepa_core.pretrain import pretrain

    given = {option: getattr(args, option) for option in ("data", "name", "device")}
    card = pretrain(
        args.recipe, args.out, log=note, **{option: value for option, value in given.items() if value is not None}
    )
    if args.json:
        print(json.dumps({"card": str(card)}))
    else:
        say(str(card))
