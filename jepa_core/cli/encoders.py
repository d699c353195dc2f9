"""`encoders`: list the encoders, look at one, or add one with weights given by hand."""

import argparse
from typing import Any

from jepa_core.cli.arguments import add_command
from jepa_core.cli.output import note, show_facts, show_rows
from jepa_core.encoders import catalog
from jepa_core.encoders.registry import get_spec, list_encoders
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import JepaError


def add_parser(subparsers: Any) -> None:
    """The command's arguments."""
    encoders = add_command(subparsers, "encoders", run, "List the encoders, look at one, or add weights of your own.")
    encoders.add_argument(
        "name", nargs="?", help="say what this one is and costs here, and who may download it; or the new one's name"
    )
    encoders.add_argument(
        "--like", metavar="ENCODER", help="the architecture of weights of your own: a name of the list, or timm:MODEL"
    )
    encoders.add_argument(
        "--weights",
        metavar="PATH",
        help="a safetensors file, a checkpoint of a training, or a folder in the layout of the hub's cache",
    )


def run(args: argparse.Namespace) -> None:
    """List the encoders, say what one is and costs, or add one with weights given by hand."""
    if args.like or args.weights:
        _add_encoder(args)
    elif args.name:
        _show_encoder(args)
    else:
        _list_encoders(args)


def _list_encoders(args: argparse.Namespace) -> None:
    here = list_encoders()
    elsewhere = [spec for spec in catalog.specs() if spec.name not in here]
    rows = [_row(spec, at_hand=True) for spec in here.values()] + [_row(spec, at_hand=False) for spec in elsewhere]
    show_rows(rows, args.json)


def _row(spec: EncoderSpec, *, at_hand: bool) -> dict[str, object]:
    return {
        "name": spec.name,
        "family": f"{spec.family} (contrast)" if spec.contrast else spec.family,
        "weights": "here" if at_hand else "to download",
        "about MB": max(1, round(spec.megabytes)),
        "parameters": spec.parameters,
        "input": spec.data_config["input_size"][-1],
        "outputs": ", ".join(f"{output} (K={k})" for output, k in spec.outputs.items()),
        "reference": spec.reference,
        "licence": spec.licence,
    }


def _show_encoder(args: argparse.Namespace) -> None:
    """What one is and costs. Nothing is downloaded: the server of its weights is asked, and this machine measured."""
    from jepa_core.encoders.cost import cost_of, seconds_an_image
    from jepa_core.encoders.encoder import default_device

    spec, device = get_spec(args.name), default_device()
    facts = _row(spec, at_hand=spec.name in list_encoders())
    facts |= {"architecture": spec.architecture, "paper": spec.paper, "description": spec.description}
    if spec.source == "timm":
        cost = cost_of(spec, device)
        facts |= {"origin": cost.origin, "size": cost.size, "access": cost.access}
    for output in spec.outputs:
        facts[f"seconds an image, {output}"] = float(f"{seconds_an_image(spec, output, device):.2g}")
    show_facts(facts, args.json)


def _add_encoder(args: argparse.Namespace) -> None:
    from jepa_core.encoders import custom

    if not (args.name and args.like and args.weights):
        raise JepaError(
            "Weights of one's own need a name and an architecture; 'encoders NAME --like ENCODER --weights PATH' is "
            "accepted; give all three."
        )
    added = custom.add(args.name, args.like, args.weights, "cpu")
    note(added.spec.description)
    show_facts(_row(added.spec, at_hand=True), args.json)
