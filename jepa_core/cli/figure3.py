"""`figure3`: histograms of whole datasets for each encoder, in one HTML page."""

import argparse
from typing import Any

from jepa_core.cli.arguments import add_command, add_common, count, page_path, seed
from jepa_core.cli.loading import method_of, open_store
from jepa_core.cli.output import save
from jepa_core.datasets import registry


def add_parser(subparsers: Any) -> None:
    """The command's arguments."""
    study = add_command(subparsers, "figure3", run, "Histograms of whole datasets, for each encoder.")
    add_common(study, several=True)
    study.add_argument("--data", required=True, nargs="+", metavar="DATA")
    study.add_argument("--limit", type=count, metavar="N", help="only a random sample of N images of each")
    study.add_argument("--seed", type=seed, default=0, help="seed of the samples")
    study.add_argument("--out", type=page_path, required=True, metavar="FILE", help="what to write")


def run(args: argparse.Namespace) -> None:
    """Histograms of whole datasets for each encoder, in one HTML page."""
    from jepa_core.analysis import paper_figures
    from jepa_core.cli.score_missing import known, outputs_of, score_missing
    from jepa_core.figures.domains import domain_figure

    outputs = outputs_of(args)
    chosen = [registry.get_dataset(name) for name in args.data]
    if args.limit:
        chosen = [registry.sampled(dataset, args.limit, args.seed) for dataset in chosen]
    store, method = open_store(), method_of(args)
    score_missing(store, [(output, dataset) for output in outputs for dataset in chosen], method, args.device)
    parts: list[str] = []
    for output in known(outputs):
        scores = {
            dataset.title: paper_figures.table(store, output, dataset, method)["jepa_score"].to_numpy()
            for dataset in chosen
        }
        figure = domain_figure(scores, chosen[0].title)
        figure.update_layout(template="plotly_white", title=str(output), margin={"t": 48})
        parts.append(figure.to_html(full_html=False, include_plotlyjs=not parts))
    title = "JEPA-SCOREs of whole datasets"
    head = f"<!doctype html><meta charset='utf-8'><title>{title}</title><body style='max-width:60rem;margin:auto'>"
    page = f"{head}<h1>{title}</h1>{''.join(parts)}"
    save(lambda path: path.write_text(page, encoding="utf-8"), args.out)
