"""How the scores of several domains lie beside a reference domain: percentiles, and how well they separate.

A domain is a named set of images. Its images are the outliers (the positives of AUROC), the reference's the inliers.
The score and the baselines are judged side by side, since they fail on different domains.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy import ndarray

from jepa_core.analysis.methods import COMPARED, LEAST_FIT, Domain, FittedMethods
from jepa_core.detectors import DETECTORS
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.jacobian.score_variants import VARIANTS
from jepa_core.stats.conformal import percentile
from jepa_core.stats.metrics import COLUMN_ENDS, METRICS, separation
from jepa_core.wording import listed, with_interval

# AUROC from which on the score is said to tell a domain apart, and the band around chance in which it hardly does.
_CLEAR = 0.8
CHANCE = 0.1
# Distance of an AUROC from 0.5 from which on two sets hardly overlap.
_PERFECT = 0.45
# What another method has to gain before it is said to do better: less would change no decision.
GAIN = 0.05
_NAMED = 3  # sets; of more their number is said


class Inliers:
    """A reference as each method of `COMPARED` sees it, made once for many domains; detectors are fitted on `training`.

    `outlying` holds the reference's own outlier scores by method, `digests` its images.
    """

    def __init__(self, reference: Domain, training: Domain | None) -> None:
        self.fitted = FittedMethods(training)
        self.outlying = {
            method: self.fitted.outlying(method, reference) for method in COMPARED if method in self.fitted.methods
        }
        self.digests: set[str] = set(reference.table["digest"])


def domain_table(domains: Sequence[Domain], reference: Domain, training: Domain | None) -> pd.DataFrame:
    """A `domain_line` of each domain.

    The distances are fitted on `training`, and no image of it is judged by them: what is left without a value is NaN,
    and `distances_in_words` says why.
    """
    inliers = Inliers(reference, training)
    return pd.DataFrame([domain_line(domain, inliers) for domain in domains])


def domain_line(domain: Domain, inliers: Inliers) -> dict[str, object]:
    """A domain beside the reference: counts, quartiles, its median's place in the reference, and the separation.

    Columns: domain, images, estimated (how many scores are estimates), median, q25 and q75 of the JEPA-SCORE; then for
    each method M of `COMPARED` percentile_M, that of the domain's median in the reference (low: unlikely, but for a
    detector high: far), auroc_M, fpr95_M and aupr_M, each with its bootstrap interval in _low and _high.

    The reference's own line has no AUROC, and an image that is in the reference too is no outlier of another domain.
    """
    scores = domain.table["jepa_score"].to_numpy()
    line: dict[str, object] = {
        "domain": domain.name,
        "images": len(scores),
        "estimated": int(domain.table["estimated"].sum()),
        "median": np.median(scores),
        "q25": np.quantile(scores, 0.25),
        "q75": np.quantile(scores, 0.75),
    }
    foreign = ~domain.among(inliers.digests)  # none of the reference itself
    for method in COMPARED:
        normal = inliers.outlying.get(method, np.empty(0))
        outlying = inliers.fitted.outlying(method, domain) if method in inliers.outlying else np.empty(0)
        line |= _compared(method, normal, outlying, foreign)
    return line


def _compared(method: str, inliers: ndarray, outlying: ndarray, foreign: ndarray) -> dict[str, float]:
    """A method's columns for one domain, from outlier scores of the reference and of the domain; NaN without them."""
    columns = {f"{metric}{end}": f"{metric}_{method}{end}" for metric in METRICS for end in COLUMN_ENDS}
    line = dict.fromkeys([f"percentile_{method}", *columns.values()], np.nan)
    inliers, judged = inliers[~np.isnan(inliers)], ~np.isnan(outlying)
    if not inliers.size or not judged.any():
        return line
    # A score's outlier score is its negative: turned back, a low percentile is unlikely.
    sign = -1.0 if method in VARIANTS else 1.0
    median = np.array([np.median(sign * outlying[judged])])
    line[f"percentile_{method}"] = float(percentile(median, sign * inliers)[0])
    if (judged & foreign).any():
        found = separation(inliers, outlying[judged & foreign])
        line |= {columns[name]: value for name, value in found.items()}
    return line


def _no_distances(reference: Domain, training: Domain) -> str:
    """Why distances to the training set cannot be compared with the reference's; "" if they can."""
    if len(training.table) < LEAST_FIT:
        return f"{len(training.table)} training images have scores here, and at least {LEAST_FIT} are needed"
    if reference.among(set(training.table["digest"])).all():
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


def in_words(table: pd.DataFrame, reference: str) -> list[str]:
    """The table in plain sentences, one for each kind of answer: which domains the score tells from the reference.

    Another method is said to do better where its AUROC's interval lies above the score's and above chance.
    """
    others = table[table["auroc_jepa"].notna()]
    if others.empty:
        return [f"Choose another domain to compare with {reference}."]
    found = others["auroc_jepa"]
    kinds = (
        (found >= _CLEAR, "It tells {} from {}."),
        ((found < _CLEAR) & (found > 0.5 + CHANCE), "It tells {} from {} weakly."),
        ((found - 0.5).abs() <= CHANCE, "It hardly tells {} from {}."),
        (found < 0.5 - CHANCE, "It is upside down on {}: it finds them more likely than {}."),
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
    sentences[0] = sentences[0].replace("It", "The score", 1)
    better: dict[tuple[str, ...], list[str]] = {}  # sets -> the methods that do better on just these
    for method in (name for name in COMPARED if name in DETECTORS):
        low = others[f"auroc_{method}_low"]
        gains = (low > others["auroc_jepa_high"]) & (others[f"auroc_{method}"] > found + GAIN)
        if where := tuple(others.loc[gains & (low > 0.5), "domain"]):
            better.setdefault(where, []).append(f"the {DETECTORS[method]().words}")
    parts = [
        f"{listed(methods)} on {listed(where) if len(where) <= _NAMED else f'{len(where)} of {len(others)} sets'}"
        for where, methods in sorted(better.items(), key=lambda one: -len(one[0]))
    ]
    if parts:
        sentences.append(f"Better than the score: {'; '.join(parts)}.")
    return sentences


def most_telling(table: pd.DataFrame) -> int:
    """The domain (from 0; the reference, the table's first line, is none) that is worth a closer look.

    The one that the score separates most, in either direction, but not perfectly: where nearly all images of one set
    lie beyond those of the other, most singular values say so, and there is little to see. Where all are as far apart
    as that, the farthest.
    """
    distance = (table["auroc_jepa"] - 0.5).abs().fillna(0.0).to_numpy()[1:]
    imperfect = np.where(distance < _PERFECT, distance, 0.0)
    return int(np.argmax(imperfect if imperfect.any() else distance))


def column_with_interval(table: pd.DataFrame, column: str) -> pd.Series:
    """A column and its interval as text, "0.57 (0.53 to 0.61)"; None where there is no value."""
    parts = (table[f"{column}{end}"] for end in COLUMN_ENDS)
    return pd.Series(map(with_interval, *parts), index=table.index, dtype=object)
