"""The paper's studies from a terminal: `figure1`, `figure3` and `figure7`, and `compare`."""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from PIL import Image

from jepa_core.analysis import paper_figures
from jepa_core.analysis.agreement import in_words
from jepa_core.analysis.ranking import FEWEST, MOST, agreements, compare, disputed, pair_table
from jepa_core.cli.commands import load, method_of, open_store
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
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import SHARE, ScoringMethod
from jepa_core.scoring.run import ScoringRun
from jepa_core.store.results import Store
from jepa_core.wording import lasting

STRIP = 4  # directions of each end


def _outputs(args: argparse.Namespace) -> list[EncoderOutput]:
    specs = [get_spec(name) for name in args.encoder] if args.encoder else list(list_encoders().values())
    if not specs:
        raise JepaError("There is no encoder here; at least one is needed; name one with --encoder.")
    return list(paper_figures.outputs(specs, args.output))


def _score_all(
    store: Store,
    wanted: Sequence[tuple[EncoderOutput, DatasetSpec]],
    method: ScoringMethod,
    device: str | None,
    label: str | None = None,
) -> dict[str, Encoder]:
    """Say how long it will take, then score what is missing; the encoders that were loaded for it, by name."""
    from jepa_core.encoders import cost
    from jepa_core.encoders.registry import choose_device

    here = [(output, data) for output, data in wanted if not data.listed]
    counted = [(output, data, paper_figures.missing(store, output, data, method, label)) for output, data in here]
    left = [(output, data, count) for output, data, count in counted if count]
    if not left:
        note("All scores are in the store.")
        return {}
    device = choose_device(device)
    total = 0.0
    for output, data, count in left:
        seconds = count * cost.seconds_an_image(output.spec, output.name, device)
        total += seconds
        note(f"{output} on {data.title}: {count} images to score, about {lasting(seconds)} here.")
    if method.name == "exact":
        note(f"In all about {lasting(total)}; --method sketch takes about a {SHARE}th for large sets.")
    loaded: dict[str, Encoder] = {}
    for output, data, _count in left:
        name = output.spec.name
        if name not in loaded:
            loaded[name] = load(name, device)
        computed = EncoderOutput.of(loaded[name], output.name)
        ScoringRun.of_dataset(store, computed, data, method, label, Bar(f"{output}, {data.title}")).score()
    return loaded


def _known(outputs: Sequence[EncoderOutput]) -> list[EncoderOutput]:
    """The outputs with what was found when they were loaded, by which their scores are looked up."""
    return [EncoderOutput(get_spec(output.spec.name), output.name) for output in outputs]


def run_figure1(args: argparse.Namespace) -> None:
    """The least and most likely images of a dataset, or of a class, for each encoder, above random ones."""
    outputs, dataset, label = _outputs(args), registry.get_dataset(args.data), args.label
    list(dataset.items(label))  # an unknown class is said before anything is computed
    store, method = open_store(), method_of(args)
    _score_all(store, [(output, dataset) for output in outputs], method, args.device, label)
    rows = []
    found = None
    for output in _known(outputs):
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
    some = paper_figures.drawn_at_random(found, 2 * paper_figures.ENDS)
    drawn = paper_figures.pictures(store, output, dataset, some)
    rows.append(Row("Random, seed 0", drawn, [""] * len(some), break_after=paper_figures.ENDS))
    heading = f"{dataset.title}, class {label}" if label else dataset.title
    _save(contact_sheet(heading, rows, "Scores of different encoders are not on one scale.").save, args.out)


def run_figure3(args: argparse.Namespace) -> None:
    """Histograms of whole datasets for each encoder, in one HTML page."""
    outputs = _outputs(args)
    chosen = [registry.get_dataset(name) for name in args.data]
    if args.limit:
        chosen = [registry.sampled(dataset, args.limit, args.seed) for dataset in chosen]
    store, method = open_store(), method_of(args)
    _score_all(store, [(output, dataset) for output in outputs for dataset in chosen], method, args.device)
    parts: list[str] = []
    for output in _known(outputs):
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
    _save(lambda path: path.write_text(page, encoding="utf-8"), args.out)


def run_figure7(args: argparse.Namespace) -> None:
    """The right singular vectors of the least and the most likely image, for each encoder."""
    outputs, dataset = _outputs(args), registry.get_dataset(args.data)
    store, method = open_store(), method_of(args)
    loaded = _score_all(store, [(output, dataset) for output in outputs], method, args.device)
    rows = []
    for output in _known(outputs):
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
    _save(contact_sheet(f"Right singular vectors, {dataset.title}", rows, "Signs are a convention.").save, args.out)


def run_compare(args: argparse.Namespace) -> None:
    """Two to four encoders on the same images: their orders, the overlaps of their ends, what they dispute most."""
    outputs, dataset, label = _outputs(args), registry.get_dataset(args.data), args.label
    if not FEWEST <= len({output.spec.name for output in outputs}) == len(outputs) <= MOST:
        raise JepaError(
            f"A comparison was asked of {', '.join(output.spec.name for output in outputs)}; {FEWEST} to {MOST} "
            "different encoders are accepted; name each with --encoder."
        )
    list(dataset.items(label))  # an unknown class is said before anything is computed
    store, method = open_store(), method_of(args)
    _score_all(store, [(output, dataset) for output in outputs], method, args.device, label)
    found = compare({one.spec.name: paper_figures.table(store, one, dataset, method, label) for one in _known(outputs)})
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
            "outputs": {output.spec.name: output.name for output in outputs},
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
