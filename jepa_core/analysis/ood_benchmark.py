"""The benchmark of detection: how well each method tells a known set of images from others, and what it costs.

Everything is read from the store, so the tables that ship with the project are enough. Nothing is tuned on any set, and
only held-out images are judged.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from jepa_core.analysis.methods import LEAST_FIT, METHODS, Domain, FittedMethods, load_domain
from jepa_core.analysis.separation import column_with_interval
from jepa_core.confounds import measure
from jepa_core.datasets import registry
from jepa_core.detectors import DETECTORS
from jepa_core.errors import JepaError, NotEnoughData
from jepa_core.progress import Progress, silent
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.stored import stored_scores
from jepa_core.stats.metrics import METRICS, separation
from jepa_core.store.results import Store


@dataclass(frozen=True, eq=False)
class Benchmark:
    """A `table` of method x domain, and `notes`: sentences on what it was made of."""

    table: pd.DataFrame
    notes: list[str]


def benchmark(store: Store, output: EncoderOutput, known: str, others: Sequence[str], fit: str = "") -> Benchmark:
    """Judge the images of `others` against those of `known` by every method of `METHODS`.

    A method has a line for each set of whose images the store has what it reads. Columns: domain, images (outliers),
    known (inliers), method, title; auroc, fpr95 and aupr (outliers are the
    positives), each with its bootstrap interval in _low and _high; chance_aupr, the outliers' share of all images,
    which is the AUPR of a coin; seconds an image, and seconds_are. These are "stored" for a variant of the score (what
    the Jacobian took where the image was scored, the embedding's pass included) and "measured" for a detector (here
    and now, beyond the embedding and the fit).

    Args:
        store: where full float32 scores and embeddings are.
        output: of an encoder.
        known: the set whose images are the inliers.
        others: the sets whose images are the outliers. Images that are in the known set too, or that the encoder was
            trained or a detector was fitted on, are left out.
        fit: the set that detectors are fitted on; "" for none, and then only those are used that need no fit.

    Raises:
        JepaError: where the known set has images that the encoder was trained or the detectors are fitted on.
        NotEnoughData: where a set has no scores or too few to fit on, or no image is left of one.
    """
    inliers = _loaded(store, output, known)
    training = _loaded(store, output, fit) if fit else None
    trained_on = output.spec.training
    trained = {member.digest for member in store.members(trained_on)} if trained_on else set()
    for name, digests in ((fit, set(training.table["digest"]) if training else set()), (trained_on, trained)):
        if shared := int(inliers.among(digests).sum()):
            raise JepaError(
                f"The known set {known!r} shares {shared} of its {len(inliers.table)} images with {name!r}, which "
                f"{output.spec.name} was trained or its distances are fitted on; a set of held-out images is accepted; "
                "choose another with --known or --fit."
            )
    if training and len(training.table) < LEAST_FIT:
        raise NotEnoughData(
            f"The distances were given the {len(training.table)} scored images of {fit!r} to be fitted on; at least "
            f"{LEAST_FIT} are needed; score more of them, or choose another set with --fit."
        )
    fitted = FittedMethods(training)
    notes = ["There are no distances: no set to fit them on was named; name one with --fit."]
    if training:
        notes = [f"Distances are fitted on the {len(training.table)} images of {fit}, none of them judged."]
    lines = []
    for name in others:
        domain = _loaded(store, output, name)
        left = ~domain.among(set(inliers.table["digest"]) | fitted.seen | trained)
        if not left.all():
            notes.append(
                f"{(~left).sum()} of {len(left)} images of {name} are left out: they are in {known} too, or the "
                "encoder was trained or a distance was fitted on them."
            )
        if not left.any():
            raise NotEnoughData(f"No image of {name!r} is left to judge; a set of other images is accepted.")
        lines += _lines(fitted, inliers, domain.only(left))
    return Benchmark(pd.DataFrame(lines), notes)


def measure_visible(store: Store, output: EncoderOutput, name: str, progress: Progress = silent) -> None:
    """Take the visible measures of a set's scored pictures that have none, where these are at hand."""
    dataset = registry.get_dataset(name)
    if not dataset.listed:
        table = stored_scores(store, output, dataset.name)
        measure.measure_missing(store, output.spec, dataset, table, progress, family=measure.VISIBLE)


def _lines(fitted: FittedMethods, inliers: Domain, outliers: Domain) -> list[dict[str, object]]:
    """One for each method that can judge."""
    stored = float(np.median(np.concatenate([one.table["seconds"] for one in (inliers, outliers)])))
    lines = []
    for method in fitted.methods:
        start = time.perf_counter()
        foreign = fitted.outlying(method, outliers)
        seconds = (time.perf_counter() - start) / len(foreign)
        measured = method in DETECTORS
        known = fitted.outlying(method, inliers)
        foreign, known = foreign[~np.isnan(foreign)], known[~np.isnan(known)]
        if not (len(foreign) and len(known)):  # what it reads was never taken of these images
            continue
        lines.append(
            {"domain": outliers.name, "images": len(foreign), "known": len(known)}
            | {"method": method, "title": METHODS[method]}
            | separation(known, foreign)
            | {
                "chance_aupr": len(foreign) / (len(foreign) + len(known)),
                "seconds": seconds if measured else stored,
                "seconds_are": "measured" if measured else "stored",
            }
        )
    return lines


def _loaded(store: Store, output: EncoderOutput, name: str) -> Domain:
    domain = load_domain(store, output, name)
    if domain.table.empty:
        raise NotEnoughData(
            f"The store has no full scores of {name!r} for encoder {output.spec.name!r}, output {output.name!r}; a "
            f"scored set is accepted; run 'python -m jepa_core score --encoder {output.spec.name} "
            f"--output {output.name} --data {name}' first."
        )
    return domain


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """A benchmark's table as texts, for people: each figure with its interval."""
    return pd.DataFrame(
        {"domain": table["domain"], "images": table["images"].astype(str), "method": table["title"]}
        | {metric.upper(): column_with_interval(table, metric) for metric in METRICS}
        | {"chance AUPR": table["chance_aupr"].map("{:.2f}".format)}
        | {"seconds an image": table["seconds"].map("{:.1e}".format) + " " + table["seconds_are"]}
    )
