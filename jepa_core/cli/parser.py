"""The explorer's jobs from a terminal: `jepa-score COMMAND`, or `python -m jepa_core COMMAND`.

Results go to standard output (a table, or `--json`), progress to standard error. Exit status: 0 done, 1 failed, 2 wrong
arguments, 128 + N ended by signal N (`jepa_core.signals`); every error is one line.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from jepa_core.cli import (
    app,
    bench,
    check,
    compare,
    confounds,
    datasets,
    encoders,
    export,
    figure1,
    figure3,
    figure7,
    merge,
    plan,
    pretrain,
    review,
    score,
    theory,
    verify,
)
from jepa_core.cli import output as cli_output
from jepa_core.cli.arguments import Parser
from jepa_core.config import cache_dir
from jepa_core.errors import JepaError, UnknownName
from jepa_core.signals import Stopped

_COMMANDS = (
    encoders, datasets, score, merge, plan, review, check, confounds, figure1, figure3, figure7, compare, export,
    pretrain, theory, bench, verify, app,
)  # fmt: skip
"""In the order in which help lists them."""


def build_parser() -> argparse.ArgumentParser:
    """The parser with all commands."""
    prog = "jepa-score" if Path(sys.argv[0]).stem == "jepa-score" else "python -m jepa_core"
    parser = Parser(prog=prog, description="JEPA-SCORE: how likely an encoder finds an image.")
    subparsers = parser.add_subparsers(dest="command", parser_class=Parser)
    for command in _COMMANDS:
        command.add_parser(subparsers)
    return parser


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = build_parser()
    args, others = parser.parse_known_args(argv)
    if args.command is None:  # nothing was asked, which is no mistake
        parser.print_help()
        parser.exit()
    if others and args.command != "app":  # that one's are Streamlit's
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    if args.command == "app":
        args.streamlit = others
    return args


def _run(argv: Sequence[str] | None) -> int:
    try:
        args = _parsed(argv)
        args.run(args)
    except UnknownName as error:
        cli_output.fail(str(error))
        return 2
    except JepaError as error:
        cli_output.fail(str(error))
        return 1
    except BrokenPipeError:
        raise
    except Exception as error:
        cli_output.fail(_unforeseen(error))
        return 1
    except KeyboardInterrupt as stop:
        cli_output.note("Stopped; what is finished is kept, and the same command goes on from there.")
        return stop.status if isinstance(stop, Stopped) else 1
    finally:
        sys.stdout.flush()  # here, where a reader that has gone can still be met without a traceback
    return 0


def _unforeseen(error: Exception) -> str:
    """A sentence on what no other sentence was made for; how it came about goes into a file."""
    said = f"This met something that it did not expect ({type(error).__name__}: {error})"
    path = cache_dir() / "last-error.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8", errors="backslashreplace")
    except OSError:
        return f"{said}; nothing that was kept before is lost."
    return f"{said}; nothing that was kept before is lost, and {path} has the details."


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    cli_output.be_ready()
    try:
        return _run(argv)
    except BrokenPipeError:  # as in `... | head -1`
        # Python writes out what is left once more when it ends; it must not fail there again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
