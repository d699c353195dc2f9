"""What the commands on several encoders do first: choose them, and score what the store lacks."""

import argparse
from collections.abc import Sequence

from jepa_core.analysis import paper_figures
from jepa_core.cli.loading import load
from jepa_core.cli.output import Bar, note
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.encoders.encoder import Encoder
from jepa_core.encoders.registry import get_spec, list_encoders
from jepa_core.errors import JepaError
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ScoringMethod
from jepa_core.scoring.run import ScoringRun
from jepa_core.store.results import Store
from jepa_core.wording import lasting


def outputs_of(args: argparse.Namespace) -> list[EncoderOutput]:
    """The encoders that the arguments name, else all that are here, each with the output asked for."""
    specs = [get_spec(name) for name in args.encoder] if args.encoder else list(list_encoders().values())
    if not specs:
        raise JepaError("There is no encoder here; at least one is needed; name one with --encoder.")
    return list(paper_figures.outputs(specs, args.output))


def score_missing(
    store: Store,
    wanted: Sequence[tuple[EncoderOutput, DatasetSpec]],
    method: ScoringMethod,
    device: str | None,
    label: str | None = None,
) -> dict[str, Encoder]:
    """Say how long it will take, then score what is missing; the encoders that were loaded for it, by name."""
    from jepa_core.encoders import cost
    from jepa_core.encoders.encoder import choose_device

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
        note(f"In all about {lasting(total)}; --method balanced takes a small part of it for large sets.")
    loaded: dict[str, Encoder] = {}
    for output, data, _count in left:
        name = output.spec.name
        if name not in loaded:
            loaded[name] = load(name, device)
        computed = EncoderOutput.of(loaded[name], output.name)
        ScoringRun.of_dataset(store, computed, data, method, label, Bar(f"{output}, {data.title}")).score()
    return loaded


def known(outputs: Sequence[EncoderOutput]) -> list[EncoderOutput]:
    """The outputs with what was found when they were loaded, by which their scores are looked up."""
    return [EncoderOutput(get_spec(output.spec.name), output.name) for output in outputs]
