"""`figure1`: the least and the most likely images, a row for each encoder, in one picture."""

import argparse
from typing import Any

from jepa_core.cli.arguments import add_command, add_common, picture_path
from jepa_core.cli.loading import method_of, open_store
from jepa_core.cli.output import save
from jepa_core.datasets import registry


def add_parser(subparsers: Any) -> None:
    """The command's arguments."""
    study = add_command(
        subparsers, "figure1", run, "Least and most likely images (of a class), a row for each encoder."
    )
    add_common(study, several=True)
    study.add_argument("--data", required=True)
    study.add_argument("--class", dest="label", help="only this class")
    study.add_argument("--out", type=picture_path, required=True, metavar="FILE", help="what to write")


def run(args: argparse.Namespace) -> None:
    """The least and most likely images of a dataset, or of a class, for each encoder, above random ones."""
    from jepa_core.analysis import paper_figures
    from jepa_core.cli.score_missing import known, outputs_of, score_missing
    from jepa_core.figures.contact_sheet import Row, contact_sheet

    outputs, dataset, label = outputs_of(args), registry.get_dataset(args.data), args.label
    list(dataset.items(label))  # an unknown class is said before anything is computed
    store, method = open_store(), method_of(args)
    score_missing(store, [(output, dataset) for output in outputs], method, args.device, label)
    rows = []
    found = None
    for output in known(outputs):
        found = paper_figures.table(store, output, dataset, method, label)
        least, most = paper_figures.ends(found)
        scores = [*least["jepa_score"], *most["jepa_score"]]
        rows.append(
            Row(
                f"{output}: least likely, then most likely of {len(found)}",
                paper_figures.pictures(store, output, dataset, least)
                + paper_figures.pictures(store, output, dataset, most),
                [f"{score:.1f}" for score in scores],
                break_after=len(least),
            )
        )
    assert found is not None
    some = paper_figures.drawn_at_random(found, 2 * paper_figures.IMAGES_PER_END)
    drawn = paper_figures.pictures(store, output, dataset, some)
    rows.append(Row("Random, seed 0", drawn, [""] * len(some), break_after=paper_figures.IMAGES_PER_END))
    heading = f"{dataset.title}, class {label}" if label else dataset.title
    save(contact_sheet(heading, rows, "Scores of different encoders are not on one scale.").save, args.out)
