"""`datasets`: list the bundled datasets."""

import argparse
from typing import Any

from jepa_core.cli.arguments import add_command
from jepa_core.cli.output import show_rows
from jepa_core.datasets import registry


def add_parser(subparsers: Any) -> None:
    """The command's arguments."""
    add_command(subparsers, "datasets", run, "List the bundled datasets.")


def run(args: argparse.Namespace) -> None:
    """List the bundled datasets."""
    rows: list[dict[str, object]] = [
        {
            "name": spec.name,
            "images": len(spec),
            "classes": len(spec.labels()),
            "source": spec.source,
            "title": spec.title,
        }
        for spec in registry.list_datasets().values()
    ]
    show_rows(rows, args.json)
