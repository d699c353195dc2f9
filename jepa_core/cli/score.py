"""`score`: score a dataset, or one picture of it anew."""

import argparse
import time
from typing import TYPE_CHECKING, Any

from jepa_core.cli.arguments import add_command, add_common, count, seed, table_path
from jepa_core.cli.loading import load, method_of, open_store
from jepa_core.cli.output import Bar, note, show, show_rows
from jepa_core.datasets import registry
from jepa_core.datasets.spec import DatasetSpec, Item
from jepa_core.encoders.registry import get_spec
from jepa_core.errors import JepaError

if TYPE_CHECKING:
    from jepa_core.scoring.image_run import RunSummary
    from jepa_core.scoring.run import ScoringRun

_MANY = 1000  # images; before more, what each method takes is said


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
    score.add_argument(
        "--part", type=_part, metavar="I/N", help="only the I-th of N parts, written to --parts; 'merge' joins them"
    )
    score.add_argument(
        "--parts", metavar="FOLDER", help="where parts are written: a folder, or an address such as s3://bucket/parts"
    )
    score.add_argument(
        "--on",
        type=_ray_address,
        metavar="ray[://HOST:PORT]",
        help="score on the Ray cluster of $RAY_ADDRESS or of an address, or by Ray here; needs pip install 'ray[data]'",
    )
    score.add_argument("--out", type=table_path, metavar="FILE", help="write a .parquet or .csv instead of printing")
    score.set_defaults(parser=score)


def _part(text: str) -> tuple[int, int]:
    part, slash, of = text.partition("/")
    if not (slash and part.isascii() and part.isdigit() and of.isascii() and of.isdigit() and 0 < int(part) <= int(of)):
        raise argparse.ArgumentTypeError(f"{text!r} was given where a part and their number, as in 3/16, is accepted")
    return int(part), int(of)


def _ray_address(text: str) -> str:
    """The address for `ray.init`; "" for none."""
    if text != "ray" and not (text.startswith("ray://") and len(text) > len("ray://")):
        raise argparse.ArgumentTypeError(f"{text!r} was given where ray, or ray://HOST:PORT, is accepted")
    return "" if text == "ray" else text


def _check_parts(args: argparse.Namespace) -> None:
    """What belongs together where machines score parts, and what does not."""
    if args.part and args.on is not None:
        args.parser.error("--part and --on were given together; one of them is accepted, since Ray makes its own parts")
    if bool(args.parts) != bool(args.part or args.on is not None):
        args.parser.error(
            "--parts FOLDER was not given together with --part or --on; both are needed, as in --part 3/16 --parts F"
        )
    if args.parts and args.image:
        args.parser.error("--image was given with --parts, where whole datasets are scored; leave one of them out")
    if args.part and args.out:
        args.parser.error("--out was given with --part, which only writes its part; give it to 'export' after 'merge'")


def run(args: argparse.Namespace) -> None:
    """Score a dataset."""
    from jepa_core.scoring import forecast, parts
    from jepa_core.scoring.encoder_output import EncoderOutput
    from jepa_core.scoring.run import ScoringRun
    from jepa_core.scoring.stored import stored_scores
    from jepa_core.store import shipped

    _check_parts(args)
    if args.image:
        _score_one(args)
        return
    get_spec(args.encoder).check_output(args.output)  # before anything is loaded
    dataset = registry.get_dataset(args.data)
    if told := dataset.tell_left_out():
        note(told)
    items = list(dataset.items(args.label))
    if args.limit is not None:
        items = registry.sample(dataset, args.limit, args.seed, args.label)
    whole = len(items) == len(dataset)
    if args.part:
        _score_part(args, dataset, items, whole)
        return
    if args.on is not None:
        parts.check_method(method_of(args))
    store = open_store()
    output = EncoderOutput.of(load(args.encoder, args.device), args.output)
    run = ScoringRun(store, output, dataset.name, items, method_of(args), whole, Bar(dataset.title)).decided()
    if run.reason:
        note(f"Precision: {run.reason}.")
    if len(items) > _MANY:
        note(forecast.in_words(forecast.prices_of(output.spec, output.name, output.loaded.device), len(items)))
    summary = run.score() if args.on is None else _score_on_ray(args, run, dataset)
    frame = stored_scores(store, output, dataset.name, run.method).assign(precision=run.method.precision)
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


def _score_on_ray(args: argparse.Namespace, run: "ScoringRun", dataset: DatasetSpec) -> "RunSummary":
    """All of a run by the workers of a Ray cluster, into parts and from there into the store."""
    from jepa_core.scoring.on_ray import RayJob
    from jepa_core.scoring.parts import merge_parts
    from jepa_core.store.parts import PartFolder

    job = RayJob(run.output, dataset, run.items, run.method, args.parts, args.on, args.device)
    start = time.perf_counter()
    summary = job.score(run.progress)
    merged = merge_parts(run.store, PartFolder(args.parts), Bar("Parts", unit="part"))
    summary.notes += merged.problems + merged.notes
    summary.seconds = time.perf_counter() - start
    return summary


def _score_part(args: argparse.Namespace, dataset: DatasetSpec, items: list[Item], whole: bool) -> None:
    """One part of a dataset, into files; the store is left alone."""
    from jepa_core.scoring import parts
    from jepa_core.scoring.encoder_output import EncoderOutput
    from jepa_core.store.parts import PartFolder

    method, folder = method_of(args), PartFolder(args.parts)
    parts.check_method(method)
    output = EncoderOutput.of(load(args.encoder, args.device), args.output)
    scorer = parts.PartScorer(folder, output, method, parts.listing_of(dataset, output, whole))
    number, of = args.part
    share = parts.share(len(items), number, of, scorer.batch)
    summary = scorer.score(items[share.start : share.stop], Bar(f"{dataset.title}, part {number} of {of}"))
    for sentence in [sentence for _name, sentence in summary.failed] + summary.notes:
        note(sentence)
    note(
        f"Part {number} of {of}: {summary.scored} images scored in {summary.seconds:.1f} s, {summary.reused} known "
        f"already, {len(summary.failed)} failed. 'merge {args.parts}' puts all parts into the store."
    )
    rows = {"part": number, "of": of, "scored": summary.scored, "known": summary.reused, "failed": len(summary.failed)}
    show_rows([rows], args.json)


def _score_one(args: argparse.Namespace) -> None:
    """One picture of a dataset, fully and anew, whatever the store has of it."""
    from jepa_core.explain import image as explain_image
    from jepa_core.scoring import precision
    from jepa_core.scoring.encoder_output import EncoderOutput
    from jepa_core.scoring.score_images import score_images

    if method_of(args).name != "exact":
        raise JepaError(
            "An estimate of one image was asked for, but estimates are made for a whole dataset; --exact is accepted "
            "with --image; leave one of them out."
        )
    get_spec(args.encoder).check_output(args.output)  # before anything is loaded
    dataset = registry.get_dataset(args.data)
    item = explain_image.find_item(dataset, args.image)
    data, store = item.read(), open_store()
    output = EncoderOutput.of(load(args.encoder, args.device), args.output)
    used = precision.resolved(store, output, dataset.name, method_of(args)).decided
    frame = score_images([data], output.loaded, output.name, precision=used)
    show(frame.assign(name=item.name, label=item.label, precision=used), args.json)
