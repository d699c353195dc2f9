"""What the parsers of several commands share: errors on one line, kinds of arguments, and the common options."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from jepa_core import files
from jepa_core.cli import output as cli_output
from jepa_core.errors import JepaError
from jepa_core.scoring.method import ALIASES, METHODS, PRECISIONS


class Parser(argparse.ArgumentParser):
    """argparse with its errors on one line, as everywhere else."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and leave with status 2."""
        cli_output.fail(f"{message}; see '{self.prog} --help'.")
        sys.exit(2)


def add_command(
    subparsers: Any, name: str, run: Callable[[argparse.Namespace], None], text: str, **options: Any
) -> argparse.ArgumentParser:
    """A command with its description, and the option that all have."""
    added = subparsers.add_parser(name, help=text, description=text, **options)
    added.set_defaults(run=run)
    added.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return added


def _whole_number(text: str, least: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} was given where a whole number from {least} on is accepted")
    return int(text)


def count(text: str) -> int:
    """A whole number from 1 on."""
    return _whole_number(text, 1)


def seed(text: str) -> int:
    """A whole number from 0 on."""
    return _whole_number(text, 0)


def _named_folder(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise argparse.ArgumentTypeError(
            f"{text!r} was given where NAME=FOLDER is accepted, as in mnist=pictures/mnist"
        )
    return name, Path(folder)


def table_path(text: str) -> Path:
    """A table to be written."""
    from jepa_core.store import shipped

    try:
        return shipped.check_table_path(Path(text))
    except JepaError as error:
        raise argparse.ArgumentTypeError(str(error).removesuffix(".")) from error


def picture_path(text: str) -> Path:
    """A picture to be written."""
    return _path(text, ".png")


def page_path(text: str) -> Path:
    """An HTML page to be written."""
    return _path(text, ".html")


def _path(text: str, suffix: str) -> Path:
    path = Path(text)
    if path.suffix != suffix or not files.is_dir(path.parent):
        raise argparse.ArgumentTypeError(
            f"{text!r} was given where a file that ends in {suffix}, in a folder that exists, is accepted"
        )
    return path


def add_common(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Which encoder, how its scores are made, and where."""
    if several:
        parser.add_argument("--encoder", action="append", help="an encoder; may be given again; all here if left out")
    else:
        parser.add_argument("--encoder", default="digits", help="name of an encoder (see 'encoders')")
    parser.add_argument("--output", help="which tensor of the encoder; its default if left out")
    parser.add_argument(
        "--device", choices=["cpu", "cuda", "mps"], help="where to compute; the best there is if left out"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--method",
        choices=[*METHODS, *ALIASES],
        default="exact",
        help="full scores, or estimates: balanced aims at Spearman .98 with those, quick takes a forward pass an image",
    )
    how.add_argument("--exact", dest="method", action="store_const", const="exact", help="full scores (the default)")
    how.add_argument("--fidelity", type=fidelity, metavar="RHO", help="estimate until Spearman with full scores is RHO")
    how.add_argument("--minutes", type=positive, metavar="M", help="estimate as well as M minutes allow")
    parser.add_argument("--rows", type=count, metavar="R", help="of estimates: products an image gets at least")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the products; auto tests bf16")


def fidelity(text: str) -> float:
    """A Spearman correlation to aim at."""
    value = _number(text)
    if value is None or not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} was given where a number between 0 and 1, such as .98, is accepted")
    return value


def positive(text: str) -> float:
    """A number above 0."""
    value = _number(text)
    if value is None or not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} was given where a number above 0, such as 2, is accepted")
    return value


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def add_pictures(parser: argparse.ArgumentParser) -> None:
    """Where the pictures of listed datasets are."""
    parser.add_argument(
        "--pictures",
        type=_named_folder,
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="where the pictures of a listed dataset are, which are not bundled; may be given several times",
    )
