"""`export`: write stored scores of a dataset to a file, or to a dataset of the Hugging Face hub."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from jepa_core.cli.arguments import add_command, add_common, table_path
from jepa_core.cli.loading import method_of, note_rank, open_store
from jepa_core.cli.output import note, show_rows
from jepa_core.datasets import folders, registry
from jepa_core.encoders.registry import get_spec
from jepa_core.errors import JepaError


def add_parser(subparsers: Any) -> None:
    """The command's arguments."""
    text = "Write stored scores of a dataset to a file, or to the Hugging Face hub."
    export = add_command(subparsers, "export", run, text)
    add_common(export)
    export.add_argument("--data", required=True, help="name of a bundled dataset, or a folder of images")
    export.add_argument(
        "--out", type=table_path, metavar="FILE", help="a .csv file, or a .parquet file, which has the embeddings, too"
    )
    export.add_argument(
        "--push",
        type=_repository,
        metavar="OWNER/NAME",
        help="upload the Parquet file, and no picture, to this dataset of the Hugging Face hub; it is made private",
    )
    export.set_defaults(parser=export)


def _repository(text: str) -> str:
    from jepa_core.integrations import hub_dataset

    try:
        return hub_dataset.check_name(text)
    except JepaError as error:
        raise argparse.ArgumentTypeError(str(error).removesuffix(".")) from error


def run(args: argparse.Namespace) -> None:
    """Write stored scores to a file, or to the hub."""
    if not (args.out or args.push):
        args.parser.error("the following arguments are required: --out or --push")
    from jepa_core.analysis import parquet_export
    from jepa_core.scoring import precision
    from jepa_core.scoring.encoder_output import EncoderOutput
    from jepa_core.store import shipped

    if args.push:
        from jepa_core.integrations import hub_dataset

        hub_dataset.check_may_push()
    output = EncoderOutput.of(get_spec(args.encoder), args.output)
    dataset, store = registry.get_dataset(args.data), open_store(whole=True)
    note_rank(store, output)
    method = precision.resolved(store, output, dataset.name, method_of(args))
    table = parquet_export.scores_of(store, output, dataset, method)
    if len(table) < len(dataset):
        note(f"{len(dataset) - len(table)} of the {len(dataset)} images of {dataset.title} have no score yet.")
    written = []
    if args.out and args.out.suffix.lower() == ".csv":
        shipped.write_table(table.drop(columns="dataset"), args.out)
    elif args.out:
        parquet_export.write_parquet(store, output, table, args.out, method.decided)
        note(f"Embedding Atlas opens it: {atlas_command(args.out)}")
    if args.out:
        written.append(folders.readable(str(args.out)))
    if args.push:
        note(f"Uploading {len(table)} scores and embeddings, and no picture, to {args.push}.")
        written.append(hub_dataset.push(store, output, dataset, table, args.push, method.decided))
    show_rows([{"rows": len(table), "file": place} for place in written], args.json)


def atlas_command(path: Path) -> str:
    """The command that opens an exported Parquet file in Embedding Atlas."""
    return f"embedding-atlas {shlex.quote(str(path))} --vector embedding"
