"""Confounds from a terminal: what else differs between a reference and other sets."""

import argparse

import pandas as pd

from jepa_core import confounding, datasets, measuring, tables, ways
from jepa_core.commands import open_store, way_of
from jepa_core.confound_words import as_table, in_words
from jepa_core.encoders import get_spec
from jepa_core.errors import JepaError, NotEnoughData
from jepa_core.items import DatasetSpec
from jepa_core.specs import EncoderSpec
from jepa_core.store import Store
from jepa_core.terminal import Bar, note, show


def run_confounds(args: argparse.Namespace) -> None:
    """Print what the measures have to do with the separation of sets from a reference."""
    spec = get_spec(args.encoder)
    output = spec.check_output(args.output)
    bundled = datasets.list_datasets()
    pictures = {name: datasets.with_pictures(name, folder) for name, folder in args.pictures}
    name = args.reference or spec.reference
    if not name:
        raise JepaError(
            f"Encoder {spec.name!r} has no reference of its own and none was given; a scored dataset is accepted; "
            "name one with --reference."
        )
    reference = pictures.get(name) or datasets.get_dataset(name)
    given = args.data or [one.name for one in bundled.values() if one.held_out and one.name != reference.name]
    sets = [pictures.get(one) or datasets.get_dataset(one) for one in given]
    store, found_for = open_store(whole=True), []
    normal = _measured(store, spec, output, reference, args)
    for dataset in sets:
        try:
            found = confounding.explain(normal, _measured(store, spec, output, dataset, args))
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
        digests = [item.digest for dataset in pictures.values() for item in dataset.items()]
        space = measuring.space_of(spec.transform)
        note(f"{tables.ship_measures(store, space, digests)} measures in {tables.measures_path(space)}")


def _measured(
    store: Store, spec: EncoderSpec, output: str, dataset: DatasetSpec, args: argparse.Namespace
) -> confounding.Measured:
    """A scored set with the measures of its pictures, computed now where the store lacks them."""
    table = ways.scores(store, spec, output, dataset.name, ways.possible(way_of(args), dataset))
    if not dataset.listed or dataset.name in dict(args.pictures):
        failed = measuring.measure_missing(store, spec, dataset, table, Bar(f"Measuring {dataset.title}"))
        for _name, sentence in failed:
            note(sentence)
    return measuring.load(store, spec, dataset, table)
