"""How well the bundled encoders' scores separate the bundled domains: `python benchmarks/domains.py [--encoder E]`.

Reads the score tables that ship with the project. The reference is the encoder's own held-out part, the distance
baseline is fitted on its training part, and nothing is tuned on any of the sets in the table.
"""

import argparse

import pandas as pd

from jepa_core import datasets, tables
from jepa_core.domains import domain_table, load_domain
from jepa_core.encoders import list_encoders
from jepa_core.store import Store


def main() -> None:
    """Print one table for each encoder and output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", choices=list(list_encoders()), help="only this one")
    args = parser.parse_args()
    store = Store()
    tables.load_all_shipped(store)
    pd.set_option("display.width", 200, "display.max_columns", 20)
    for spec in list_encoders().values():
        if args.encoder not in (None, spec.name):
            continue
        for output in spec.outputs:
            domains = [load_domain(store, spec, output, name) for name in datasets.list_datasets()]
            by_name = {domain.name: domain for domain in domains if len(domain.table)}
            if spec.reference not in by_name:
                continue
            table = domain_table(list(by_name.values()), by_name[spec.reference], by_name.get(spec.training))
            print(f"\n{spec.name}, {output}: outliers against {spec.reference}")
            print(table.to_string(index=False, float_format="{:.2f}".format, na_rep="-"))


if __name__ == "__main__":
    main()
