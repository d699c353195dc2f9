"""What each command of the terminal does, given its parsed arguments; `jepa_core.cli.parser` has the arguments."""

import argparse
import json
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from jepa_core import files
from jepa_core.cli.output import Bar, note, say, show, show_facts
from jepa_core.config import cache_dir
from jepa_core.datasets import folders, registry
from jepa_core.encoders import catalog
from jepa_core.encoders.registry import get_spec, list_encoders
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import JepaError, StoreError, UnknownName
from jepa_core.scoring import precision, rank_findings
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ScoringMethod, SketchSettings
from jepa_core.scoring.run import ScoringRun
from jepa_core.scoring.stored import stored_scores
from jepa_core.store import shipped
from jepa_core.store.results import Store
from jepa_core.wording import lasting

if TYPE_CHECKING:
    from jepa_core.encoders.registry import Encoder


def open_store(*, whole: bool = False) -> Store:
    """The store with the shipped tables in it; what a person should know about it is said.

    With `whole`, for a command that only reads, all of it is looked at first: a damaged store would give it fewer rows
    than there were. Raises `StoreError` then, once; the next time what was whole is there.
    """
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


def run_encoders(args: argparse.Namespace) -> None:
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
    show(pd.DataFrame(rows), args.json)


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
    from jepa_core.encoders import cost, offers
    from jepa_core.encoders.registry import default_device

    spec, device = get_spec(args.name), default_device()
    facts = _row(spec, at_hand=spec.name in list_encoders())
    facts |= {"architecture": spec.architecture, "paper": spec.paper, "description": spec.description}
    if spec.source == "timm":
        offer = offers.offer(spec, device)
        facts |= {"origin": offer.origin, "size": offer.size, "access": offer.access}
    for output in spec.outputs:
        facts[f"seconds an image, {output}"] = float(f"{cost.seconds_an_image(spec, output, device):.2g}")
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


def load(name: str, device: str | None) -> "Encoder":
    """An encoder by name. What is to be downloaded, and what a score will take, is said before."""
    from jepa_core.encoders.registry import choose_device, load_encoder

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


def run_datasets(args: argparse.Namespace) -> None:
    """List the bundled datasets."""
    rows = [
        {
            "name": spec.name,
            "images": len(spec),
            "classes": len(spec.labels()),
            "source": spec.source,
            "title": spec.title,
        }
        for spec in registry.list_datasets().values()
    ]
    show(pd.DataFrame(rows), args.json)


def run_score(args: argparse.Namespace) -> None:
    """Score a dataset."""
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
    store = open_store()
    output = EncoderOutput.of(load(args.encoder, args.device), args.output)
    whole = len(items) == len(dataset)
    run = ScoringRun(store, output, dataset.name, items, method_of(args), whole, Bar(dataset.title)).decided()
    if run.reason:
        note(f"Precision: {run.reason}.")
    summary = run.score()
    frame = stored_scores(store, output, dataset.name, run.method)
    frame = frame.assign(precision=run.method.precision)
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
    from jepa_core.scoring.score_images import score_images

    if args.method != "exact":
        raise JepaError(
            "A sketch of one image was asked for, but a sketch is calibrated on a whole dataset; --method exact is "
            "accepted with --image; leave one of them out."
        )
    get_spec(args.encoder).check_output(args.output)
    dataset = registry.get_dataset(args.data)
    item = explain_image.find_item(dataset, args.image)
    data, store = item.read(), open_store()
    output = EncoderOutput.of(load(args.encoder, args.device), args.output)
    used = precision.resolved(store, output, dataset.name, method_of(args)).decided
    frame = score_images([data], output.loaded, output.name, precision=used)
    show(frame.assign(name=item.name, label=item.label, precision=used), args.json)


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


def _note_rank(store: Store, output: EncoderOutput) -> None:
    """Say, once, where a store of an earlier version summed its scores over another rank."""
    if sentence := rank_findings.confirm(store, output):
        note(sentence)


def run_check(args: argparse.Namespace) -> None:
    """Hold pictures against a reference."""
    from jepa_core.check import evidence

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
    _note_rank(store, output)
    known = evidence.load_known(store, output, reference.name, method_of(args), args.label)
    plain = evidence.measured_reference(store, spec, reference, known)
    loaded = EncoderOutput.of(load(args.encoder, args.device), output.name)
    outcome = evidence.check_pictures(loaded, named, known, plain)
    outcome = replace(outcome, failed=unread + outcome.failed)
    for sentence in [sentence for _name, sentence in outcome.failed] + [outcome.note] * bool(outcome.note):
        note(sentence)
    evidence.fail_if_nothing(outcome)
    show(evidence.outcome_table(outcome), args.json)


