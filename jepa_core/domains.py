"""How the scores of several domains lie beside a reference domain: percentiles, and how well they separate.

A domain is a named set of images. Its images are the outliers (the positives of AUROC), the reference's the inliers.
Two scores and two distances are judged side by side, since they fail on different domains.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy import ndarray

from jepa_core import ways
from jepa_core.detectors.knn import KNN
from jepa_core.detectors.mahalanobis import Mahalanobis
from jepa_core.metrics import auroc, fpr95, interval, resampled
from jepa_core.reference import percentile
from jepa_core.scoring import config_of
from jepa_core.specs import EncoderSpec
from jepa_core.store import Store
from jepa_core.ways import Way

METHODS = {
    "jepa": "JEPA-SCORE",
    "gaussian": "with Gaussian term",
    "knn": "10-NN distance",
    "mahalanobis": "Mahalanobis distance",
}
"""The four methods of a `domain_table`, by the ending of their columns. The distances need the training set."""

_SCORES = {"jepa": "jepa_score", "gaussian": "gaussian_score"}
# AUROC from which on the score is said to tell a domain apart, and the band around chance in which it hardly does.
_CLEAR = 0.8
_CHANCE = 0.1
# What a distance has to gain before it is said to do better: less would change no decision.
_GAIN = 0.05


@dataclass(frozen=True)
class Domain:
    """The stored scores of a domain: `name`, its score table, and its embeddings (n, K)."""

    name: str
    table: pd.DataFrame
    embeddings: ndarray


def load_domain(store: Store, spec: EncoderSpec, output: str, name: str, way: Way | None = None) -> Domain:
    """What the store holds of a domain; empty if nothing."""
    table = ways.scores(store, spec, output, name, way or Way())
    return Domain(name, table, store.embeddings(config_of(spec, output).space, table["digest"].tolist()))


def domain_table(domains: Sequence[Domain], reference: Domain, training: Domain | None) -> pd.DataFrame:
    """One line a domain: counts, quartiles, where its median falls in the reference, and the separation from it.

    Columns: domain, images, estimated (how many scores are estimates), median, q25 and q75 of the JEPA-SCORE; then for
    each method M of `METHODS` percentile_M, that of the domain's median in the reference (low: unlikely, but for a
    distance high: far), auroc_M and fpr95_M, each with its bootstrap interval in _low and _high.

    The reference's own line has no AUROC. The distances are fitted on `training`, and no image of it is judged by
    them: what is left without a value is NaN, and `distances_in_words` says why.
    """
    judges = _judges(reference, training)
    normal = {name: judge(reference) for name, judge in judges.items()}
    lines = []
    for domain in domains:
        scores = domain.table["jepa_score"].to_numpy()
        line: dict[str, object] = {
            "domain": domain.name,
            "images": len(scores),
            "estimated": int(domain.table["estimated"].sum()),
            "median": np.median(scores),
            "q25": np.quantile(scores, 0.25),
            "q75": np.quantile(scores, 0.75),
        }
        for name in METHODS:
            outlying = judges[name](domain) if name in judges else np.empty(0)
            line |= _compared(name, normal.get(name), outlying, itself=domain.name == reference.name)
        lines.append(line)
    return pd.DataFrame(lines)


def _compared(method: str, inliers: ndarray | None, outlying: ndarray, *, itself: bool) -> dict[str, float]:
    """A method's columns for one domain, from outlier scores of the reference and of the domain; NaN without them."""
    measured = [f"{metric}_{method}" for metric in ("auroc", "fpr95")]
    line = dict.fromkeys(
        [f"percentile_{method}", *(c + end for c in measured for end in ("", "_low", "_high"))], np.nan
    )
    if inliers is None or not outlying.size:
        return line
    # A score's outlier score is its negative: turned back, a low percentile is unlikely.
    sign = -1.0 if method in _SCORES else 1.0
    line[f"percentile_{method}"] = float(percentile(np.array([np.median(sign * outlying)]), sign * inliers)[0])
    if not itself:
        drawn = resampled(inliers, outlying)
        for column, metric, draws in zip(measured, (auroc, fpr95), drawn, strict=True):
            line[column] = metric(inliers, outlying)
            line[f"{column}_low"], line[f"{column}_high"] = interval(draws)
    return line


