"""`review`: which images of a set deserve a look, and why."""

import argparse
from typing import TYPE_CHECKING, Any

from jepa_core.cli.arguments import add_command, table_path
from jepa_core.cli.loading import load, open_store
from jepa_core.cli.output import Bar, note, say, show
from jepa_core.datasets import registry
from jepa_core.encoders.registry import get_spec
from jepa_core.errors import JepaError, UnknownName

if TYPE_CHECKING:
    from jepa_core.analysis.review import Across
    from jepa_core.analysis.review_evidence import Evidence
    from jepa_core.datasets.spec import DatasetSpec
    from jepa_core.scoring.encoder_output import EncoderOutput
    from jepa_core.store.results import Store

_ALL = "all"


def add_parser(subparsers: Any) -> None:
    """The command's arguments."""
    text = "Which images of a set deserve a look, and why: copies, flaws, and what is unlike its class."
    review = add_command(subparsers, "review", run, text)
    review.add_argument("--data", required=True, help="name of a bundled dataset, or a folder of images")
    review.add_argument("--encoder", default="photo", help="name of an encoder (see 'encoders')")
    review.add_argument("--output", help="which tensor of the encoder; its default if left out")
    review.add_argument(
        "--device", choices=["cpu", "cuda", "mps"], help="where to compute; the best there is if left out"
    )
    review.add_argument(
        "--order",
        default=_ALL,
        help="by what: all (together), measures, sizes, embedding, class; spectrum, score, score-ends (full scores)",
    )
    review.add_argument("--against", metavar="SET", help="look for copies of this set's pictures, too")
    review.add_argument(
        "--out", type=table_path, metavar="FILE", help="write all images in order to a .parquet or .csv"
    )


def run(args: argparse.Namespace) -> None:
    """Put a set into an order, with reasons."""
    from jepa_core.analysis import duplicates, review, review_evidence
    from jepa_core.analysis.review_orders import ORDERS
    from jepa_core.scoring.encoder_output import EncoderOutput
    from jepa_core.store import shipped

    if args.order not in ORDERS:
        raise UnknownName("order", args.order, ORDERS)
    get_spec(args.encoder).check_output(args.output)  # before anything is loaded
    dataset = registry.get_dataset(args.data)
    other = registry.get_dataset(args.against) if args.against else None
    for one in filter(None, (dataset, other)):
        _check_at_hand(one)
    if told := dataset.tell_left_out():
        note(told)
    store = open_store()
    output = EncoderOutput.of(load(args.encoder, args.device), args.output)
    gathered = review_evidence.gather(store, output, dataset, Bar(dataset.title))
    for _name, sentence in gathered.failed:
        note(sentence)
    if ORDERS[args.order].needs:
        _score(store, output, dataset)
    evidence = review_evidence.load(store, output, store.members(dataset.name))
    if not len(evidence):
        raise JepaError(f"None of the {len(dataset)} images of {dataset.title} could be read; the lines above say why.")
    digests = [member.digest for member in evidence.members]
    copies = duplicates.find(digests, evidence.facts)
    found = review.review(evidence, dataset.name, args.order, copies, _across(store, evidence, other))
    table = found.table
    for sentence in found.notes:
        note(sentence)
    reasoned = table[table["reasons"] != ""]
    note(f"{len(reasoned)} of {len(table)} images have a reason to be looked at.")
    if args.out:
        shipped.write_table(table, args.out)
        note(f"Wrote {args.out}.")
    elif args.json:
        show(reasoned, as_json=True)
    else:
        for row in reasoned.itertuples():
            say(f"{row.name} ({row.label}, {row.unlike:.1f}): {row.reasons}")


def _check_at_hand(dataset: "DatasetSpec") -> None:
    if dataset.listed:
        raise JepaError(
            f"The pictures of {dataset.title} are not here, only their scores, so nobody can look at them; a set whose "
            "pictures are at hand is accepted; give a folder."
        )


def _score(store: "Store", output: "EncoderOutput", dataset: "DatasetSpec") -> None:
    from jepa_core.scoring.method import ScoringMethod
    from jepa_core.scoring.run import ScoringRun

    ScoringRun.of_dataset(store, output, dataset, ScoringMethod(), progress=Bar(f"Scores of {dataset.title}")).score()


def _across(store: "Store", evidence: "Evidence", other: "DatasetSpec | None") -> "Across | None":
    """The copies of another set's pictures, if one is given."""
    from jepa_core.analysis import duplicates, review_evidence
    from jepa_core.analysis.review import Across

    if other is None:
        return None
    members, facts = review_evidence.inspected(store, other, Bar(other.title))
    digests = [member.digest for member in evidence.members]
    copies = duplicates.find(digests, evidence.facts, [member.digest for member in members], facts)
    return Across(other.title, members, copies)
