"""How well encoders' scores and distances separate domains: `python benchmarks/domains.py [--encoder E]`.

Prints Markdown and computes no score: it reads the tables that ship with the project, and what the store holds. The
reference is the encoder's own held-out part, distances are fitted on its training part alone, and nothing is tuned on
any of the sets. Then the two claims about several encoders: whether they agree, and what a larger training set changes.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jepa_core.analysis import agreement, training_size
from jepa_core.analysis.methods import COMPARED, METHODS, Domain, load_domain
from jepa_core.analysis.separation import column_with_interval, distances_in_words, domain_table, in_words
from jepa_core.datasets.registry import list_datasets
from jepa_core.encoders.registry import list_encoders
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.stored import stored_scores
from jepa_core.store import shipped
from jepa_core.store.results import Store

LEAST = 300  # images of a domain, where it has so many: fewer make intervals too wide to say anything


def markdown(table: pd.DataFrame) -> str:
    """A table of texts as Markdown."""
    rows = [list(table.columns), ["---"] * len(table.columns), *table.fillna("-").astype(str).values.tolist()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


Known = dict[tuple[str, str], dict[str, pd.DataFrame]]
"""(encoder, output) -> dataset -> score table."""


def scores_by_domain(store: Store, spec: EncoderSpec, output: str) -> dict[str, pd.DataFrame]:
    """The score tables of all datasets that have enough of their images scored, in full float32."""
    found = {name: stored_scores(store, EncoderOutput(spec, output), name) for name in list_datasets()}
    return {name: table for name, table in found.items() if len(table) >= min(LEAST, len(list_datasets()[name]))}


def show_separation(store: Store, spec: EncoderSpec, output: str, known: dict[str, pd.DataFrame]) -> None:
    """Print the table of one encoder and output, and what it says in words."""
    print(f"\n## {spec.name}, {output}\n")
    if spec.reference not in known:
        print(f"Left out: its reference {spec.reference or '(none is named)'} has too few scores here.")
        return
    domains: dict[str, Domain] = {name: load_domain(store, EncoderOutput(spec, output), name) for name in known}
    reference, training = domains[spec.reference], domains.get(spec.training)
    table = domain_table(list(domains.values()), reference, training)
    columns = {"domain": table["domain"], "images": table["images"]}
    for measure in ("auroc", "fpr95"):
        columns |= {
            f"{measure.upper()} {METHODS[method]}": column_with_interval(table, f"{measure}_{method}")
            for method in COMPARED
        }
    columns |= {
        f"percentile {METHODS[method]}": [
            None if np.isnan(value) else f"{value:.0f}" for value in table[f"percentile_{method}"]
        ]
        for method in COMPARED
    }
    print(markdown(pd.DataFrame(columns)))
    said = " ".join(in_words(table, spec.reference))
    print(
        f"\nOutliers against {spec.reference}; in brackets 90 % intervals; percentiles are those of the domain's "
        f"median in {spec.reference}. {distances_in_words(spec, reference, training)} {said}"
    )


def show_agreement(known: Known, specs: Sequence[EncoderSpec]) -> None:
    """Print whether encoders agree on the references, pair by pair."""
    for one, other in combinations(specs, 2):
        for output in (output for output in one.outputs if output in other.outputs):
            first, second = (known[spec.name, output] for spec in (one, other))
            for name in dict.fromkeys((one.reference, other.reference)):
                if name in first and name in second:
                    found = agreement.agreement(first[name], second[name])
                    words = agreement.in_words(found, one.name, other.name)
                    print(f"- {output}, {name}: {words} ({agreement.relation(one, other)})")


def show_training_sizes(known: Known, specs: Sequence[EncoderSpec]) -> None:
    """Print what a larger training set changed on held-out sets, for each pair of encoders and each output."""
    for pair in training_size.pairs(specs):
        for output in (output for output in pair.larger.outputs if output in pair.smaller.outputs):
            smaller, larger = (
                {name: table for name, table in known[spec.name, output].items() if list_datasets()[name].held_out}
                for spec in (pair.smaller, pair.larger)
            )
            reference = pair.larger.reference
            if reference in smaller and reference in larger:
                table = training_size.compare(smaller, larger, reference)
                print(f"- {output}: {training_size.in_words(table, pair, reference)}")


def main() -> None:
    """Print a table for each encoder and output, then what the encoders say of each other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", choices=list(list_encoders()), help="only this one")
    args = parser.parse_args()
    store = Store()
    for problem in shipped.load_all_shipped(store):
        print(problem)
    specs = [spec for spec in list_encoders().values() if args.encoder in (None, spec.name)]
    known: Known = {
        (spec.name, output): scores_by_domain(store, spec, output) for spec in specs for output in spec.outputs
    }
    for spec in specs:
        for output in spec.outputs:
            show_separation(store, spec, output, known[spec.name, output])
    if len(specs) > 1:
        print("\n## Do encoders agree?\n")
        show_agreement(known, specs)
        print("\n## Does a larger training set make foreign images less likely?\n")
        show_training_sizes(known, specs)


if __name__ == "__main__":
    main()
