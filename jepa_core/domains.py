"""How the scores of several domains lie beside a reference domain: medians, quartiles, and how well they separate.

A domain is a named set of images. Its images are the outliers (the positives of AUROC), the reference's the inliers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy import ndarray

from jepa_core import ways
from jepa_core.detectors.knn import KNN
from jepa_core.encoders import EncoderSpec
from jepa_core.metrics import auroc, fpr95
from jepa_core.reference import percentile
from jepa_core.scoring import config_of
from jepa_core.store import Store
from jepa_core.ways import Way

# AUROC from which on the score is said to tell a domain apart, and the band around chance in which it hardly does.
_CLEAR = 0.8
_CHANCE = 0.1


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
    """One line a domain: counts, quartiles and separation from the reference.

    Columns: domain, images, estimated (how many scores are estimates), median, q25, q75, median_percentile (where the
    domain's median falls in the reference), and AUROC and FPR95 of: the JEPA-SCORE, the score with the Gaussian term,
    and the distance to the 10th nearest training
    embedding (missing without `training`). The reference's own line has no AUROC.
    """
    # A training image is its own neighbour, so distances to the training set say nothing about that set.
    usable = training is not None and len(training.table) >= KNN().k and reference.name != training.name
    knn = KNN().fit(training.embeddings) if training and usable else None
    methods = {
        "jepa": lambda domain: -domain.table["jepa_score"].to_numpy(),
        "gaussian": lambda domain: -domain.table["gaussian_score"].to_numpy(),
    }
    if knn:
        methods["knn"] = lambda domain: knn.score(domain.embeddings)
    inliers = {name: method(reference) for name, method in methods.items()}
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
            "median_percentile": percentile(np.array([np.median(scores)]), -inliers["jepa"])[0],
        }
        if domain.name != reference.name:
            for name, method in methods.items():
                if name == "knn" and training and domain.name == training.name:
                    continue
                outliers = method(domain)
                line[f"auroc_{name}"] = auroc(inliers[name], outliers)
                line[f"fpr95_{name}"] = fpr95(inliers[name], outliers)
        lines.append(line)
    return pd.DataFrame(lines)


def in_words(table: pd.DataFrame, reference: str) -> str:
    """The table in plain sentences: which domains the score tells from the reference, and which it does not."""
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
            sentences.append(sentence.format(_listed(named), reference))
    words = " ".join(sentences).replace("It", "The score", 1)
    if "auroc_knn" in others:
        better = others.loc[others["auroc_knn"] > found + 0.05, "domain"].tolist()
        if better:
            words += f" The distance to the 10th nearest training image does better on {_listed(better)}."
    return words


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
