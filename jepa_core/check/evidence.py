"""Does this picture belong? The evidence for pictures that are in no dataset, held against images that are known.

Every method's view is given side by side, because they fail on different pictures: where the score falls among the
scores of held-out images, and how far the embedding lies from embeddings that it was trained on.
"""

import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy import ndarray
from PIL import Image

from jepa_core import images
from jepa_core.analysis.methods import COMPARED, LEAST_FIT, METHODS, Domain, FittedMethods, load_domain
from jepa_core.analysis.percentiles import with_percentiles
from jepa_core.check.image_stats_detector import PlainMeasures
from jepa_core.check.verdict import ASKED, PLAIN, Complexity, Verdict, complexity_of, raised_by, verdict
from jepa_core.confounds import image_stats, measure
from jepa_core.datasets.registry import FOLDER_PREFIX
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.decoding.sandbox import DecodingCancelled
from jepa_core.detectors import DETECTORS
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import JepaError, NotEnoughData, StoreError, UnknownName
from jepa_core.jacobian.score_variants import VARIANTS
from jepa_core.progress import Cancelled, Progress, never, silent
from jepa_core.scoring import precision as scoring_precision
from jepa_core.scoring.batches import exact_work, score_pictures
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ScoringMethod
from jepa_core.scoring.score_images import table_of
from jepa_core.stats.conformal import LEAST_REFERENCES, Place, Reference, adjusted
from jepa_core.stats.neighbors import nearest
from jepa_core.store.records import Result
from jepa_core.store.results import Store

if TYPE_CHECKING:
    from jepa_core.jacobian.engine import Precision

_SHOWN = 3  # neighbours named of each end
_NEAREST = 6  # neighbours wherever they score
_KNOWN = "It is one of the references itself, so the p-values promise nothing for it."


@dataclass(frozen=True, eq=False)
class KnownSet:
    """A scored dataset, or a class of one, that pictures are held against.

    `domain` is its score table with each image's own percentile, and its embeddings; `references` what each method of
    `fitted` finds of its images, by the method's name. A detector is fitted on `fitted_on` and judges no image of it.
    `precision` is that of the scores.
    """

    domain: Domain
    fitted: FittedMethods
    references: dict[str, Reference]
    fitted_on: str
    precision: "Precision" = "fp32"

    @property
    def scores(self) -> ndarray:
        """JEPA-SCOREs of its images."""
        return self.domain.table["jepa_score"].to_numpy()


