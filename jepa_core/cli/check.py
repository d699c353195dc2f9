"""`check`: hold pictures against a reference."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jepa_core import files
from jepa_core.cli.arguments import add_command, add_common
from jepa_core.cli.loading import load, method_of, note_rank, open_store
from jepa_core.cli.output import Bar, note, show
from jepa_core.datasets import folders, registry
from jepa_core.encoders.registry import get_spec
from jepa_core.errors import JepaError


def add_parser(subparsers: Any) -> None:
    """The command's arguments."""
    check = add_command(subparsers, "check", run, "Hold pictures against a reference: do they belong?")
    add_common(check)
    check.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    check.add_argument("--reference", help="a scored dataset; the encoder's own held-out one if left out")
    check.add_argument("--class", dest="label", help="only this class of the reference")


def _read_pictures(paths: Sequence[Path]) -> tuple[list[tuple[str, bytes]], list[tuple[str, str]]]:
    """(name, bytes) of the files that can be read, (name, sentence) of the others."""
    named, unread = [], []
    for path in paths:
        name = folders.readable(str(path))
        try:
            named.append((name, files.read_file(path)))
        except OSError as error:
            unread.append((name, f"{name} cannot be read ({error.strerror}); give the paths of image files."))
    return named, unread


def run(args: argparse.Namespace) -> None:
    """Hold pictures against a reference."""
    from jepa_core.check import evidence, known_set
    from jepa_core.scoring.encoder_output import EncoderOutput

    spec = get_spec(args.encoder)
    output = EncoderOutput.of(spec, args.output)
    named, unread = _read_pictures(args.images)
    if not named:
        raise JepaError(" ".join(sentence for _name, sentence in unread))
    if not (args.reference or spec.reference):
        raise JepaError(
            f"Encoder {spec.name!r} has no reference of its own and none was given; a scored dataset is accepted; "
            "name one with --reference."
        )
    reference = registry.get_dataset(args.reference or spec.reference)  # a folder is stored by its full path
    store = open_store(whole=True)
    note_rank(store, output)
    known_set.load_known(
        store, output, reference.name, method_of(args), args.label
    )  # may fail before an encoder is loaded
    loaded = EncoderOutput.of(load(args.encoder, args.device), output.name)
    known = known_set.load_complete(store, loaded, reference, method_of(args), args.label, Bar("What is known"))
    outcome = evidence.check_pictures(loaded, named, known)
    outcome = replace(outcome, failed=unread + outcome.failed)
    for _name, sentence in outcome.failed:
        note(sentence)
    if outcome.note:
        note(outcome.note)
    evidence.fail_if_nothing(outcome)
    show(evidence.outcome_table(outcome), args.json)
