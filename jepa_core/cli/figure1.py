"""`figure1`: the least and the most likely images, a row for each encoder, in one picture."""

import argparse
from typing import Any

from jepa_core.cli.arguments import add_command, add_common, picture_path
from jepa_core.cli.loading import open_store, way_of
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
    from jepa_core.cli.score_missing import known, score_missing, subjects_of
    from jepa_core.figures.contact_sheet import Row, sheet

    subjects, dataset, label = subjects_of(args), registry.get_dataset(args.data), args.label
    list(dataset.items(label))  # an unknown class is said before anything is computed
    store, way = open_store(), way_of(args)
    score_missing(store, [(subject, dataset) for subject in subjects], way, args.device, label)
    rows = []
    found = None
    for subject in known(subjects):
        found = paper_figures.table(store, subject, dataset, way, label)
        least, most = paper_figures.ends(found)
        scores = [*least["jepa_score"], *most["jepa_score"]]
        rows.append(
            Row(
                f"{subject}: least likely, then most likely of {len(found)}",
                paper_figures.pictures(store, subject, dataset, least)
                + paper_figures.pictures(store, subject, dataset, most),
                [f"{score:.1f}" for score in scores],
                break_after=len(least),
            )
        )
    assert found is not None
    some = paper_figures.drawn_at_random(found, 2 * paper_figures.ENDS)
    drawn = paper_figures.pictures(store, subject, dataset, some)
    rows.append(Row("Random, seed 0", drawn, [""] * len(some), break_after=paper_figures.ENDS))
    heading = f"{dataset.title}, class {label}" if label else dataset.title
    save(sheet(heading, rows, "Scores of different encoders are not on one scale.").save, args.out)
