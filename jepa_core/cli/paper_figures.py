"""The paper's studies from a terminal: `figure1`, `figure3` and `figure7`, and `compare`."""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from PIL import Image

from jepa_core.analysis import paper_figures
from jepa_core.analysis.agreement import in_words
from jepa_core.analysis.paper_figures import Subject
from jepa_core.analysis.ranking import FEWEST, MOST, agreements, compare, disputed, pair_table
from jepa_core.cli.commands import load, open_store, way_of
from jepa_core.cli.output import Bar, note, show
from jepa_core.datasets import registry
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.encoders.registry import Encoder, get_spec, list_encoders
from jepa_core.errors import JepaError
from jepa_core.explain.directions import directions_of
from jepa_core.figures.contact_sheet import Row, contact_sheet
from jepa_core.figures.domains import domain_figure
from jepa_core.figures.singular_vectors import singular_vector_picture
from jepa_core.files import replace_file
from jepa_core.scoring.method import Way
from jepa_core.scoring.rank import rank_of
from jepa_core.scoring.sketch import SHARE
from jepa_core.store.results import Store
from jepa_core.wording import lasting

STRIP = 4  # directions of each end


def _subjects(args: argparse.Namespace) -> list[Subject]:
    specs = [get_spec(name) for name in args.encoder] if args.encoder else list(list_encoders().values())
    if not specs:
        raise JepaError("There is no encoder here; at least one is needed; name one with --encoder.")
    return list(paper_figures.subjects(specs, args.output))


def _score_all(
    store: Store,
    wanted: Sequence[tuple[Subject, DatasetSpec]],
    way: Way,
    device: str | None,
    label: str | None = None,
) -> dict[str, Encoder]:
    """Say how long it will take, then score what is missing; the encoders that were loaded for it, by name."""
    from jepa_core.encoders import cost
    from jepa_core.encoders.registry import choose_device

    here = [(subject, data) for subject, data in wanted if not data.listed]
    counted = [(subject, data, paper_figures.missing(store, subject, data, way, label)) for subject, data in here]
    left = [(subject, data, count) for subject, data, count in counted if count]
    if not left:
        note("All scores are in the store.")
        return {}
    device = choose_device(device)
    total = 0.0
    for subject, data, count in left:
        seconds = count * cost.seconds_an_image(subject.spec, subject.output, device)
        total += seconds
        note(f"{subject} on {data.title}: {count} images to score, about {lasting(seconds)} here.")
    if way.method == "exact":
        note(f"In all about {lasting(total)}; --method sketch takes about a {SHARE}th for large sets.")
    loaded: dict[str, Encoder] = {}
    for subject, data, _count in left:
        name = subject.spec.name
        if name not in loaded:
            loaded[name] = load(name, device)
        paper_figures.score(store, loaded[name], subject, data, way, label, Bar(f"{subject}, {data.title}"))
    return loaded


def _known(subjects: Sequence[Subject]) -> list[Subject]:
    """The subjects with what was found when they were loaded, by which their scores are looked up."""
    return [Subject(get_spec(subject.spec.name), subject.output) for subject in subjects]


def run_figure1(args: argparse.Namespace) -> None:
    """The least and most likely images of a dataset, or of a class, for each encoder, above random ones."""
    subjects, dataset, label = _subjects(args), registry.get_dataset(args.data), args.label
    list(dataset.items(label))  # an unknown class is said before anything is computed
    store, way = open_store(), way_of(args)
    _score_all(store, [(subject, dataset) for subject in subjects], way, args.device, label)
    rows = []
    found = None
    for subject in _known(subjects):
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
    _save(contact_sheet(heading, rows, "Scores of different encoders are not on one scale.").save, args.out)


