"""What the commands open before they work: the store, and an encoder."""

import argparse
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from jepa_core import files
from jepa_core.cli.output import Bar, note
from jepa_core.config import cache_dir
from jepa_core.encoders.registry import get_spec
from jepa_core.errors import StoreError
from jepa_core.scoring.method import Goal, ScoringMethod
from jepa_core.wording import lasting

if TYPE_CHECKING:
    from jepa_core.encoders.encoder import Encoder
    from jepa_core.scoring.encoder_output import EncoderOutput
    from jepa_core.store.results import Store


def open_store(*, whole: bool = False) -> "Store":
    """The store with the shipped tables in it; what a person should know about it is said.

    With `whole`, for a command that only reads, all of it is looked at first: a damaged store would give it fewer rows
    than there were. Raises `StoreError` then, once; the next time what was whole is there.
    """
    from jepa_core.store import shipped
    from jepa_core.store.results import Store

    files.sweep(cache_dir(), depth=2)
    store = Store()
    if whole:
        with suppress(StoreError):  # it is dealt with, and the notice says so
            store.check()
        if store.notice:
            raise StoreError(f"{store.notice} Score what is asked for again, then do this again.")
    elif store.notice:
        note(store.notice)
    try:
        problems = shipped.load_all_shipped(store)
    except StoreError as error:
        problems = [f"The tables that came with the explorer are not read in. {error}"]
    for problem in problems:
        note(problem)
    return store


def load(name: str, device: str | None) -> "Encoder":
    """An encoder by name. What is to be downloaded, and what a score will take, is said before."""
    from jepa_core.encoders.encoder import choose_device
    from jepa_core.encoders.registry import load_encoder

    spec = get_spec(name)
    if spec.source != "timm":
        return load_encoder(name, device)
    from jepa_core.encoders import cost, download

    remote = download.remote_of(spec.architecture)
    weights = download.look_up(remote)
    if weights.here:
        return load_encoder(name, device)
    device = choose_device(device)
    seconds = [f"{lasting(cost.seconds_an_image(spec, output, device))} an image ({output})" for output in spec.outputs]
    note(
        f"The weights of {spec.name} ({weights.megabytes}; licence: {spec.licence}; {weights.access}) are downloaded "
        f"from {remote}. A full score takes about {', '.join(seconds)} here."
    )
    return load_encoder(name, device, Bar(f"Weights of {spec.name}", unit="B"))


def note_rank(store: "Store", output: "EncoderOutput") -> None:
    """Say, once, where a store of an earlier version summed its scores over another rank."""
    from jepa_core.scoring import rank_findings

    if sentence := rank_findings.confirm(store, output):
        note(sentence)


def method_of(args: argparse.Namespace) -> ScoringMethod:
    """How the arguments ask for scores to be made."""
    if args.fidelity or args.minutes:
        seconds = 60 * args.minutes if args.minutes else None
        return ScoringMethod("estimate", args.precision, Goal(args.fidelity, seconds, args.rows))
    method = ScoringMethod.named(args.method, args.precision)
    return replace(method, goal=replace(method.goal, rows=args.rows)) if method.name == "estimate" else method
