"""What Check says: `python benchmarks/verdicts.py [--encoder photo] [--pictures NAME=FOLDER ...]`.

Held against the encoder's own reference, by pictures that neither the encoder nor a method has seen:

- `sets`: of `--count` pictures of each set the share of each verdict; the same without what can be seen (`bare`); and
  beside it the share that each method by itself calls at the same rate of false alarms, 5 % of the references.
- `own`: ten draws of half of the reference's images, held against the other half: shares that are called.
- `disturbed`: of `--count` of the reference's pictures, disturbed in each way, what is called, and the kind named.
- `texts`: what the page says of some pictures.

With `--write` the tables are written to `docs/verdicts-TABLE.csv`, and what an encoder can tell to
`assets/verdicts.json`; else they are printed.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy import ndarray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jepa_core import images
from jepa_core.check import evidence
from jepa_core.check.combined import CombinedTest
from jepa_core.check.evidence import Checked
from jepa_core.check.known_set import KnownSet, load_complete
from jepa_core.check.reasons import AS_DISTURBED
from jepa_core.check.track_record import TrackRecord, write
from jepa_core.check.verdict import VerdictKind
from jepa_core.datasets import registry
from jepa_core.datasets.disturbances import KINDS, disturb
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.encoders.registry import load_encoder
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.spreadsheets import csv_text
from jepa_core.stats.conformal import ALPHA
from jepa_core.store.results import Store
from jepa_core.store.shipped import load_all_shipped

DOCS = Path(__file__).resolve().parent.parent / "docs"
SEEN = ("visible", "disturbed")
"""The methods that go by what can be seen of a picture."""
Named = list[tuple[str, bytes]]


def named(dataset: DatasetSpec, count: int) -> Named:
    """A random sample of a set's pictures, as (name, bytes)."""
    return [(item.name, item.read()) for item in registry.sample(dataset, count, seed=0)]


def disturbed(given: Named, kind: str) -> Named:
    """The same pictures disturbed in one way."""
    rng = np.random.default_rng(1)
    pictures = ((name, images.decode(data).image.convert("RGB")) for name, data in given)
    return [(name, images.to_png(disturb(kind, picture, rng))) for name, picture in pictures]


def kinds(items: Sequence[Checked]) -> dict[str, float]:
    """The share of each verdict."""
    found = [item.verdict.kind for item in items]
    return {str(kind): found.count(kind) / len(found) for kind in VerdictKind}


def found_of(items: Sequence[Checked]) -> dict[str, ndarray]:
    """What each method found of some pictures, larger being more outlying; NaN where it could not say."""
    names = {name for item in items for name in item.places}
    found = {
        name: np.array([-item.places[name].score if name in item.places else np.nan for item in items])
        for name in sorted(names)
    }
    return found | {"unlikely": found["jepa"], "likely": -found["jepa"]}


def by_method(known: KnownSet, found: Mapping[str, ndarray]) -> dict[str, float]:
    """The share of some pictures that each method calls by itself, where it calls 5 % of the references."""
    references = known.outlying(known.domain)
    limit = {name: float(np.nanquantile(values, 1 - ALPHA)) for name, values in references.items()}
    return {f"only {name}": float((values[~np.isnan(values)] > limit[name]).mean()) for name, values in found.items()}


def bare(known: KnownSet) -> CombinedTest:
    """The test without what can be seen of pictures."""
    assert known.test
    outlying = known.outlying(known.domain)
    asked = {name: outlying[name] for name in known.test.methods if name not in SEEN}
    whole = np.all([np.isfinite(values) for values in asked.values()], axis=0)
    return CombinedTest({name: values[whole] for name, values in asked.items()})


def sets(output: EncoderOutput, known: KnownSet, datasets: Mapping[str, DatasetSpec], count: int) -> pd.DataFrame:
    """A line for each set: shares of verdicts, without what can be seen, and of each method by itself."""
    lines, without = [], bare(known)
    for name, dataset in datasets.items():
        given = named(dataset, count)
        checked = evidence.check_pictures(output, given, known).checked
        found = found_of(checked)
        stripped = [
            without({name: values[place] for name, values in found.items()}).p <= ALPHA for place in range(len(checked))
        ]
        lines.append(
            {"set": name, "pictures": len(checked)}
            | kinds(checked)
            | {"called": np.mean([item.findings.called for item in checked])}
            | {"called, bare": np.mean(stripped)}
            | by_method(known, found)
        )
        print(lines[-1], file=sys.stderr, flush=True)
    return pd.DataFrame(lines)


