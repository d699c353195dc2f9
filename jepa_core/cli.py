"""The explorer's jobs from a terminal: `python -m jepa_core COMMAND`.

Results go to standard output (a table, or `--json`), progress to standard error. Exit status: 0 done, 1 failed, 2 wrong
arguments; every error is one line.
"""

import argparse
import json
import logging
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
from tqdm import tqdm

from jepa_core import datasets, folders, tables, ways
from jepa_core.encoders import get_spec, list_encoders
from jepa_core.errors import JepaError, UnknownName
from jepa_core.sketching import SketchSettings
from jepa_core.store import Store
from jepa_core.ways import Way


class _Parser(argparse.ArgumentParser):
    """argparse with its errors on one line, as everywhere else."""

    def error(self, message: str) -> NoReturn:
        print(f"error: {message}; see '{self.prog} --help'.", file=sys.stderr)
        sys.exit(2)


def _whole_number(text: str, least: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} was given where a whole number from {least} on is accepted")
    return int(text)


def _count(text: str) -> int:
    return _whole_number(text, 1)


def _seed(text: str) -> int:
    return _whole_number(text, 0)


def _named_folder(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise argparse.ArgumentTypeError(
            f"{text!r} was given where NAME=FOLDER is accepted, as in mnist=pictures/mnist"
        )
    return name, Path(folder)


def _table_path(text: str) -> Path:
    try:
        return tables.check_table_path(Path(text))
    except JepaError as error:
        raise argparse.ArgumentTypeError(str(error).removesuffix(".")) from error


def _show(frame: pd.DataFrame, as_json: bool) -> None:
    if as_json:
        print(frame.to_json(orient="records", indent=2))
    elif not frame.empty:
        print(frame.to_string(index=False, float_format="{:.4f}".format))


def _note(sentence: str) -> None:
    tqdm.write(sentence, file=sys.stderr)  # on a line of its own, also while a progress bar is shown


class _Bar:
    """A progress bar on standard error, made when the first total is known, and anew for each part of the work."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._bar: tqdm | None = None

    def __call__(self, done: int, total: int) -> None:
        if self._bar is None or self._bar.total != total:  # another part of the work
            if self._bar is not None:
                self._bar.close()
            self._bar = tqdm(total=total, desc=self._title, unit="image", leave=False)
        self._bar.update(done - self._bar.n)
        if done >= total:
            self._bar.close()


def _open_store() -> Store:
    store = Store()
    if store.notice:
        _note(store.notice)
    for problem in tables.load_all_shipped(store):
        _note(problem)
    return store


def _encoders(args: argparse.Namespace) -> None:
    rows = [
        {
            "name": spec.name,
            "family": spec.family,
            "source": spec.source,
            "outputs": ", ".join(f"{output} (K={k})" for output, k in spec.outputs.items()),
            "reference": spec.reference,
            "licence": spec.licence,
        }
        for spec in list_encoders().values()
    ]
    _show(pd.DataFrame(rows), args.json)


def _datasets(args: argparse.Namespace) -> None:
    rows = [
        {
            "name": spec.name,
            "images": len(spec),
            "classes": len(spec.labels()),
            "source": spec.source,
            "title": spec.title,
        }
        for spec in datasets.list_datasets().values()
    ]
    _show(pd.DataFrame(rows), args.json)


def _score(args: argparse.Namespace) -> None:
    from jepa_core.encoders import load_encoder

    spec = get_spec(args.encoder)
    output = spec.check_output(args.output)
    dataset = datasets.get_dataset(args.data)
    items = list(dataset.items(args.label))
    if args.limit is not None:
        items = datasets.sample(dataset, args.limit, args.seed, args.label)
    store = _open_store()
    encoder = load_encoder(args.encoder, args.device)
    way, reason = ways.decide(store, encoder, output, dataset.name, items, _way(args))
    if reason:
        _note(f"Precision: {reason}.")
    summary = ways.score(
        store,
        encoder,
        output,
        dataset.name,
        items,
        way,
        whole=len(items) == len(dataset),
        progress=_Bar(dataset.title),
    )
    frame = ways.scores(store, spec, output, dataset.name, way)
    frame = frame.assign(precision=way.precision)
    frame = frame[frame["name"].isin({item.name for item in items})]
    for _name, sentence in summary.failed:
        _note(sentence)
    _note(
        f"{summary.scored} images scored in {summary.seconds:.1f} s, {summary.reused} known already, "
        f"{len(summary.failed)} failed."
    )
    if frame.empty:
        raise JepaError(f"None of the {len(items)} images of {dataset.title} could be scored; the lines above say why.")
    if args.out:
        tables.write_table(frame, args.out)
        _note(f"Wrote {args.out}.")
    else:
        _show(frame, args.json)


def _read_pictures(paths: Sequence[Path]) -> tuple[list[tuple[str, bytes]], list[tuple[str, str]]]:
    """(name, bytes) of the files that can be read, (name, sentence) of the others."""
    named, unread = [], []
    for path in paths:
        name = folders.readable(str(path))
        try:
            named.append((name, path.read_bytes()))
        except OSError as error:
            unread.append((name, f"{name} cannot be read ({error.strerror}); give the paths of image files."))
    return named, unread


def _check(args: argparse.Namespace) -> None:
    from jepa_core import check
    from jepa_core.encoders import load_encoder

    spec = get_spec(args.encoder)
    output = spec.check_output(args.output)
    named, unread = _read_pictures(args.images)
    if not named:
        raise JepaError(" ".join(sentence for _name, sentence in unread))
    if not (args.reference or spec.reference):
        raise JepaError(
            f"Encoder {spec.name!r} has no reference of its own and none was given; a scored dataset is accepted; "
            "name one with --reference."
        )
    name = datasets.get_dataset(args.reference or spec.reference).name  # a folder is stored by its full path
    reference = check.load_reference(_open_store(), spec, output, name, _way(args))
    outcome = check.check_pictures(load_encoder(args.encoder, args.device), output, named, reference)
    outcome = replace(outcome, failed=unread + outcome.failed)
    for _name, sentence in outcome.failed:
        _note(sentence)
    check.fail_if_nothing(outcome)
    _show(check.outcome_table(outcome), args.json)


def _export(args: argparse.Namespace) -> None:
    spec = get_spec(args.encoder)
    output = spec.check_output(args.output)
    dataset = datasets.get_dataset(args.data)
    frame = ways.scores(_open_store(), spec, output, dataset.name, _way(args))
    if frame.empty:
        data = shlex.quote(dataset.name.removeprefix(datasets.FOLDER_PREFIX))
        raise JepaError(
            f"The store has no scores of {dataset.title} for encoder {spec.name!r}, output {output!r}; "
            f"run 'python -m jepa_core score --encoder {spec.name} --output {output} --data {data}' first."
        )
    tables.write_table(frame, args.out)
    _show(pd.DataFrame([{"rows": len(frame), "file": str(args.out)}]), args.json)


def _pretrain(args: argparse.Namespace) -> None:
    from jepa_core.pretrain import pretrain

    given = {option: getattr(args, option) for option in ("data", "name", "device")}
    card = pretrain(
        args.recipe, args.out, log=_note, **{option: value for option, value in given.items() if value is not None}
    )
    print(json.dumps({"card": str(card)}) if args.json else card)


def _bench(args: argparse.Namespace) -> None:
    from jepa_core import bench
    from jepa_core.encoders import choose_device

    device = choose_device(args.device)
    cases = args.case or [name for name in bench.CASES if name != "vitb14-224"]
    for name in cases:
        if name not in bench.CASES:
            raise UnknownName("case", name, bench.CASES)
    lines = []
    for name in cases:
        _note(f"Measuring {bench.CASES[name].title} ...")
        lines += bench.measure(bench.CASES[name], device, args.limit)
    _show(pd.DataFrame([vars(line) for line in lines]), args.json)


def _verify(args: argparse.Namespace) -> None:
    from jepa_core import verify
    from jepa_core.encoders import load_encoder

    names = [args.encoder] if args.encoder else list(list_encoders())
    for name in names:
        get_spec(name)
    pictures = {name: datasets.with_pictures(name, folder) for name, folder in args.pictures}
    if args.write:
        store = _open_store()
        for name in names:
            encoder = load_encoder(name, args.device)
            for output in [encoder.spec.check_output(args.output)] if args.output else encoder.spec.outputs:
                sets = verify.shipped_sets(encoder.spec, pictures)
                rows, incomplete = verify.write_tables(store, encoder, output, sets, _Bar)
                _note(f"Wrote {rows} rows for encoder {name!r}, output {output!r}.")
                for dataset in incomplete:
                    _note(f"The table lacks pictures of {dataset!r}; give their folder with --pictures.")
    checks = verify.verify_all(names, args.count, args.seed, args.device, pictures)
    _show(pd.DataFrame([vars(check) | {"passed": check.passed} for check in checks]), args.json)
    if not checks:
        raise JepaError(
            f"No score table is shipped for {', '.join(map(repr, names)) or 'any encoder'}; at least one is needed; "
            "make it with --write."
        )
    if not all(check.passed for check in checks):
        raise JepaError(
            f"The shipped scores do not agree with this machine's (tolerance {verify.TOLERANCE} for each log singular "
            "value and the embedding, all pictures the same); the table above says where; make them again with --write."
        )


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--encoder", default="digits", help="name of an encoder (see 'encoders')")
    parser.add_argument("--output", help="which tensor of the encoder; its default if left out")
    parser.add_argument(
        "--device", choices=["cpu", "cuda", "mps"], help="where to compute; the best there is if left out"
    )
    parser.add_argument("--method", choices=ways.METHODS, default="exact", help="full scores, or estimates")
    parser.add_argument("--rows", type=_count, metavar="R", help="products a sketch takes an image; K / 12 if left out")
    parser.add_argument("--precision", choices=ways.PRECISIONS, default="fp32", help="of the products; auto tests bf16")


def _way(args: argparse.Namespace) -> Way:
    return Way(args.method, args.precision, SketchSettings(args.rows))


def build_parser() -> argparse.ArgumentParser:
    """The parser with all commands."""
    parser = _Parser(prog="python -m jepa_core", description="JEPA-SCORE: how likely an encoder finds an image.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)

    def command(
        name: str, run: Callable[[argparse.Namespace], None], text: str, **options: Any
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, **options)
        added.set_defaults(run=run)
        added.add_argument("--json", action="store_true", help="print JSON instead of a table")
        return added

    command("encoders", _encoders, "List the encoders.")
    command("datasets", _datasets, "List the bundled datasets.")

    score = command("score", _score, "Score a dataset; what the store has is not computed again.")
    _common(score)
    score.add_argument("--data", required=True, help="name of a bundled dataset, or a folder of images")
    score.add_argument("--class", dest="label", help="only this class")
    score.add_argument("--limit", type=_count, metavar="N", help="only a random sample of N images")
    score.add_argument("--seed", type=_seed, default=0, help="seed of the sample")
    score.add_argument("--out", type=_table_path, metavar="FILE", help="write a .parquet or .csv instead of printing")

    check = command("check", _check, "Hold pictures against a reference: do they belong?")
    _common(check)
    check.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    check.add_argument("--reference", help="a scored dataset; the encoder's own held-out one if left out")

    export = command("export", _export, "Write stored scores of a dataset to a file.")
    _common(export)
    export.add_argument("--data", required=True, help="name of a bundled dataset, or a folder of images")
    export.add_argument("--out", type=_table_path, required=True, metavar="FILE", help="a .parquet or .csv file")

    pretrain = command("pretrain", _pretrain, "Train a bundled encoder again, or one on your own pictures.")
    pretrain.add_argument("recipe", help="name of a recipe, such as digits or photo")
    pretrain.add_argument(
        "--data", type=Path, metavar="FOLDER", help="the pictures, for a recipe of photos; sub-folders are classes"
    )
    pretrain.add_argument("--name", help="of the encoder; the recipe's if left out, which a bundled one may have")
    pretrain.add_argument("--device", choices=["cpu", "cuda"], help="where to train; cpu if left out")
    pretrain.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for the weights and card; the cache's if left out"
    )

    bench = command("bench", _bench, "Measure what a score costs on this machine, beside the paper's listing.")
    bench.add_argument("--case", action="append", metavar="NAME", help="only this case; may be given several times")
    bench.add_argument(
        "--device", choices=["cpu", "cuda", "mps"], help="where to compute; the best there is if left out"
    )
    bench.add_argument("--limit", type=_count, default=20, help="about how many seconds one run may take")

    verify = command("verify", _verify, "Recompute a random part of the shipped scores and compare.")
    verify.add_argument("--encoder", help="only this encoder")
    verify.add_argument("--device", choices=["cpu", "cuda", "mps"], help="where to compute")
    verify.add_argument("--count", type=_count, default=50, help="how many rows of each table")
    verify.add_argument("--seed", type=_seed, default=0, help="seed of the choice")
    verify.add_argument("--write", action="store_true", help="make the shipped tables again first")
    verify.add_argument("--output", help="make only this output's table; all of the encoder's if left out")
    verify.add_argument(
        "--pictures",
        type=_named_folder,
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="where the pictures of a listed dataset are, which are not bundled; may be given several times",
    )
    return parser


def _run(argv: Sequence[str] | None) -> int:
    try:
        args = build_parser().parse_args(argv)
        args.run(args)
    except UnknownName as error:
        _note(f"error: {error}")
        return 2
    except JepaError as error:
        _note(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        _note("Stopped; what is finished is kept, and the same command goes on from there.")
        return 1
    finally:
        sys.stdout.flush()  # here, where a reader that has gone can still be met without a traceback
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    try:
        return _run(argv)
    except BrokenPipeError:  # as in `... | head -1`
        # Python writes out what is left once more when it ends; it must not fail there again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