def run_figure3(args: argparse.Namespace) -> None:
    """Histograms of whole datasets for each encoder, in one HTML page."""
    subjects = _subjects(args)
    chosen = [registry.get_dataset(name) for name in args.data]
    if args.limit:
        chosen = [registry.sampled(dataset, args.limit, args.seed) for dataset in chosen]
    store, way = open_store(), way_of(args)
    _score_all(store, [(subject, dataset) for subject in subjects for dataset in chosen], way, args.device)
    parts: list[str] = []
    for subject in _known(subjects):
        scores = {
            dataset.title: paper_figures.table(store, subject, dataset, way)["jepa_score"].to_numpy()
            for dataset in chosen
        }
        figure = domain_figure(scores, chosen[0].title)
        figure.update_layout(template="plotly_white", title=str(subject), margin={"t": 48})
        parts.append(figure.to_html(full_html=False, include_plotlyjs=not parts))
    title = "JEPA-SCOREs of whole datasets"
    head = f"<!doctype html><meta charset='utf-8'><title>{title}</title><body style='max-width:60rem;margin:auto'>"
    page = f"{head}<h1>{title}</h1>{''.join(parts)}"
    _save(lambda path: path.write_text(page, encoding="utf-8"), args.out)


def run_figure7(args: argparse.Namespace) -> None:
    """The right singular vectors of the least and the most likely image, for each encoder."""
    subjects, dataset = _subjects(args), registry.get_dataset(args.data)
    store, way = open_store(), way_of(args)
    loaded = _score_all(store, [(subject, dataset) for subject in subjects], way, args.device)
    rows = []
    for subject in _known(subjects):
        found = paper_figures.table(store, subject, dataset, way)
        encoder = loaded.get(subject.spec.name) or load(subject.spec.name, args.device)
        rank = rank_of(subject.spec, subject.output).rank
        for name, chosen in (("least", found.iloc[:1]), ("most", found.iloc[-1:])):
            crops = paper_figures.pictures(store, subject, dataset, chosen)
            directions = directions_of(encoder, subject.output, paper_figures.picture(dataset, chosen), rank)
            assert directions is not None  # nobody cancels it here
            count = len(directions.sigma)
            strip = list(dict.fromkeys([*range(min(STRIP, count)), *range(max(0, count - STRIP), count)]))
            drawn = [Image.fromarray(singular_vector_picture(directions.right(k))) for k in strip]
            rows.append(
                Row(
                    f"{subject}: the {name} likely image, and the changes that it notices most and least",
                    [*crops, *drawn],
                    [f"{chosen['jepa_score'].iloc[0]:.1f}", *(f"k={k + 1}: {directions.sigma[k]:.3g}" for k in strip)],
                    break_after=1,
                )
            )
    _save(contact_sheet(f"Right singular vectors, {dataset.title}", rows, "Signs are a convention.").save, args.out)


def run_compare(args: argparse.Namespace) -> None:
    """Two to four encoders on the same images: their orders, the overlaps of their ends, what they dispute most."""
    subjects, dataset, label = _subjects(args), registry.get_dataset(args.data), args.label
    if not FEWEST <= len({subject.spec.name for subject in subjects}) == len(subjects) <= MOST:
        raise JepaError(
            f"A comparison was asked of {', '.join(subject.spec.name for subject in subjects)}; {FEWEST} to {MOST} "
            "different encoders are accepted; name each with --encoder."
        )
    list(dataset.items(label))  # an unknown class is said before anything is computed
    store, way = open_store(), way_of(args)
    _score_all(store, [(subject, dataset) for subject in subjects], way, args.device, label)
    found = compare({one.spec.name: paper_figures.table(store, one, dataset, way, label) for one in _known(subjects)})
    shared = agreements(found, args.share / 100)
    pairs = pair_table(shared)
    images = pd.concat([disputed(found, *pair, args.top) for pair in found.pairs])
    for pair, one in shared.items():
        note(in_words(one, *pair))
    if args.json:
        facts = {
            "dataset": dataset.name,
            "class": label,
            "images": len(found.images),
            "outputs": {subject.spec.name: subject.output for subject in subjects},
        }
        parts = {"pairs": pairs, "disputed": images}
        print(
            json.dumps(
                facts | {name: json.loads(part.to_json(orient="records")) for name, part in parts.items()}, indent=2
            )
        )
        return
    show(pairs, as_json=False)
    print()
    show(images.drop(columns=["position", "digest"]), as_json=False)


def _save(write: Callable[[Path], object], path: Path) -> None:
    try:
        replace_file(path, write)
    except OSError as error:
        raise JepaError(f"{path} cannot be written ({error.strerror}); choose a folder with room.") from error
    note(f"Wrote {path}.")
