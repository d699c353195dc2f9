"""`merge`: put the parts that `score --part` wrote into the store."""

import argparse
from typing import Any

from jepa_core.cli.arguments import add_command
from jepa_core.cli.loading import open_store
from jepa_core.cli.output import Bar, note, show_rows
from jepa_core.errors import JepaError


def add_parser(subparsers: Any) -> None:
    """The command's arguments."""
    merge = add_command(subparsers, "merge", run, "Put the parts that 'score --part' wrote into the store.")
    merge.add_argument(
        "parts", metavar="FOLDER", help="where they are: a folder, or an address such as s3://bucket/parts"
    )


def run(args: argparse.Namespace) -> None:
    """Put parts into the store."""
    from jepa_core.scoring.parts import merge_parts
    from jepa_core.store.parts import PartFolder

    folder = PartFolder(args.parts)
    if not folder.paths():
        raise JepaError(
            f"There are no parts at {args.parts}; what 'score --part' wrote to is accepted; check the spelling."
        )
    merged = merge_parts(open_store(), folder, Bar("Parts", unit="part"))
    for sentence in [*merged.problems, *merged.notes, merged.in_words()]:
        note(sentence)
    show_rows([{"parts": merged.parts, "new": merged.new, "damaged": len(merged.problems)}], args.json)
