"""The tables of docs/trust.md: `bench ood` on every bundled encoder's default output, method by domain.

    python benchmarks/trust.py

Prints Markdown and computes no score. The known set is the encoder's own held-out one, the others are all other
held-out sets, distances are fitted on the training set; nothing is tuned.
"""

import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.domains import markdown
from jepa_core.analysis import ood_benchmark
from jepa_core.analysis.methods import METHODS
from jepa_core.analysis.separation import column_with_interval
from jepa_core.analysis.spectrum_bands import SpectrumBands, spectrum_bands_between
from jepa_core.datasets.registry import list_datasets
from jepa_core.encoders.registry import list_encoders
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.stats.metrics import METRICS
from jepa_core.store import shipped
from jepa_core.store.results import Store
from jepa_core.wording import with_interval


def pivoted(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One metric of a benchmark as texts, a row a domain and a column a method."""
    cells = table.assign(cell=column_with_interval(table, metric)).pivot(
        index="domain", columns="method", values="cell"
    )
    wide = cells.loc[table["domain"].unique(), list(METHODS)].rename(columns=METHODS)
    if metric == "aupr":
        chance = table.drop_duplicates("domain").set_index("domain")["chance_aupr"]
        wide.insert(0, "chance", chance.map("{:.2f}".format))
    return wide.reset_index().rename_axis(columns=None)


def kind_of(found: SpectrumBands) -> str:
    """Which end separates, in a word or two, and which is upside down."""
    down = [name for name, end in (("head", found.head), ("tail", found.tail)) if end.separates and end.auroc < 0.5]
    return (found.separating or "neither") + (f" ({' and '.join(down)} upside down)" if down else "")


def counted(found: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """How each encoder's methods fared over all domains, as texts."""
    rows = []
    for name, table in found.items():
        row = {"encoder": name, "sets": str(table["domain"].nunique())}
        for method, part in table.groupby("method", sort=False):
            clear, down = (part["auroc"] >= 0.8).sum(), (part["auroc_high"] < 0.5).sum()
            row[METHODS[str(method)]] = f"{part['auroc'].mean():.2f} ({clear}, {down})"
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    """Print three tables for each encoder, then which end of the spectrum separates which domain, then a summary."""
    every: dict[str, pd.DataFrame] = {}
    store = Store()
    for problem in shipped.load_all_shipped(store):
        print(problem)
    for spec in list_encoders().values():
        others = [name for name, one in list_datasets().items() if one.held_out and name != spec.reference]
        found = ood_benchmark.benchmark(store, EncoderOutput.of(spec), spec.reference, others, spec.training)
        every[spec.name] = found.table
        seconds = found.table.groupby("method")["seconds"].median()
        print(f"\n### {spec.name}, {spec.default_output}; known: {spec.reference}\n")
        print(" ".join(found.notes))
        print(
            "\nSeconds an image, median over the domains: "
            + ", ".join(f"{title} {seconds[name]:.0e}" for name, title in METHODS.items())
            + "."
        )
        for metric in METRICS:
            print(f"\n**{metric.upper()}**\n\n{markdown(pivoted(found.table, metric))}")
        rows = []
        for name in others:
            one = spectrum_bands_between(store, EncoderOutput.of(spec), spec.reference, name)
            quarters = {
                f"{title} quarter": with_interval(end.auroc, end.low, end.high)
                for title, end in (("largest", one.head), ("smallest", one.tail))
            }
            rows.append({"domain": name} | quarters | {"what separates": kind_of(one)})
        print(f"\n**Which end of the spectrum separates (AUROC)**\n\n{markdown(pd.DataFrame(rows))}")
    print(
        "\n### All encoders: mean AUROC over the sets (on how many it is at least 0.8, on how many surely below 0.5)\n"
    )
    print(markdown(counted(every)))


if __name__ == "__main__":
    main()
