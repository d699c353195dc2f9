"""Scores out of the store: the one way from what it holds of a dataset to a table. No encoder is loaded.

The table has a line for each scored image, in the order of the dataset. A full score stands before an estimate.
"""

import numpy as np
import pandas as pd

from jepa_core.jacobian import spectrum
from jepa_core.jacobian.score_variants import VARIANTS
from jepa_core.jacobian.spectrum import Rank
from jepa_core.scoring import precision
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.looks import estimates_config, progressed
from jepa_core.scoring.method import ScoringMethod
from jepa_core.scoring.old_estimates import old_estimates_config
from jepa_core.store import sketches
from jepa_core.store.records import Estimate, Member, ResultConfig, Rows
from jepa_core.store.results import Store

_NO_ROWS = Rows([], np.empty((0, 0), dtype=np.float32), np.empty(0), np.empty(0), [])
_IN_WORDS = {"fp32": "float32", "tf32": "TensorFloat-32", "bf16": "bfloat16"}


def stored_scores(
    store: Store, output: EncoderOutput, dataset: str, method: ScoringMethod | None = None
) -> pd.DataFrame:
    """What the store holds of a dataset by a method, full float32 scores for None; empty before anything is scored.

    Columns beside those of `score_table`: estimated, low and high (an estimate's 90 % interval; a full score is its own
    interval). An estimate has no listing score and no score of a part of the spectrum (NaN): those are made of singular
    values.
    """
    method = precision.resolved(store, output, dataset, method or ScoringMethod())
    exact = output.config(method.decided)
    blocks = [score_table(rows, output.rank, method.decided) for rows in store.row_blocks(exact, dataset)]
    full = pd.concat(blocks, ignore_index=True) if blocks else score_table(_NO_ROWS, output.rank, method.decided)
    full = full.assign(estimated=False, low=full["jepa_score"], high=full["jepa_score"])
    if method.name == "exact":
        return full
    known = set(full["name"])
    rows = [
        {
            "name": member.name,
            "label": member.label,
            "position": member.position,
            "digest": member.digest,
            **{f"{name}_score": np.nan for name in VARIANTS},
            "jepa_score": estimate.score,
            "gaussian_score": estimate.score - 0.5 * estimate.squared_norm,
            "squared_norm": estimate.squared_norm,
            "seconds": estimate.seconds,
            "device": estimate.device,
            "rank_disagrees": False,
            "estimated": True,
            "low": estimate.low,
            "high": estimate.high,
        }
        for member, estimate in _estimates(store, output, exact, dataset)
        if member.name not in known
    ]
    if not rows:
        return full
    both = pd.concat([full, pd.DataFrame(rows)]) if len(full) else pd.DataFrame(rows)
    return both.sort_values("position", kind="stable", ignore_index=True)


def scored(
    store: Store, output: EncoderOutput, dataset: str, method: ScoringMethod | None = None
) -> dict[str, tuple[str, bool]]:
    """The images of a dataset that `stored_scores` has: name -> (digest, whether its score is an estimate)."""
    method = precision.resolved(store, output, dataset, method or ScoringMethod())
    exact = output.config(method.decided)
    found: dict[str, tuple[str, bool]] = {}
    if method.name != "exact":
        estimated = _estimates(store, output, exact, dataset)
        found = {member.name: (member.digest, True) for member, _estimate in estimated}
    return found | {name: (digest, False) for name, digest in store.scored(exact, dataset).items()}


def _estimates(store: Store, output: EncoderOutput, exact: ResultConfig, dataset: str) -> list[tuple[Member, Estimate]]:
    """The estimates of a dataset; those of an earlier version where there are no others."""
    found = sketches.estimates(store, estimates_config(output, exact.precision, dataset), dataset)
    if found:
        return found
    old = old_estimates_config(store, output, exact, dataset)
    return sketches.estimates(store, old, dataset) if old else []


def score_table(rows: Rows, rank: Rank, precision: str = "fp32") -> pd.DataFrame:
    """Scores derived from stored rows: one line an image, in the order of the dataset.

    Columns: name, label, position, digest, NAME_score of each variant (`jepa_core.jacobian.score_variants`; jepa_score
    is Eq. 5), squared_norm, seconds, device, and rank_disagrees (True where the spectrum does not have the encoder's
    rank; with less than float32, whose noise hides what the rank leaves out, never).
    """
    spectra = rows.spectra if rows.members else np.ones((0, rank.rank), dtype=np.float32)
    return pd.DataFrame(
        {
            "name": [member.name for member in rows.members],
            "label": [member.label for member in rows.members],
            "position": [member.position for member in rows.members],
            "digest": [member.digest for member in rows.members],
        }
        | {f"{name}_score": variant.score(spectra, rank.rank, rows.squared_norm) for name, variant in VARIANTS.items()}
        | {
            "squared_norm": rows.squared_norm,
            "seconds": rows.seconds,
            "device": rows.device,
            "rank_disagrees": spectrum.disagrees(spectra, rank.rank) & (precision == "fp32"),
        }
    )


def in_words(store: Store, output: EncoderOutput, dataset: str, method: ScoringMethod, table: pd.DataFrame) -> str:
    """One sentence on a table of `stored_scores`: which are estimates, what they are worth, and in which precision."""
    name = _IN_WORDS[method.decided]
    estimated = int(table["estimated"].sum())
    if not estimated:
        return f"Full scores in {name}."
    come = progressed(store, output, method.decided, dataset)
    products = f"a forward pass and {come.rows} of {output.k} products" if come.rows else "one forward pass"
    checked = (
        f"{come.drawn} images drawn at random were scored fully to check them"
        + (f" (Spearman {come.fidelity:.3f} with their full scores)" if come.fidelity else "")
        if come.drawn
        else "no image of this set was scored fully to check them yet"
    )
    return (
        f"{estimated} of {len(table)} scores are estimates by {products} an image ({name}), each with a 90 % interval; "
        f"{checked}. The others are full scores."
    )
