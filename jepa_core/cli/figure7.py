"""`figure7`: the right singular vectors of the least and the most likely image, for each encoder."""

import argparse
from typing import Any

from jepa_core.cli.arguments import add_command, add_common, picture_path
from jepa_core.cli.loading import load, open_store, way_of
from jepa_core.cli.output import save
from jepa_core.datasets import registry

STRIP = 4  # directions of each end


def add_parser(subparsers: Any) -> None:
    """The command's arguments."""
    study = add_command(subparsers, "figure7", run, "Singular vectors of the least and the most likely image.")
    add_common(study, several=True)
    study.add_argument("--data", required=True)
    study.add_argument("--out", type=picture_path, required=True, metavar="FILE", help="what to write")


def run(args: argparse.Namespace) -> None:
    """The right singular vectors of the least and the most likely image, for each encoder."""
    from PIL import Image

    from jepa_core.analysis import paper_figures
    from jepa_core.cli.score_missing import known, score_missing, subjects_of
    from jepa_core.explain.directions import directions_of
    from jepa_core.figures.contact_sheet import Row, sheet
    from jepa_core.figures.singular_vectors import signed_picture
    from jepa_core.scoring.rank import rank_of

    subjects, dataset = subjects_of(args), registry.get_dataset(args.data)
    store, way = open_store(), way_of(args)
    loaded = score_missing(store, [(subject, dataset) for subject in subjects], way, args.device)
    rows = []
    for subject in known(subjects):
        found = paper_figures.table(store, subject, dataset, way)
        encoder = loaded.get(subject.spec.name) or load(subject.spec.name, args.device)
        rank = rank_of(subject.spec, subject.output).rank
        for name, chosen in (("least", found.iloc[:1]), ("most", found.iloc[-1:])):
            crops = paper_figures.pictures(store, subject, dataset, chosen)
            directions = directions_of(encoder, subject.output, paper_figures.picture(dataset, chosen), rank)
            assert directions is not None  # nobody cancels it here
            count = len(directions.sigma)
            strip = list(dict.fromkeys([*range(min(STRIP, count)), *range(max(0, count - STRIP), count)]))
            drawn = [Image.fromarray(signed_picture(directions.right(k))) for k in strip]
            rows.append(
                Row(
                    f"{subject}: the {name} likely image, and the changes that it notices most and least",
                    [*crops, *drawn],
                    [f"{chosen['jepa_score'].iloc[0]:.1f}", *(f"k={k + 1}: {directions.sigma[k]:.3g}" for k in strip)],
                    break_after=1,
                )
            )
    save(sheet(f"Right singular vectors, {dataset.title}", rows, "Signs are a convention.").save, args.out)
