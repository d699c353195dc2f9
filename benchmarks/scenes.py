"""Which kinds of photographs are far from what an encoder knows: every method on every class of scenes-test.

    python benchmarks/scenes.py

Writes docs/trust/scenes.csv, prints it as Markdown and computes no score. The inliers are the encoder's own held-out
set, the outliers the tiles of one photograph, distances are fitted on the training set; nothing is tuned.
"""

import sys
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.domains import markdown
from jepa_core.analysis.methods import METHODS, Domain, FittedMethods, load_domain
from jepa_core.encoders.registry import list_encoders
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.stats.metrics import separation
from jepa_core.store import shipped
from jepa_core.store.results import Store

OUT = Path(__file__).resolve().parent.parent / "docs" / "trust" / "scenes.csv"
SCENES = "scenes-test"
SHOWN = ("jepa", "gaussian", "knn", "mahalanobis")


def judged(store: Store, output: EncoderOutput) -> list[dict[str, object]]:
    """A row for each class and method: AUROC, FPR95 and AUPR of its tiles against the encoder's own held-out set."""
    spec = output.spec
    known, tiles = load_domain(store, output, spec.reference), load_domain(store, output, SCENES)
    fitted = FittedMethods(load_domain(store, output, spec.training))
    inliers = {method: fitted.outlying(method, known) for method in fitted.methods}
    named = {"encoder": spec.name, "output": output.name, "known": known.name, "inliers": len(known.table)}
    return [
        named
        | {"class": label, "tiles": len(part.table), "method": method, "title": METHODS[method]}
        | separation(inliers[method], fitted.outlying(method, part))
        for label, part in by_class(tiles).items()
        for method in fitted.methods
    ]


def by_class(tiles: Domain) -> dict[str, Domain]:
    """The tiles of each photograph, and all of them together."""
    labels = tiles.table["label"]
    return {label: tiles.only((labels == label).to_numpy()) for label in sorted(labels.unique())} | {"all": tiles}


def in_words(table: pd.DataFrame) -> pd.DataFrame:
    """A class a row and an encoder a column, with the AUROC of the methods in `SHOWN`; ".5" is chance."""
    text = table.assign(cell=[f"{value:.2f}".removeprefix("0") for value in table["auroc"]])
    wide = text.pivot(index=["class", "tiles", "encoder", "output"], columns="method", values="cell")
    cells = wide[list(SHOWN)].agg(" / ".join, axis=1).unstack(["encoder", "output"])
    cells.columns = [f"{encoder}, {output}" for encoder, output in cells.columns]
    order = list(dict.fromkeys(zip(table["encoder"], table["output"], strict=True)))
    return cells[[f"{encoder}, {output}" for encoder, output in order]].reset_index().astype(str)


def main() -> None:
    """Judge the photographs by every encoder's shipped outputs, and write what was found."""
    store = Store()
    for problem in shipped.load_all_shipped(store):
        print(problem)
    rows = []
    for spec in list_encoders().values():
        for output in spec.outputs:
            if shipped.shipped_path(spec, output).exists():
                rows += judged(store, EncoderOutput.of(spec, output))
    table = pd.DataFrame(rows)
    table.to_csv(OUT, index=False, float_format="%.4g")
    print(f"AUROC of {', '.join(METHODS[method] for method in SHOWN)}\n\n{markdown(in_words(table))}")


if __name__ == "__main__":
    main()
