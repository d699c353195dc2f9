"""`verify`: recompute a random part of the shipped scores and compare, or make the shipped tables again."""

import argparse
from typing import TYPE_CHECKING, Any

from jepa_core.cli.arguments import add_command, add_pictures, count, seed
from jepa_core.cli.loading import open_store
from jepa_core.cli.output import Bar, note, show
from jepa_core.datasets import registry
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.encoders.registry import get_spec, list_encoders
from jepa_core.errors import JepaError
from jepa_core.scoring.encoder_output import EncoderOutput

if TYPE_CHECKING:
    from jepa_core.store.results import Store


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
                if output == encoder.spec.default_output and encoder.spec.training:
                    _write_known(store, EncoderOutput.of(encoder, output), pictures)
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


def _write_known(store: "Store", output: EncoderOutput, pictures: dict[str, DatasetSpec]) -> None:
    """Ship what verdicts are held against: visible measures of listed sets, and disturbed copies of training images."""
    from jepa_core.check import disturbances
    from jepa_core.confounds import measure
    from jepa_core.scoring.stored import stored_scores
    from jepa_core.store import shipped

    spec, digests = output.spec, list[str]()
    for dataset in {**registry.list_datasets(), **pictures}.values():
        if dataset.listed or dataset.name in pictures or dataset.name in measure.SHIPPED:
            table = stored_scores(store, output, dataset.name)
            measure.measure_missing(store, spec, dataset, table, Bar(f"{dataset.name}, seen"), family=measure.VISIBLE)
            digests += table["digest"].tolist()
    space = measure.VISIBLE.space_of(spec.transform)
    note(f"Wrote {shipped.ship_measures(store, space, digests)} visible measures to {shipped.measures_path(space)}.")
    training = pictures.get(spec.training) or registry.get_dataset(spec.training)
    copies = disturbances.make(output, list(training.items()), Bar(f"{spec.name}, disturbed"))
    if copies:
        members = {member.digest for member in store.members(training.name)}
        note(f"Wrote {disturbances.ship(output, members, copies)}.")
    else:
        note(f"No disturbed copies of {training.name!r} could be made; give its folder with --pictures.")
