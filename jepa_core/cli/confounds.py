"""Confounds from a terminal: what else differs between a reference and other sets."""

import argparse
from typing import TYPE_CHECKING, Any

from jepa_core.cli.arguments import add_command, add_common, add_pictures
from jepa_core.cli.loading import method_of, open_store
from jepa_core.cli.output import Bar, note, show
from jepa_core.datasets import registry
from jepa_core.encoders.registry import get_spec
from jepa_core.errors import JepaError, NotEnoughData

if TYPE_CHECKING:
    from jepa_core.confounds import matching
    from jepa_core.datasets.spec import DatasetSpec
    from jepa_core.scoring.encoder_output import EncoderOutput
    from jepa_core.store.results import Store


def add_parser(subparsers: Any) -> None:
    """The command's arguments."""
    confounds = add_command(subparsers, "confounds", run, "Is it brightness or complexity that the score tells apart?")
    add_common(confounds)
    confounds.add_argument(
        "--data", action="append", help="a scored dataset; may be given again; all held-out ones if left out"
    )
    confounds.add_argument("--reference", help="a scored dataset; the encoder's own held-out one if left out")
    confounds.add_argument("--write", action="store_true", help="ship the measures of listed sets and of scenes-test")
    add_pictures(confounds)


def run(args: argparse.Namespace) -> None:
    """Print what the measures have to do with the separation of sets from a reference."""
    import pandas as pd

    from jepa_core.confounds import matching, measure
    from jepa_core.confounds.report import as_table, in_words
    from jepa_core.scoring.encoder_output import EncoderOutput
    from jepa_core.store import shipped

    output = EncoderOutput.of(get_spec(args.encoder), args.output)
    spec = output.spec
    bundled = registry.list_datasets()
    pictures = {name: registry.with_pictures(name, folder) for name, folder in args.pictures}
    name = args.reference or spec.reference
    if not name:
        raise JepaError(
            f"Encoder {spec.name!r} has no reference of its own and none was given; a scored dataset is accepted; "
            "name one with --reference."
        )
    reference = pictures.get(name) or registry.get_dataset(name)
    given = args.data or [one.name for one in bundled.values() if one.held_out and one.name != reference.name]
    sets = [pictures.get(one) or registry.get_dataset(one) for one in given]
    store, found_for = open_store(whole=True), []
    normal = _measured(store, output, reference, args)
    for dataset in sets:
        try:
            found = matching.explain(normal, _measured(store, output, dataset, args))
        except NotEnoughData as error:
            if args.data:
                raise
            note(str(error))
            continue
        note(f"{in_words(found)}\n")
        found_for.append(
            as_table(found).assign(domain=dataset.name, conclusion=str(found.kind), auroc_score=found.auroc)
        )
    if found_for:
        table = pd.concat(found_for, ignore_index=True)
        first = ["domain", "auroc_score", "conclusion", "measure"]
        show(table[[*first, *table.columns.difference(first, sort=False)]], args.json)
    if args.write:
        shipped_for = [one for one in bundled.values() if one.listed or one.name in measure.SHIPPED]
        digests = [item.digest for dataset in shipped_for for item in dataset.items()]
        space = measure.space_of(spec.transform)
        note(f"{shipped.ship_measures(store, space, digests)} measures in {shipped.measures_path(space)}")


def _measured(
    store: "Store", output: "EncoderOutput", dataset: "DatasetSpec", args: argparse.Namespace
) -> "matching.Measured":
    """A scored set with the measures of its pictures, computed now where the store lacks them."""
    from jepa_core.confounds import measure
    from jepa_core.scoring.stored import stored_scores

    spec, table = output.spec, stored_scores(store, output, dataset.name, method_of(args).for_dataset(dataset))
    if not dataset.listed or dataset.name in dict(args.pictures):
        failed = measure.measure_missing(store, spec, dataset, table, Bar(f"Measuring {dataset.title}"))
        for _name, sentence in failed:
            note(sentence)
    return measure.load(store, spec, dataset, table)