@dataclass(frozen=True, eq=False)
class Checked:
    """The evidence for one picture.

    `scores` is its line of a score table. `places` says where it falls in each method's reference, a low percentile
    being unusual for all of them; a method that may not judge it is left out. `nearest` are rows of the known set's
    table, the nearest in the embedding; `likely` and `unlikely` those among its most and its least likely quarter.
    `complexity` is None, and `measures` (`PlainMeasures.table`) empty, where the known set was not measured.
    """

    name: str
    crop: Image.Image
    notes: tuple[str, ...]
    scores: pd.Series
    places: dict[str, Place]
    complexity: Complexity | None
    measures: pd.DataFrame
    verdict: Verdict
    nearest: pd.DataFrame
    likely: pd.DataFrame
    unlikely: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a batch: evidence for the pictures that could be scored, (name, sentence) for the others.

    `note` is a sentence on how they were scored that a person should know, or "".
    """

    checked: list[Checked]
    failed: list[tuple[str, str]]
    note: str = ""


def load_known(
    store: Store,
    output: EncoderOutput,
    dataset: str,
    method: ScoringMethod | None = None,
    label: str | None = None,
) -> KnownSet:
    """The known set out of the store; of one class for a `label`.

    Detectors are fitted on the encoder's training set where that has scores; where it has none, or is the set itself,
    on one half of it (by the order of the digests), and the other half is their reference.

    Raises `NotEnoughData` for fewer than 19 scored images, which cannot speak at 5 %, and `UnknownName` for a class
    that has none.
    """
    method = scoring_precision.resolved(store, output, dataset, method or ScoringMethod())
    domain = load_domain(store, output, dataset, method)
    data = shlex.quote(dataset.removeprefix(FOLDER_PREFIX))
    if len(domain.table) < LEAST_REFERENCES:
        raise NotEnoughData(
            f"The reference {dataset!r} has {len(domain.table)} scored images; at least {LEAST_REFERENCES} are needed; "
            f"run 'python -m jepa_core score --encoder {output.spec.name} --output {output.name} --data {data}' first."
        )
    fitted, fitted_on = _fitted(store, output, domain, method)
    name = dataset
    if label is not None:
        of_class = (domain.table["label"] == label).to_numpy()
        if not of_class.any():
            raise UnknownName(f"class of the reference {dataset!r}", label, sorted(set(domain.table["label"])))
        name, domain = f"{dataset}, class {label}", domain.only(of_class)
    references = {}
    for judge in COMPARED:
        values = fitted.outlying(judge, domain) if judge in fitted.methods else np.empty(0)
        values = values[~np.isnan(values)]
        if values.size:
            references[judge] = Reference(name, -values)
    if sentence := references["jepa"].too_few():
        raise NotEnoughData(sentence)
    table = with_percentiles(domain.table)
    return KnownSet(Domain(name, table, domain.embeddings), fitted, references, fitted_on, method.decided)


def _fitted(store: Store, output: EncoderOutput, domain: Domain, method: ScoringMethod) -> tuple[FittedMethods, str]:
    """The fitted methods of a known set, and what they were fitted on in words."""
    if name := output.spec.training:
        training = load_domain(store, output, name, method)
        left = ~domain.among(set(training.table["digest"]))
        if len(training.table) >= LEAST_FIT and left.sum() >= LEAST_REFERENCES:
            return FittedMethods(training), f"the {len(training.table)} images of {name}"
    # A digest is as good as a random number, and the same on every machine.
    order = domain.table["digest"].rank(method="first").to_numpy()
    half = domain.only(order <= np.ceil(len(order) / 2))
    return FittedMethods(half), f"{len(half.table)} images of {domain.name} that were set aside for that"


def measured_reference(
    store: Store,
    spec: EncoderSpec,
    dataset: DatasetSpec,
    known: KnownSet,
    progress: Progress = silent,
    cancelled: Cancelled = never,
) -> PlainMeasures | None:
    """Plain measures of a known set's pictures, taken now where they are missing; None where there are too few."""
    table = known.domain.table
    if not dataset.listed:
        with suppress(StoreError):  # measures that cannot be kept now are not weighed
            measure.measure_missing(store, spec, dataset, table, progress, cancelled)
    try:
        found = measure.load(store, spec, dataset, table)
    except NotEnoughData:
        return None
    return PlainMeasures(found) if len(found) >= PlainMeasures.LEAST else None


def check_pictures(
    output: EncoderOutput,
    named: Sequence[tuple[str, bytes]],
    known: KnownSet,
    plain: PlainMeasures | None = None,
    progress: Progress = silent,
    cancelled: Cancelled = never,
) -> Outcome:
    """Score pictures given as (name, bytes) and hold them against a known set. A bad one does not stop the others.

    With `plain`, the known set's measures, the verdict also says whether a picture is like the others in these, and
    whether they explain its score. Once `cancelled` it stops with the pictures that were scored by then.
    """
    results: dict[str, Result] = {}
    triples = [(name, images.digest(data), data) for name, data in named]

    def put(batch: list[Result]) -> None:
        results.update({result.digest: result for result in batch})
        progress(len(results), len(triples))

    work = exact_work(output, known.precision)
    failed = score_pictures(output.loaded, work, triples, put, cancelled)
    good = [(name, results[digest], data) for name, digest, data in triples if digest in results]
    if not good:
        return Outcome([], failed, work.note)
    table = table_of(output, [(name, result) for name, result, _data in good], known.precision)
    given = Domain("the pictures", table, np.stack([result.embedding for _name, result, _data in good]))
    outlying = {method: known.fitted.outlying(method, given) for method in known.references}
    neighbours = _neighbours(given.embeddings, known)
    checked = []
    for position, (name, _result, data) in enumerate(good):
        try:
            crop = images.cropped(data, output.loaded.data_config, name, cancelled)
        except DecodingCancelled:
            break
        places = {
            method: known.references[method].place(-values[position])
            for method, values in outlying.items()
            if not np.isnan(values[position])
        }
        checked.append(_weighed(table.iloc[position], crop, places, neighbours[position], known, plain))
    return Outcome(checked, failed, work.note)


