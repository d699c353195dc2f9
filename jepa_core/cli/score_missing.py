"""What the commands on several encoders do first: choose them, and score what the store lacks."""

import argparse
from collections.abc import Sequence

from jepa_core.analysis import paper_figures
from jepa_core.analysis.paper_figures import Subject, lasting
from jepa_core.cli.loading import load
from jepa_core.cli.output import Bar, note
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.encoders.registry import Encoder, get_spec, list_encoders
from jepa_core.errors import JepaError
from jepa_core.scoring.method import Way
from jepa_core.scoring.sketch import SHARE
from jepa_core.store.results import Store


def subjects_of(args: argparse.Namespace) -> list[Subject]:
    """The encoders that the arguments name, else all that are here, each with the output asked for."""
    specs = [get_spec(name) for name in args.encoder] if args.encoder else list(list_encoders().values())
    if not specs:
        raise JepaError("There is no encoder here; at least one is needed; name one with --encoder.")
    return list(paper_figures.subjects(specs, args.output))


def score_missing(
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


def known(subjects: Sequence[Subject]) -> list[Subject]:
    """The subjects with what was found when they were loaded, by which their scores are looked up."""
    return [Subject(get_spec(subject.spec.name), subject.output) for subject in subjects]
