"""`verify`: recompute a random part of the shipped scores and compare, or make the shipped tables again."""

import argparse
from typing import Any

from jepa_core.cli.arguments import add_command, add_pictures, count, seed
from jepa_core.cli.loading import open_store
from jepa_core.cli.output import Bar, note, show
from jepa_core.datasets import registry
from jepa_core.encoders.registry import get_spec, list_encoders
from jepa_core.errors import JepaError


def add_parser(subparsers: Any) -> None:
    """The command's arguments."""
    verify = add_command(subparsers, "verify", run, "Recompute a random part of the shipped scores and compare.")
    verify.add_argument("--encoder", help="only this encoder")
    verify.add_argument("--device", choices=["cpu", "cuda", "mps"], help="where to compute")
    verify.add_argument("--count", type=count, default=50, help="how many rows of each table")
    verify.add_argument("--seed", type=seed, default=0, help="seed of the choice")
    verify.add_argument("--write", action="store_true", help="make the shipped tables again first")
    verify.add_argument("--output", help="make only this output's table; all of the encoder's if left out")
    add_pictures(verify)


def run(args: argparse.Namespace) -> None:
    """Recompute shipped scores, or make them again."""
    import pandas as pd

    from jepa_core.encoders.registry import load_encoder
    from jepa_core.scoring import verify

    names = [args.encoder] if args.encoder else list(list_encoders())
    for name in names:
        get_spec(name)
    pictures = {name: registry.with_pictures(name, folder) for name, folder in args.pictures}
    if args.write:
        store = open_store()
        for name in names:
            encoder = load_encoder(name, args.device)
            for output in [encoder.spec.check_output(args.output)] if args.output else encoder.spec.outputs:
                sets = verify.shipped_sets(encoder.spec, pictures)
                rows, incomplete = verify.write_tables(store, encoder, output, sets, Bar)
                note(f"Wrote {rows} rows for encoder {name!r}, output {output!r}.")
                for dataset in incomplete:
                    note(f"The table lacks pictures of {dataset!r}; give their folder with --pictures.")
    checks = verify.verify_all(names, args.count, args.seed, args.device, pictures)
    show(pd.DataFrame([vars(check) | {"passed": check.passed} for check in checks]), args.json)
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