def _weighed(
    scores: pd.Series,
    crop: images.Cropped,
    places: dict[str, Place],
    near: tuple[pd.DataFrame, ...],
    known: KnownSet,
    plain: PlainMeasures | None,
) -> Checked:
    """All evidence for one picture, and the verdict on it."""
    complexity = strangest = None
    measures = pd.DataFrame()
    if plain:
        values = image_stats.measured_crop(crop.image, crop.scale)
        complexity = complexity_of(places["jepa"].score, values, plain.measured)
        places, strangest = places | {PLAIN: plain.place(values)}, plain.strangest(values)
        measures = plain.table(values)
    is_reference = (known.domain.table["digest"] == scores["digest"]).any()
    nearest_ones, likely, unlikely = near
    return Checked(
        name=scores["name"],
        crop=crop.image,
        notes=crop.notes + ((_KNOWN,) if is_reference else ()),
        scores=scores,
        places=places,
        complexity=complexity,
        measures=measures,
        verdict=verdict(places, known.fitted_on, complexity, strangest),
        nearest=nearest_ones,
        likely=likely,
        unlikely=unlikely,
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
    raised = raised_by(item.places)
    lines = []
    for name, place in item.places.items():
        far = name not in VARIANTS
        low, high = (100 - place.high, 100 - place.low) if far else (place.low, place.high)
        lines.append(
            {
                "method": METHODS.get(name, "plain measures"),
                "value": -place.score if far else place.score,
                "percentile": 100 - place.percentile if far else place.percentile,
                "low": low,
                "high": high,
                "p_lower": place.p_lower,
                "p_two_sided": place.p_two_sided,
                "raised": name in raised if name in ASKED else None,
            }
        )
    return pd.DataFrame(lines)


def outcome_table(outcome: Outcome) -> pd.DataFrame:
    """The evidence as one line a picture, for the terminal and for download.

    Columns: name; verdict, headline and evidence in words; percentile of the JEPA-SCORE with its interval in
    percentile_low and percentile_high; p_unlikely and p_untypical, its p-values, and p_unlikely_adjusted for all
    pictures checked at once; NAME_score of each variant; for each detector NAME, NAME_percentile (high: far) and NAME_p
    (far); the nearest likely and unlikely references; notes.
    """
    lines = []
    for item in outcome.checked:
        place = item.places["jepa"]
        line = {
            "name": item.name,
            "verdict": str(item.verdict.kind),
            "headline": item.verdict.headline,
            "percentile": place.percentile,
            "percentile_low": place.low,
            "percentile_high": place.high,
            "p_unlikely": place.p_lower,
            "p_unlikely_adjusted": None,
            "p_untypical": place.p_two_sided,
        }
        line |= {f"{name}_score": item.scores[f"{name}_score"] for name in VARIANTS}
        for name in DETECTORS:
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
    if lines:  # a known set is never too small for the score's own p-values
        table["p_unlikely_adjusted"] = adjusted(table["p_unlikely"].to_numpy(dtype=np.float64))
    return table


def fail_if_nothing(outcome: Outcome) -> None:
    """Raise the first failure's sentence where no picture could be scored."""
    if outcome.failed and not outcome.checked:
        raise JepaError(outcome.failed[0][1])
