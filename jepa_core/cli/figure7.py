"""`figure7`: the right singular vectors of the least and the most likely image, for each encoder."""

import argparse
from typing import Any

from jepa_core.cli.arguments import add_command, add_common, picture_path
from jepa_core.cli.loading import load, method_of, open_store
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
    from jepa_core.cli.score_missing import known, outputs_of, score_missing
    from jepa_core.explain.directions import directions_of
    from jepa_core.figures.contact_sheet import Row, contact_sheet
    from jepa_core.figures.singular_vectors import singular_vector_picture

    outputs, dataset = outputs_of(args), registry.get_dataset(args.data)
    store, method = open_store(), method_of(args)
    loaded = score_missing(store, [(output, dataset) for output in outputs], method, args.device)
    rows = []
    for output in known(outputs):
        found = paper_figures.table(store, output, dataset, method)
        encoder = loaded.get(output.spec.name) or load(output.spec.name, args.device)
        rank = output.rank.rank
        for name, chosen in (("least", found.iloc[:1]), ("most", found.iloc[-1:])):
            crops = paper_figures.pictures(store, output, dataset, chosen)
            directions = directions_of(encoder, output.name, paper_figures.picture(dataset, chosen), rank)
            assert directions is not None  # nobody cancels it here
            count = len(directions.sigma)
            strip = list(dict.fromkeys([*range(min(STRIP, count)), *range(max(0, count - STRIP), count)]))
            drawn = [Image.fromarray(singular_vector_picture(directions.right(k))) for k in strip]
            rows.append(
                Row(
                    f"{output}: the {name} likely image, and the changes that it notices most and least",
                    [*crops, *drawn],
                    [f"{chosen['jepa_score'].iloc[0]:.1f}", *(f"k={k + 1}: {directions.sigma[k]:.3g}" for k in strip)],
                    break_after=1,
                )
            )
    save(contact_sheet(f"Right singular vectors, {dataset.title}", rows, "Signs are a convention.").save, args.out)
