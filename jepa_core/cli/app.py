"""`app`: open the explorer in the browser."""

import argparse
import os
import sys
from typing import Any
from urllib.parse import urlencode

from jepa_core.config import ROOT


def add_parser(subparsers: Any) -> None:
    """The command's arguments; others are those of Streamlit's server, which it is handed as they are."""
    text = "Open the explorer in the browser. Options of 'streamlit run' are accepted, such as --server.port=8600."
    app = subparsers.add_parser("app", help="Open the explorer in the browser.", description=text, allow_abbrev=False)
    app.add_argument("--data", metavar="FOLDER", help="open the Gallery on this: whatever 'score --data' takes")
    app.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Become Streamlit's server, as if a person had started that: signals and the exit status are its own."""
    program = ["streamlit"] if args.data is None else ["jepa_core.cli.serve_at", urlencode(address_of(args.data))]
    words = [sys.executable, "-m", *program, "run", str(ROOT / "app.py"), *args.streamlit]
    os.execv(sys.executable, words)


def address_of(data: str) -> dict[str, str]:
    """The query of the Gallery's address for a dataset, as the dataset picker of the pages reads it.

    What can be looked at without a download is looked at, and `JepaError` raised where it cannot be opened.
    """
    from jepa_core.datasets import registry
    from jepa_core.datasets.readers.open import is_long

    if is_long(data):  # the page shows how far it is
        return {"dataset": "folder on this computer", "folder": data}
    dataset = registry.get_dataset(data)
    if dataset.name in registry.list_datasets():
        return {"dataset": dataset.name}
    return {"dataset": "folder on this computer", "folder": dataset.name.removeprefix(registry.FOLDER_PREFIX)}