def run_export(args: argparse.Namespace) -> None:
    """Write stored scores to a file."""
    output = EncoderOutput.of(get_spec(args.encoder), args.output)
    dataset, store = registry.get_dataset(args.data), open_store(whole=True)
    _note_rank(store, output)
    frame = stored_scores(store, output, dataset.name, method_of(args))
    if frame.empty:
        data = shlex.quote(dataset.name.removeprefix(registry.FOLDER_PREFIX))
        raise JepaError(
            f"The store has no scores of {dataset.title} for encoder {output.spec.name!r}, output {output.name!r}; run "
            f"'python -m jepa_core score --encoder {output.spec.name} --output {output.name} --data {data}' first."
        )
    if len(frame) < len(dataset):
        note(f"{len(dataset) - len(frame)} of the {len(dataset)} images of {dataset.title} have no score yet.")
    shipped.write_table(frame, args.out)
    show(pd.DataFrame([{"rows": len(frame), "file": folders.readable(str(args.out))}]), args.json)


def run_pretrain(args: argparse.Namespace) -> None:
    """Train an encoder."""
    from jepa_core.pretrain import pretrain

    given = {option: getattr(args, option) for option in ("data", "name", "device")}
    card = pretrain(
        args.recipe, args.out, log=note, **{option: value for option, value in given.items() if value is not None}
    )
    if args.json:
        print(json.dumps({"card": str(card)}))
    else:
        say(str(card))


def run_bench(args: argparse.Namespace) -> None:
    """Measure what a score costs."""
    from jepa_core.encoders.registry import choose_device
    from jepa_core.scoring import benchmark

    device = choose_device(args.device)
    cases = args.case or [name for name in benchmark.CASES if name != "vitb14-224"]
    for name in cases:
        if name not in benchmark.CASES:
            raise UnknownName("case", name, benchmark.CASES)
    lines = []
    for name in cases:
        note(f"Measuring {benchmark.CASES[name].title} ...")
        lines += benchmark.measure(benchmark.CASES[name], device, args.limit)
    show(pd.DataFrame([vars(line) for line in lines]), args.json)


def run_ood(args: argparse.Namespace) -> None:
    """Measure how well each method tells a known set from others."""
    from jepa_core.analysis import ood_benchmark

    output = EncoderOutput.of(get_spec(args.encoder), args.output)
    spec = output.spec
    known = args.known or spec.reference
    if not known:
        raise JepaError(
            f"Encoder {spec.name!r} has no held-out set of its own and none was given; a scored set is accepted; name "
            "one with --known."
        )
    known = registry.get_dataset(known).name  # a folder is stored by its full path
    fit = registry.get_dataset(args.fit).name if args.fit else spec.training
    given = [registry.get_dataset(name).name for name in args.others or ()]
    store = open_store(whole=True)
    if not given:
        config = output.config()
        scored = (name for name, one in registry.list_datasets().items() if one.held_out and store.scored(config, name))
        given = [name for name in scored if name != known]
    if not given:
        raise JepaError(
            f"No other held-out set has scores for encoder {spec.name!r}, output {output.name!r}; at least one is "
            "needed; score one, and name it with --others."
        )
    found = ood_benchmark.benchmark(store, output, known, list(dict.fromkeys(given)), fit)
    for sentence in found.notes:
        note(sentence)
    show(found.table if args.json else ood_benchmark.readable(found.table), args.json)


def run_verify(args: argparse.Namespace) -> None:
    """Recompute shipped scores, or make them again."""
    from jepa_core.encoders.registry import load_encoder
    from jepa_core.scoring import verify

    names = [args.encoder] if args.encoder else list(list_encoders())
    for name in names:
        get_spec(name)
    pictures = {name: registry.with_pictures(name, folder) for name, folder in args.pictures}
    if args.write:
        store = open_store()
        for name in names:
            encoder = load_encoder(name, args.device)
            for output in [encoder.spec.check_output(args.output)] if args.output else encoder.spec.outputs:
                sets = verify.shipped_sets(encoder.spec, pictures)
                rows, incomplete = verify.write_tables(store, encoder, output, sets, Bar)
                note(f"Wrote {rows} rows for encoder {name!r}, output {output!r}.")
                for dataset in incomplete:
                    note(f"The table lacks pictures of {dataset!r}; give their folder with --pictures.")
    checks = verify.verify_all(names, args.count, args.seed, args.device, pictures)
    show(pd.DataFrame([vars(check) | {"passed": check.passed} for check in checks]), args.json)
    if not checks:
        raise JepaError(
            f"No score table is shipped for {', '.join(map(repr, names)) or 'any encoder'}; at least one is needed; "
            "make it with --write."
        )
    if not all(check.passed for check in checks):
        raise JepaError(
            f"The shipped scores do not agree with this machine's (tolerance {verify.TOLERANCE} for each log singular "
            "value and the embedding, all pictures the same); the table above says where; make them again with --write."
        )


def method_of(args: argparse.Namespace) -> ScoringMethod:
    """How the arguments ask for scores to be made."""
    return ScoringMethod(args.method, args.precision, SketchSettings(args.rows))
