"""The tables beside docs/trust.md: `bench ood` on every bundled encoder's default output, method by domain.

    python benchmarks/trust.py

Writes docs/trust/*.csv, prints the summary as Markdown, and computes no score. The known set is the encoder's own
held-out one, the others are all other held-out sets, distances are fitted on the training set; nothing is tuned.
"""

import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.domains import markdown
from jepa_core.analysis import ood_benchmark
from jepa_core.analysis.methods import METHODS
from jepa_core.analysis.spectrum_bands import SpectrumBands, spectrum_bands_between
from jepa_core.datasets.registry import list_datasets
from jepa_core.encoders.registry import list_encoders
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.store import shipped
from jepa_core.store.results import Store

OUT = Path(__file__).resolve().parent.parent / "docs" / "trust"


def kind_of(found: SpectrumBands) -> str:
    """Which end separates, in a word or two, and which is upside down."""
    down = [name for name, end in (("head", found.head), ("tail", found.tail)) if end.separates and end.auroc < 0.5]
    return (found.separating or "neither") + (f" ({' and '.join(down)} upside down)" if down else "")


def ends_row(domain: str, found: SpectrumBands) -> dict[str, object]:
    """The AUROC of the largest and of the smallest quarter of the spectrum on one domain, with their intervals."""
    row: dict[str, object] = {"domain": domain}
    for name, end in (("largest", found.head), ("smallest", found.tail)):
        row |= {f"{name}_auroc": end.auroc, f"{name}_low": end.low, f"{name}_high": end.high}
    return row | {"separates": kind_of(found)}


def counted(detection: pd.DataFrame) -> pd.DataFrame:
    """How each encoder's methods fared over all domains."""
    rows = []
    for (encoder, method), part in detection.groupby(["encoder", "method"], sort=False):
        rows.append(
            {
                "encoder": encoder,
                "method": method,
                "title": METHODS[str(method)],
                "sets": len(part),
                "mean_auroc": part["auroc"].mean(),
                "at_least_0.8": (part["auroc"] >= 0.8).sum(),
                "surely_below_0.5": (part["auroc_high"] < 0.5).sum(),
            }
        )
    return pd.DataFrame(rows)


def in_words(summary: pd.DataFrame) -> pd.DataFrame:
    """The summary as docs/trust.md shows it, an encoder a row."""
    text = [
        f"{row.mean_auroc:.2f} ({clear}, {down})"
        for row, clear, down in zip(
            summary.itertuples(), summary["at_least_0.8"], summary["surely_below_0.5"], strict=True
        )
    ]
    wide = summary.assign(cell=text).pivot(index=["encoder", "sets"], columns="title", values="cell")
    return wide[list(METHODS.values())].reset_index().rename_axis(columns=None).astype(str)


def main() -> None:
    """Judge every encoder's known set against all others, and write what was found."""
    store = Store()
    for problem in shipped.load_all_shipped(store):
        print(problem)
    detection, quarters = [], []
    for spec in list_encoders().values():
        output, known = EncoderOutput.of(spec), spec.reference
        others = [name for name, one in list_datasets().items() if one.held_out and name != known]
        for name in (spec.training, known, *others):
            ood_benchmark.measure_visible(store, output, name)
        found = ood_benchmark.benchmark(store, output, known, others, spec.training)
        print(f"{spec.name}: {' '.join(found.notes)}")
        named = {"encoder": spec.name, "output": output.name, "known": known}
        detection.append(found.table.assign(**named)[[*named, *found.table.columns]])
        quarters += [named | ends_row(name, spectrum_bands_between(store, output, known, name)) for name in others]
    tables = {"detection": pd.concat(detection), "spectrum_quarters": pd.DataFrame(quarters)}
    tables["summary"] = counted(tables["detection"])
    OUT.mkdir(exist_ok=True)
    for name, table in tables.items():
        table.to_csv(OUT / f"{name}.csv", index=False, float_format="%.4g")
    print(markdown(in_words(tables["summary"])))


if __name__ == "__main__":
    main()