def _judges(reference: Domain, training: Domain | None) -> dict[str, Callable[[Domain], ndarray]]:
    """Each method's outlier scores of a domain, as functions; of the distances only if they can be measured."""
    judges: dict[str, Callable[[Domain], ndarray]] = {
        name: partial(_negative, column) for name, column in _SCORES.items()
    }
    if training is not None and not _no_distances(reference, training):
        known = set(training.table["digest"])
        for name, detector in (("knn", KNN()), ("mahalanobis", Mahalanobis())):
            judges[name] = partial(_distances, detector.fit(training.embeddings), known)
    return judges


def _negative(column: str, domain: Domain) -> ndarray:
    return -domain.table[column].to_numpy()


def _unseen(domain: Domain, known: set[str]) -> ndarray:
    """Which images of a domain are not among the training images, by their digests."""
    return ~domain.table["digest"].isin(known).to_numpy()


def _distances(detector: KNN | Mahalanobis, known: set[str], domain: Domain) -> ndarray:
    # A training image is its own neighbour, and the covariance has bent to it: to judge it would be leakage.
    unseen = domain.embeddings[_unseen(domain, known)]
    return detector.score(unseen) if len(unseen) else np.empty(0)


def _no_distances(reference: Domain, training: Domain) -> str:
    """Why distances to the training set cannot be compared with the reference's; "" if they can."""
    if len(training.table) < KNN().k:
        return f"{len(training.table)} training images have scores here, and at least {KNN().k} are needed"
    if not _unseen(reference, set(training.table["digest"])).any():
        return "the reference is the set that they would be fitted on"
    return ""


def distances_in_words(spec: EncoderSpec, reference: Domain, training: Domain | None) -> str:
    """One sentence: what the distances of a `domain_table` are fitted on, or why it has none."""
    if not spec.training:
        reason = "the images that this encoder was trained on are not among the datasets here"
    elif training is None:
        reason = "the images that this encoder was trained on have no scores here"
    else:
        reason = _no_distances(reference, training)
    if reason:
        return f"There are no distances: {reason}."
    assert training is not None
    return f"Distances are to the {len(training.table)} images of {training.name}, none of them judged."


def in_words(table: pd.DataFrame, reference: str) -> str:
    """The table in plain sentences: which domains the score tells from the reference, and which it does not.

    A distance is said to do better where its AUROC's interval lies above the score's and above chance.
    """
    others = table[table["domain"] != reference]
    if others.empty:
        return f"Choose another domain to compare with {reference}."
    found = others["auroc_jepa"]
    kinds = (
        (found >= _CLEAR, "It tells {} from {}."),
        ((found < _CLEAR) & (found > 0.5 + _CHANCE), "It tells {} from {} weakly."),
        ((found - 0.5).abs() <= _CHANCE, "It hardly tells {} from {}."),
        (found < 0.5 - _CHANCE, "It is upside down on {}: it finds them more likely than {}."),
    )
    sentences = []
    unit = "AUROC "  # said once
    for mask, sentence in kinds:
        if mask.any():
            named = []
            for name, value in zip(others["domain"][mask], found[mask], strict=True):
                named.append(f"{name} ({unit}{value:.2f})")
                unit = ""
            sentences.append(sentence.format(listed(named), reference))
    words = " ".join(sentences).replace("It", "The score", 1)
    titles = {"knn": "distance to the 10th nearest training image", "mahalanobis": METHODS["mahalanobis"]}
    for method, title in titles.items():
        low = others[f"auroc_{method}_low"]
        gains = (low > others["auroc_jepa_high"]) & (others[f"auroc_{method}"] > found + _GAIN)
        better = others.loc[gains & (low > 0.5), "domain"].tolist()
        if better:
            words += f" The {title} does better on {listed(better)}."
    return words


def with_interval(table: pd.DataFrame, column: str) -> pd.Series:
    """A column and its interval as text, "0.57 (0.53 to 0.61)"; None where there is no value."""
    return pd.Series(
        [
            None if np.isnan(value) else f"{value:.2f} ({low:.2f} to {high:.2f})"
            for value, low, high in zip(table[column], table[f"{column}_low"], table[f"{column}_high"], strict=True)
        ],
        index=table.index,
        dtype=object,
    )


def listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
