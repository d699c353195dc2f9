"""Does this picture belong? The evidence for pictures that are in no dataset, held against images that are known.

One forward pass says where a picture's layers and its embedding lie, and what can be seen of it: enough for a verdict.
The score, a thousand times dearer, is one more witness.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy import ndarray
from PIL import Image

from jepa_core import images
from jepa_core.analysis.methods import METHODS, Domain, log_spectrum
from jepa_core.check.disturbances import Disturbed
from jepa_core.check.known_set import PLACED, KnownSet, compared
from jepa_core.check.reasons import reasons
from jepa_core.check.verdict import Complexity, Findings, Verdict, complexity_of, verdict
from jepa_core.confounds import image_stats, visible
from jepa_core.confounds.visible import VISIBLE
from jepa_core.decoding.sandbox import DecodingCancelled
from jepa_core.detectors import DETECTORS
from jepa_core.detectors.fingerprints import Fingerprint
from jepa_core.errors import JepaError
from jepa_core.jacobian.score_variants import VARIANTS
from jepa_core.progress import Cancelled, Progress, never, silent
from jepa_core.scoring.batches import exact_work, look_work, score_pictures
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.score_images import table_of
from jepa_core.stats.conformal import Place, adjusted, percentile
from jepa_core.stats.neighbors import nearest
from jepa_core.store.records import Look, Result

_SHOWN = 3  # neighbours named of each end
_NEAREST = 6  # neighbours wherever they score
_KNOWN = "It is one of the references itself, so the p-values promise nothing for it."


@dataclass(frozen=True, eq=False)
class Checked:
    """The evidence for one picture.

    `scores` is its line of a score table, its scores NaN before they are there. `findings` has where it falls in each
    method's reference, a low percentile being unusual for all of them; a method that may not judge it is left out.
    `nearest` are rows of the known set's table, the nearest in the embedding; `likely` and `unlikely` those among its
    most and its least likely quarter. `measures` has its visible measures among the references', and is empty where
    these were not measured. `deviations` are how many spreads each of its layers' sizes lies from the mean of the
    images that the methods were fitted on, in the order of the network; empty where that is not known.
    """

    name: str
    crop: Image.Image
    notes: tuple[str, ...]
    scores: pd.Series
    findings: Findings
    measures: pd.DataFrame
    deviations: ndarray
    verdict: Verdict
    nearest: pd.DataFrame
    likely: pd.DataFrame
    unlikely: pd.DataFrame

    @property
    def places(self) -> dict[str, Place]:
        """Where it falls in each method's reference."""
        return dict(self.findings.places)

    @property
    def complexity(self) -> Complexity | None:
        """What may explain its score."""
        return self.findings.complexity


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a batch: evidence for the pictures that could be read, (name, sentence) for the others.

    `note` is a sentence on how they were scored that a person should know, or "".
    """

    checked: list[Checked]
    failed: list[tuple[str, str]]
    note: str = ""


def check_pictures(
    output: EncoderOutput,
    named: Sequence[tuple[str, bytes]],
    known: KnownSet,
    progress: Progress = silent,
    cancelled: Cancelled = never,
    *,
    scores: bool = True,
) -> Outcome:
    """Hold pictures given as (name, bytes) against a known set. A bad one does not stop the others.

    Without `scores` by one forward pass each. Once `cancelled` it stops with the pictures that were seen by then.
    """
    good, failed, note = _read(output, named, known, progress, cancelled, scores)
    return Outcome(_weighed(output, good, known) if good else [], failed, note)


_Read = tuple[str, Result | Look, images.Cropped]


def _read(
    output: EncoderOutput,
    named: Sequence[tuple[str, bytes]],
    known: KnownSet,
    progress: Progress,
    cancelled: Cancelled,
    scores: bool,
) -> tuple[list[_Read], list[tuple[str, str]], str]:
    """What was computed of each picture with its crop; (name, sentence) of those that failed; a note on how."""
    results: dict[str, Result | Look] = {}
    triples = [(name, images.digest(data), data) for name, data in named]

    def put(batch: list) -> None:
        results.update({result.digest: result for result in batch})
        progress(len(results), len(triples))

    work = exact_work(output, known.precision) if scores else look_work(output)
    failed = score_pictures(output.loaded, work, triples, put, cancelled)
    good: list[_Read] = []
    for name, digest, data in triples:
        if digest in results:
            try:
                crop = images.cropped(data, output.loaded.data_config, name, cancelled)
            except DecodingCancelled:
                break
            good.append((name, results[digest], crop))
    return good, failed, work.note


def _weighed(output: EncoderOutput, good: Sequence[_Read], known: KnownSet) -> list[Checked]:
    """The evidence for pictures that were scored or looked at, and the verdict on each."""
    given = _domain_of(output, good, known)
    outlying = known.outlying(given)
    disturbed = _disturbed(known, given)
    neighbours = _neighbours(given.embeddings, known)
    deviations = known.deviations(given.fingerprints("sizes"))
    known_digests = set(known.domain.table["digest"])
    seen = known.domain.fingerprints("visible")
    checked = []
    for place, (name, _result, crop) in enumerate(good):
        mine = {method: float(values[place]) for method, values in outlying.items()}
        places = {
            method: known.references[method].place(-mine[method])
            for method in known.references
            if not np.isnan(mine.get(method, np.nan))
        }
        values = given.fingerprints("visible")[place]
        findings = Findings(
            combined=known.test(mine) if known.test else None,
            places=places,
            reasons=reasons(values, seen) if seen.shape[1] == len(values) else [],
            disturbed=disturbed[place],
            complexity=_complexity(crop, places, known),
            fitted_on=known.fitted_on,
        )
        near, likely, unlikely = neighbours[place]
        checked.append(
            Checked(
                name=name,
                crop=crop.image,
                notes=crop.notes + ((_KNOWN,) if given.table["digest"].iloc[place] in known_digests else ()),
                scores=given.table.iloc[place],
                findings=findings,
                measures=_measures_table(values, seen),
                deviations=deviations[place] if len(deviations) else np.empty(0),
                verdict=verdict(findings),
                nearest=near,
                likely=likely,
                unlikely=unlikely,
            )
        )
    return checked


def _domain_of(output: EncoderOutput, good: Sequence[_Read], known: KnownSet) -> Domain:
    """The pictures as a domain, with all their fingerprints."""
    results = [result for _name, result, _crop in good]
    full = [(name, result) for name, result, _crop in good if isinstance(result, Result)]
    if full:
        table = table_of(output, full, known.precision)
    else:
        names = [name for name, _result, _crop in good]
        table = pd.DataFrame({"name": names, "label": "", "digest": [result.digest for result in results]})
        table = table.assign(**{f"{name}_score": np.nan for name in VARIANTS})
    others: dict[Fingerprint, ndarray] = {
        "sizes": np.stack([result.sizes for result in results]),
        "visible": np.stack([visible.measured(crop.image, crop.scale) for _name, _result, crop in good]),
    }
    if full:
        others["spectrum"] = np.stack([log_spectrum(result.spectrum, output.rank.rank) for _name, result in full])
    return Domain("the pictures", table, np.stack([result.embedding for result in results]), others)


def _disturbed(known: KnownSet, given: Domain) -> list[Disturbed | None]:
    if known.disturbed is None:
        return [None] * len(given.table)
    return list(known.disturbed.place(compared(given)))


def _complexity(crop: images.Cropped, places: dict[str, Place], known: KnownSet) -> Complexity | None:
    if known.measured is None or "jepa" not in places:
        return None
    return complexity_of(places["jepa"].score, image_stats.measured_crop(crop.image, crop.scale), known.measured)


def _measures_table(values: ndarray, references: ndarray) -> pd.DataFrame:
    """A picture's visible measures among the references', one line each; empty where these were not measured.

    Columns: measure, unit, value, percentile among the others, and low to high, the middle nine in ten of them.
    """
    known = references[~np.isnan(references).any(axis=1)]
    if not len(known):
        return pd.DataFrame()
    low, high = np.quantile(known, [0.05, 0.95], axis=0)
    return pd.DataFrame(
        {
            "measure": [measure.name for measure in VISIBLE],
            "unit": [measure.unit for measure in VISIBLE],
            "value": values,
            "percentile": [percentile(values[[k]], known[:, k])[0] for k in range(len(VISIBLE))],
            "low": low,
            "high": high,
        }
    )


def _neighbours(embeddings: ndarray, known: KnownSet) -> list[tuple[pd.DataFrame, ...]]:
    """For each embedding the nearest of all, of the most likely quarter, and of the least likely quarter."""
    low, high = np.quantile(known.scores, [0.25, 0.75])
    wanted = [(np.isfinite(known.scores), _NEAREST), (known.scores >= high, _SHOWN), (known.scores <= low, _SHOWN)]
    found = []
    for mask, count in wanted:
        part = known.domain.only(mask)
        near = zip(*nearest(embeddings, part.embeddings, count), strict=True)
        found.append([part.table.iloc[places].assign(distance=distances) for distances, places in near])
    return list(zip(*found, strict=True))


def percentiles_table(item: Checked) -> pd.DataFrame:
    """Where a picture falls by each method, one line each.

    Columns: method (its title), value (a score, or a distance), percentile among the references with low and high, and
    the p-values p_lower (for a distance: far) and p_two_sided. A distance's percentile is high where it is far.
    `raised` is None for a method that the verdict does not ask, else whether it finds the picture unusual.
    """
    combined = item.findings.combined
    asked = {"jepa": ("unlikely", "likely")} | {name: (name,) for name in (combined.by_method if combined else ())}
    lines = []
    for name, place in item.places.items():
        far = name not in (*VARIANTS, "residual")  # which is a score, too
        low, high = (100 - place.high, 100 - place.low) if far else (place.low, place.high)
        lines.append(
            {
                "method": METHODS[name],
                "value": -place.score if far else place.score,
                "percentile": 100 - place.percentile if far else place.percentile,
                "low": low,
                "high": high,
                "p_lower": place.p_lower,
                "p_two_sided": place.p_two_sided,
                "raised": any(one in combined.raised for one in asked[name]) if combined and name in asked else None,
            }
        )
    return pd.DataFrame(lines)


def outcome_table(outcome: Outcome) -> pd.DataFrame:
    """The evidence as one line a picture, for the terminal and for download.

    Columns: name; verdict, headline and evidence in words; p of all methods together, and p_adjusted for all pictures
    checked at once (Benjamini and Hochberg); percentile of the JEPA-SCORE with its interval in
    percentile_low and percentile_high; p_unlikely and p_untypical, its p-values, and p_unlikely_adjusted for all
    pictures checked at once; NAME_score of each variant; for each detector of `PLACED` NAME, NAME_percentile (high:
    far) and NAME_p (far); the nearest likely and unlikely references; notes.
    """
    lines = []
    for item in outcome.checked:
        place, combined = item.places.get("jepa"), item.findings.combined
        line = {
            "name": item.name,
            "verdict": str(item.verdict.kind),
            "headline": item.verdict.headline,
            "p": combined.p if combined else None,
            "p_adjusted": None,
            "percentile": place.percentile if place else None,
            "percentile_low": place.low if place else None,
            "percentile_high": place.high if place else None,
            "p_unlikely": place.p_lower if place else None,
            "p_unlikely_adjusted": None,
            "p_untypical": place.p_two_sided if place else None,
        }
        line |= {f"{name}_score": item.scores[f"{name}_score"] for name in VARIANTS}
        for name in (one for one in PLACED if one in DETECTORS):
            found = item.places.get(name)
            line |= {
                name: -found.score if found else None,
                f"{name}_percentile": 100 - found.percentile if found else None,
                f"{name}_p": found.p_lower if found else None,
            }
        line |= {
            "evidence": " ".join(item.verdict.sentences),
            "nearest_likely": item.likely.iloc[0]["name"],
            "nearest_unlikely": item.unlikely.iloc[0]["name"],
            "notes": " ".join(item.notes),
        }
        lines.append(line)
    table = pd.DataFrame(lines)
    for column in ("p", "p_unlikely") if lines else ():
        if table[column].notna().all():
            table[f"{column}_adjusted"] = adjusted(table[column].to_numpy(dtype=np.float64))
    return table


def fail_if_nothing(outcome: Outcome) -> None:
    """Raise the first failure's sentence where no picture could be scored."""
    if outcome.failed and not outcome.checked:
        raise JepaError(outcome.failed[0][1])
