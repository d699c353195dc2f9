"""`app`: open the explorer in the browser."""

import argparse
import os
import sys
from typing import Any

from jepa_core.config import ROOT


def add_parser(subparsers: Any) -> None:
    """The command's arguments: those of Streamlit's server, which it is handed as they are."""
    text = "Open the explorer in the browser. Options of 'streamlit run' are accepted, such as --server.port=8600."
    subparsers.add_parser("app", help="Open the explorer in the browser.", description=text).set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Become Streamlit's server, as if a person had started that: signals and the exit status are its own."""
    os.execv(sys.executable, [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), *args.streamlit])
