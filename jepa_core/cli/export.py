"""`export`: write stored scores of a dataset to a file."""

import argparse
import shlex
from typing import Any

from jepa_core.cli.arguments import add_command, add_common, table_path
from jepa_core.cli.loading import method_of, note_rank, open_store
from jepa_core.cli.output import note, show_rows
from jepa_core.datasets import folders, registry
from jepa_core.encoders.registry import get_spec
from jepa_core.errors import JepaError


def add_parser(subparsers: Any) -> None:
    """The command's arguments."""
    export = add_command(subparsers, "export", run, "Write stored scores of a dataset to a file.")
    add_common(export)
    export.add_argument("--data", required=True, help="name of a bundled dataset, or a folder of images")
    export.add_argument("--out", type=table_path, required=True, metavar="FILE", help="a .parquet or .csv file")


def run(args: argparse.Namespace) -> None:
    """Write stored scores to a file."""
    from jepa_core.scoring.encoder_output import EncoderOutput
    from jepa_core.scoring.stored import stored_scores
    from jepa_core.store import shipped

    output = EncoderOutput.of(get_spec(args.encoder), args.output)
    spec = output.spec
    dataset, store = registry.get_dataset(args.data), open_store(whole=True)
    note_rank(store, output)
    frame = stored_scores(store, output, dataset.name, method_of(args))
    if frame.empty:
        data = shlex.quote(dataset.name.removeprefix(registry.FOLDER_PREFIX))
        raise JepaError(
            f"The store has no scores of {dataset.title} for encoder {spec.name!r}, output {output.name!r}; "
            f"run 'python -m jepa_core score --encoder {spec.name} --output {output.name} --data {data}' first."
        )
    if len(frame) < len(dataset):
        note(f"{len(dataset) - len(frame)} of the {len(dataset)} images of {dataset.title} have no score yet.")
    shipped.write_table(frame, args.out)
    show_rows([{"rows": len(frame), "file": folders.readable(str(args.out))}], args.json)
