"""The explorer's jobs from a terminal: `python -m jepa_core COMMAND`.

Results go to standard output (a table, or `--json`), progress to standard error. Exit status: 0 done, 1 failed, 2 wrong
arguments, 128 + N ended by signal N (`jepa_core.signals`); every error is one line.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from jepa_core import files
from jepa_core.analysis.ranking import DISPUTED
from jepa_core.cli import commands, paper_figures
from jepa_core.cli import confounds as cli_confounds
from jepa_core.cli import output as cli_output
from jepa_core.cli import theory as cli_theory
from jepa_core.config import cache_dir
from jepa_core.errors import JepaError, UnknownName
from jepa_core.scoring import method as scoring_method
from jepa_core.signals import Stopped
from jepa_core.store import shipped


class _Parser(argparse.ArgumentParser):
    """argparse with its errors on one line, as everywhere else."""

    def error(self, message: str) -> NoReturn:
        cli_output.fail(f"{message}; see '{self.prog} --help'.")
        sys.exit(2)


def _whole_number(text: str, least: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} was given where a whole number from {least} on is accepted")
    return int(text)


def _count(text: str) -> int:
    return _whole_number(text, 1)


def _seed(text: str) -> int:
    return _whole_number(text, 0)


def _share(text: str) -> int:
    if (share := _count(text)) > 50:
        raise argparse.ArgumentTypeError(f"{text!r} was given where a whole number of per cent up to 50 is accepted")
    return share


def _named_folder(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise argparse.ArgumentTypeError(
            f"{text!r} was given where NAME=FOLDER is accepted, as in mnist=pictures/mnist"
        )
    return name, Path(folder)


def _table_path(text: str) -> Path:
    try:
        return shipped.check_table_path(Path(text))
    except JepaError as error:
        raise argparse.ArgumentTypeError(str(error).removesuffix(".")) from error


def _picture_path(study: str) -> Callable[[str], Path]:
    suffix = ".html" if study == "figure3" else ".png"

    def check(text: str) -> Path:
        path = Path(text)
        if path.suffix != suffix or not files.is_dir(path.parent):
            raise argparse.ArgumentTypeError(
                f"{text!r} was given where a file that ends in {suffix}, in a folder that exists, is accepted"
            )
        return path

    return check


def _result_path(text: str) -> Path:
    path = Path(text)
    if not files.is_dir(path.absolute().parent) or files.is_dir(path):
        raise argparse.ArgumentTypeError(f"{text!r} was given where a file in a folder that exists is accepted")
    return path


def _common(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    if several:
        parser.add_argument("--encoder", action="append", help="an encoder; may be given again; all here if left out")
    else:
        parser.add_argument("--encoder", default="digits", help="name of an encoder (see 'encoders')")
    parser.add_argument("--output", help="which tensor of the encoder; its default if left out")
    parser.add_argument(
        "--device", choices=["cpu", "cuda", "mps"], help="where to compute; the best there is if left out"
    )
    parser.add_argument("--method", choices=scoring_method.METHODS, default="exact", help="full scores, or estimates")
    parser.add_argument("--rows", type=_count, metavar="R", help="products a sketch takes an image; K / 12 if left out")
    parser.add_argument(
        "--precision", choices=scoring_method.PRECISIONS, default="fp32", help="of the products; auto tests bf16"
    )


def _pictures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--pictures",
        type=_named_folder,
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="where the pictures of a listed dataset are, which are not bundled; may be given several times",
    )


def build_parser() -> argparse.ArgumentParser:
    """The parser with all commands."""
    parser = _Parser(prog="python -m jepa_core", description="JEPA-SCORE: how likely an encoder finds an image.")
    subparsers = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)

    def command(
        name: str, run: Callable[[argparse.Namespace], None], text: str, **options: Any
    ) -> argparse.ArgumentParser:
        added = subparsers.add_parser(name, help=text, description=text, **options)
        added.set_defaults(run=run)
        added.add_argument("--json", action="store_true", help="print JSON instead of a table")
        return added

    encoders = command("encoders", commands.run_encoders, "List the encoders, look at one, or add weights of your own.")
    encoders.add_argument(
        "name", nargs="?", help="say what this one is and costs here, and who may download it; or the new one's name"
    )
    encoders.add_argument(
        "--like", metavar="ENCODER", help="the architecture of weights of your own: a name of the list, or timm:MODEL"
    )
    encoders.add_argument(
        "--weights",
        metavar="PATH",
        help="a safetensors file, a checkpoint of a training, or a folder in the layout of the hub's cache",
    )
    command("datasets", commands.run_datasets, "List the bundled datasets.")

    score = command("score", commands.run_score, "Score a dataset; what the store has is not computed again.")
    _common(score)
    score.add_argument("--data", required=True, help="name of a bundled dataset, or a folder of images")
    score.add_argument("--class", dest="label", help="only this class")
    score.add_argument(
        "--image", metavar="PICTURE", help="only this one, by name or digest: computed anew, and not stored"
    )
    score.add_argument("--limit", type=_count, metavar="N", help="only a random sample of N images")
    score.add_argument("--seed", type=_seed, default=0, help="seed of the sample")
    score.add_argument("--out", type=_table_path, metavar="FILE", help="write a .parquet or .csv instead of printing")

    check = command("check", commands.run_check, "Hold pictures against a reference: do they belong?")
    _common(check)
    check.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    check.add_argument("--reference", help="a scored dataset; the encoder's own held-out one if left out")
    check.add_argument("--class", dest="label", help="only this class of the reference")

    confounds = command(
        "confounds", cli_confounds.run_confounds, "Is it brightness or complexity that the score tells apart?"
    )
    _common(confounds)
    confounds.add_argument(
        "--data", action="append", help="a scored dataset; may be given again; all held-out ones if left out"
    )
    confounds.add_argument("--reference", help="a scored dataset; the encoder's own held-out one if left out")
    confounds.add_argument("--write", action="store_true", help="ship the measures of the pictures given")
    _pictures(confounds)

    for name, run, text in (
        ("figure1", paper_figures.run_figure1, "Least and most likely images (of a class), a row for each encoder."),
        ("figure3", paper_figures.run_figure3, "Histograms of whole datasets, for each encoder."),
        ("figure7", paper_figures.run_figure7, "Singular vectors of the least and the most likely image."),
    ):
        study = command(name, run, text)
        _common(study, several=True)
        study.add_argument("--data", required=True, **({"nargs": "+", "metavar": "DATA"} if name == "figure3" else {}))
        if name == "figure1":
            study.add_argument("--class", dest="label", help="only this class")
        if name == "figure3":
            study.add_argument("--limit", type=_count, metavar="N", help="only a random sample of N images of each")
            study.add_argument("--seed", type=_seed, default=0, help="seed of the samples")
        study.add_argument("--out", type=_picture_path(name), required=True, metavar="FILE", help="what to write")

    compare = command(
        "compare",
        paper_figures.run_compare,
        "Do encoders agree? Rank correlations, overlaps of the ends, and the images that two to four of them dispute.",
    )
    _common(compare, several=True)
    compare.add_argument("--data", required=True, help="name of a bundled dataset, or a folder of images")
    compare.add_argument("--class", dest="label", help="only this class")
    compare.add_argument(
        "--share", type=_share, default=5, metavar="PERCENT", help="of the images that are at each end; 5 if left out"
    )
    compare.add_argument(
        "--top", type=_count, default=DISPUTED, metavar="N", help="how many disputed images of each way to print"
    )

    export = command("export", commands.run_export, "Write stored scores of a dataset to a file.")
    _common(export)
    export.add_argument("--data", required=True, help="name of a bundled dataset, or a folder of images")
    export.add_argument("--out", type=_table_path, required=True, metavar="FILE", help="a .parquet or .csv file")

    pretrain = command("pretrain", commands.run_pretrain, "Train a bundled encoder again, or one on your own pictures.")
    pretrain.add_argument("recipe", help="name of a recipe, such as digits or photo")
    pretrain.add_argument(
        "--data", type=Path, metavar="FOLDER", help="the pictures, for a recipe of photos; sub-folders are classes"
    )
    pretrain.add_argument("--name", help="of the encoder; the recipe's if left out, which a bundled one may have")
    pretrain.add_argument("--device", choices=["cpu", "cuda"], help="where to train; cpu if left out")
    pretrain.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for the weights and card; the cache's if left out"
    )

    theory = command("theory", cli_theory.run_theory, "Run one of the papers' controlled experiments again.")
    theory.add_argument("name", help="spheres, truth, sampling, ascent, features or views")
    theory.add_argument(
        "--out", type=_result_path, metavar="FILE.json", help="what to write; a file in the cache folder if left out"
    )

    bench = command("bench", commands.run_bench, "Measure what a score costs here, beside the paper's listing.")
    bench.add_argument("--case", action="append", metavar="NAME", help="only this case; may be given several times")
    bench.add_argument(
        "--device", choices=["cpu", "cuda", "mps"], help="where to compute; the best there is if left out"
    )
    bench.add_argument("--limit", type=_count, default=20, help="about how many seconds one run may take")

    ood = bench.add_subparsers(metavar="ood", parser_class=_Parser).add_parser(
        "ood",
        help="measure detection instead: how well each method tells a known set from others",
        description="How well each method tells a known set of images from others: AUROC, FPR95 and AUPR of stored "
        "full scores. Only held-out images are judged, and nothing is tuned.",
    )
    ood.set_defaults(run=commands.run_ood)
    ood.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON instead of a table")
    ood.add_argument("--encoder", default="digits", help="name of an encoder (see 'encoders')")
    ood.add_argument("--output", help="which tensor of the encoder; its default if left out")
    ood.add_argument(
        "--known", metavar="SET", help="a scored dataset or folder; the encoder's held-out one if left out"
    )
    ood.add_argument(
        "--others", nargs="+", metavar="SET", help="scored datasets or folders; all held-out ones here if left out"
    )
    ood.add_argument("--fit", metavar="SET", help="what distances are fitted on; the training set if left out")

    verify = command("verify", commands.run_verify, "Recompute a random part of the shipped scores and compare.")
    verify.add_argument("--encoder", help="only this encoder")
    verify.add_argument("--device", choices=["cpu", "cuda", "mps"], help="where to compute")
    verify.add_argument("--count", type=_count, default=50, help="how many rows of each table")
    verify.add_argument("--seed", type=_seed, default=0, help="seed of the choice")
    verify.add_argument("--write", action="store_true", help="make the shipped tables again first")
    verify.add_argument("--output", help="make only this output's table; all of the encoder's if left out")
    _pictures(verify)
    return parser


def _run(argv: Sequence[str] | None) -> int:
    try:
        args = build_parser().parse_args(argv)
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
