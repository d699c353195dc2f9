"""`score`: score a dataset, or one picture of it anew."""

import argparse
from typing import Any

from jepa_core.cli.arguments import add_command, add_common, count, seed, table_path
from jepa_core.cli.loading import load, open_store, way_of
from jepa_core.cli.output import Bar, note, show
from jepa_core.datasets import registry
from jepa_core.encoders.registry import get_spec
from jepa_core.errors import JepaError


def add_parser(subparsers: Any) -> None:
    """The command's arguments."""
    score = add_command(subparsers, "score", run, "Score a dataset; what the store has is not computed again.")
    add_common(score)
    score.add_argument("--data", required=True, help="name of a bundled dataset, or a folder of images")
    score.add_argument("--class", dest="label", help="only this class")
    score.add_argument(
        "--image", metavar="PICTURE", help="only this one, by name or digest: computed anew, and not stored"
    )
    score.add_argument("--limit", type=count, metavar="N", help="only a random sample of N images")
    score.add_argument("--seed", type=seed, default=0, help="seed of the sample")
    score.add_argument("--out", type=table_path, metavar="FILE", help="write a .parquet or .csv instead of printing")


def run(args: argparse.Namespace) -> None:
    """Score a dataset."""
    from jepa_core.scoring import method as scoring_method
    from jepa_core.store import shipped

    if args.image:
        _score_one(args)
        return
    spec = get_spec(args.encoder)
    output = spec.check_output(args.output)
    dataset = registry.get_dataset(args.data)
    if told := dataset.tell_left_out():
        note(told)
    items = list(dataset.items(args.label))
    if args.limit is not None:
        items = registry.sample(dataset, args.limit, args.seed, args.label)
    store = open_store()
    encoder = load(args.encoder, args.device)
    spec = encoder.spec
    way, reason = scoring_method.decide(store, encoder, output, dataset.name, items, way_of(args))
    if reason:
        note(f"Precision: {reason}.")
    summary = scoring_method.score(
        store,
        encoder,
        output,
        dataset.name,
        items,
        way,
        whole=len(items) == len(dataset),
        progress=Bar(dataset.title),
    )
    frame = scoring_method.scores(store, spec, output, dataset.name, way)
    frame = frame.assign(precision=way.precision)
    frame = frame[frame["name"].isin({item.name for item in items})]
    for sentence in [sentence for _name, sentence in summary.failed] + summary.notes:
        note(sentence)
    note(
        f"{summary.scored} images scored in {summary.seconds:.1f} s, {summary.reused} known already, "
        f"{len(summary.failed)} failed."
    )
    if frame.empty:
        raise JepaError(f"None of the {len(items)} images of {dataset.title} could be scored; the lines above say why.")
    if args.out:
        shipped.write_table(frame, args.out)
        note(f"Wrote {args.out}.")
    else:
        show(frame, args.json)


def _score_one(args: argparse.Namespace) -> None:
    """One picture of a dataset, fully and anew, whatever the store has of it."""
    from jepa_core.explain import image as explain_image
    from jepa_core.scoring import method as scoring_method
    from jepa_core.scoring import run as scoring_run

    if args.method != "exact":
        raise JepaError(
            "A sketch of one image was asked for, but a sketch is calibrated on a whole dataset; --method exact is "
            "accepted with --image; leave one of them out."
        )
    spec = get_spec(args.encoder)
    output = spec.check_output(args.output)
    dataset = registry.get_dataset(args.data)
    item = explain_image.find_item(dataset, args.image)
    data, store = item.read(), open_store()
    encoder = load(args.encoder, args.device)
    precision = scoring_method.settled(store, encoder.spec, output, dataset.name, way_of(args)).decided
    frame = scoring_run.score_images([data], encoder, output, precision=precision)
    show(frame.assign(name=item.name, label=item.label, precision=precision), args.json)