def own(known: KnownSet, draws: int = 10) -> pd.DataFrame:
    """Shares of one half of the references that are called, held against the other half, in so many draws."""
    assert known.test
    outlying = known.outlying(known.domain)
    values = {name: outlying[name] for name in known.test.methods}
    whole = np.flatnonzero(np.all([np.isfinite(column) for column in values.values()], axis=0))
    lines = []
    for draw in range(draws):
        order = np.random.default_rng(draw).permutation(whole)
        mine, theirs = order[: len(order) // 2], order[len(order) // 2 :]
        test = CombinedTest({name: column[mine] for name, column in values.items()})
        called = [test({name: column[place] for name, column in values.items()}).p <= ALPHA for place in theirs]
        lines.append({"draw": draw, "pictures": len(theirs), "called": np.mean(called)})
    return pd.DataFrame(lines)


def planted(output: EncoderOutput, known: KnownSet, given: Named) -> pd.DataFrame:
    """A line for each kind of disturbance: shares of verdicts, and how often the right kind is named where one is."""
    lines = []
    for kind in KINDS:
        checked = evidence.check_pictures(output, disturbed(given, kind), known, scores=False).checked
        said = [item for item in checked if item.verdict.kind is VerdictKind.DISTURBED]
        right = [item for item in said if AS_DISTURBED[kind] in item.verdict.headline]
        lines.append(
            {"kind": kind, "pictures": len(checked)}
            | kinds(checked)
            | {"named": len(said), "named right": len(right) / len(said) if said else np.nan}
        )
        print(lines[-1], file=sys.stderr, flush=True)
    return pd.DataFrame(lines)


def texts(output: EncoderOutput, known: KnownSet, given: Mapping[str, Named]) -> Iterator[str]:
    """What is said of some pictures, one after the other."""
    for title, pictures in given.items():
        for item in evidence.check_pictures(output, pictures, known).checked:
            yield f"- **{title}** ({item.name}): {item.verdict.kind}. {item.verdict.headline}"
            yield from (f"  {sentence}" for sentence in item.verdict.sentences)


def main() -> None:
    """Make the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="photo")
    parser.add_argument("--count", type=int, default=160)
    parser.add_argument("--pictures", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--sets", nargs="*", help="only these")
    parser.add_argument("--write", action="store_true", help="add the lines to docs/verdicts-*.csv")
    args = parser.parse_args()
    encoder, store = load_encoder(args.encoder), Store()
    load_all_shipped(store)
    output = EncoderOutput.of(encoder)
    given = {
        name: registry.with_pictures(name, Path(folder))
        for name, folder in (one.split("=", 1) for one in args.pictures)
    }
    bundled = {one.name: one for one in registry.list_datasets().values() if one.held_out and not one.listed}
    reference = given.get(output.spec.reference) or registry.get_dataset(output.spec.reference)
    known = load_complete(store, output, reference)
    assert known.test
    print(f"{known.test.size} references, methods {', '.join(known.test.methods)}", file=sys.stderr)
    chosen = {name: one for name, one in (bundled | given).items() if one.held_out and name != reference.name}
    chosen = {name: chosen[name] for name in args.sets or chosen}
    made = {"sets": sets(output, known, chosen, args.count), "own": own(known)}
    if not reference.listed or output.spec.reference in given:
        # Not among the references: nobody's disturbed copies are held against their originals.
        made["disturbed"] = planted(output, known, named(reference, args.count))
    for name, table in made.items():
        table.insert(0, "encoder", args.encoder)
        path = DOCS / f"verdicts-{name}.csv"
        if args.write:
            old = pd.read_csv(path) if path.exists() else table.iloc[:0]
            table = pd.concat([old[old["encoder"] != args.encoder], table])
            path.write_text(csv_text(table.round(4)), encoding="utf-8")
        else:
            print(f"\n{table.round(3).to_string(index=False)}")
    if args.write:
        titles = {name: one.title for name, one in chosen.items()}
        foreign = {titles[row["set"]]: round(row["called, bare"], 3) for row in made["sets"].to_dict("records")}
        rows = made["disturbed"].to_dict("records") if "disturbed" in made else []
        calm = str(VerdictKind.IN_DISTRIBUTION)
        write(args.encoder, TrackRecord(foreign, {row["kind"]: round(1 - row[calm], 3) for row in rows}))
    shown = {name: named(one, 1) for name, one in list(chosen.items())[:12]}
    if "disturbed" in made:
        shown |= {kind: disturbed(named(reference, 1), kind) for kind in KINDS}
    print("\n".join(texts(output, known, shown)))


if __name__ == "__main__":
    main()
