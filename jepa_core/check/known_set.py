"""What pictures are held against: a scored set whose pictures belong, and everything that is fitted for it."""

import shlex
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from jepa_core.analysis.methods import COMPARED, LEAST_FIT, Domain, FittedMethods, load_domain
from jepa_core.analysis.percentiles import with_percentiles
from jepa_core.check import disturbances
from jepa_core.check.combined import INSTEAD, WEIGHTS, CombinedTest
from jepa_core.check.disturbances import Disturbances
from jepa_core.confounds import measure
from jepa_core.confounds.matching import Measured
from jepa_core.datasets import registry
from jepa_core.datasets.registry import FOLDER_PREFIX
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.detectors.mahalanobis import Mahalanobis
from jepa_core.errors import NotEnoughData, StoreError, UnknownName
from jepa_core.progress import Cancelled, Progress, never, silent
from jepa_core.scoring import precision as scoring_precision
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.forward_pass import look_at_missing
from jepa_core.scoring.image_run import ImageRun
from jepa_core.scoring.looks import sizes_space
from jepa_core.scoring.method import ScoringMethod
from jepa_core.scoring.stored import stored_scores
from jepa_core.stats.conformal import LEAST_REFERENCES, Reference
from jepa_core.store import sketches
from jepa_core.store.results import Store

if TYPE_CHECKING:
    from jepa_core.jacobian.engine import Precision

PLACED = (*COMPARED, "visible", "residual")
"""The methods that say where a picture falls among the references."""


@dataclass(frozen=True, eq=False)
class KnownSet:
    """A scored dataset, or a class of one, that pictures are held against.

    Attributes:
        domain: its score table with each image's own percentile, and its fingerprints.
        fitted: the methods, fitted on `fitted_on` (in words), of which no image is judged.
        references: what each method of `PLACED` finds of its images, by the method's name.
        test: of all methods together; None where no method knows enough of the references.
        fitted_set: the dataset that those images are of, by its name.
        disturbed: of the references as they look after a disturbance; None where nobody has made such copies.
        measured: what may explain a score, of its pictures; None where they were not measured.
        precision: that of the scores.
    """

    domain: Domain
    fitted: FittedMethods
    references: dict[str, Reference]
    fitted_on: str
    fitted_set: str
    test: CombinedTest | None = None
    disturbed: Disturbances | None = None
    measured: Measured | None = None
    precision: "Precision" = "fp32"

    @property
    def scores(self) -> ndarray:
        """JEPA-SCOREs of its images."""
        return self.domain.table["jepa_score"].to_numpy()

    def deviations(self, sizes: Float[ndarray, "n s"]) -> Float[ndarray, "n s"]:
        """How many spreads each size lies from the mean of what was fitted on; no rows where that is not known."""
        detector = self.fitted.detectors.get("sizes_mahalanobis")
        return detector.deviations(sizes) if isinstance(detector, Mahalanobis) else np.empty((0, 0))

    def outlying(self, domain: Domain) -> dict[str, ndarray]:
        """What every method finds of some images, larger being more outlying; NaN where it cannot say."""
        found = {name: self.fitted.outlying(name, domain) for name in PLACED if name in self.fitted.methods}
        found |= {"unlikely": found["jepa"], "likely": -found["jepa"]}
        if self.disturbed:
            found["disturbed"] = np.full(len(domain.table), np.nan)
            given = compared(domain)
            there = ~np.isnan(given).any(axis=1)
            if there.any():
                found["disturbed"][there] = self.disturbed.ratio(given[there])
        return found


def load_known(
    store: Store,
    output: EncoderOutput,
    dataset: str,
    method: ScoringMethod | None = None,
    label: str | None = None,
) -> KnownSet:
    """The known set as far as the store knows it (`complete` has it know more); of one class for a `label`.

    Detectors are fitted on the encoder's training set where that has scores; where it has none, or is the set itself,
    on one half of it (by the order of the digests), and the other half are the references.

    Raises `NotEnoughData` for fewer than 19 scored images, which cannot speak at 5 %, and `UnknownName` for a class
    that has none.
    """
    method = scoring_precision.resolved(store, output, dataset, method or ScoringMethod())
    domain = load_domain(store, output, dataset, method)
    fail_if_too_few(output, dataset, len(domain.table))
    training, fitted_on = _fitted_on(store, output, domain, method)
    disturbed = _disturbed(store, output, training)
    name = dataset
    if label is not None:
        of_class = (domain.table["label"] == label).to_numpy()
        if not of_class.any():
            raise UnknownName(f"class of the reference {dataset!r}", label, sorted(set(domain.table["label"])))
        name, domain = f"{dataset}, class {label}", domain.only(of_class)
    domain = replace(domain, name=name, table=with_percentiles(domain.table))
    fitted = FittedMethods(training)
    known = KnownSet(domain, fitted, {}, fitted_on, training.name, disturbed=disturbed, precision=method.decided)
    outlying = known.outlying(domain)
    references = {
        name: Reference(domain.name, -values[there])
        for name, values in outlying.items()
        if name in PLACED and (there := ~np.isnan(values)).any()
    }
    if sentence := references["jepa"].too_few():
        raise NotEnoughData(sentence)
    return replace(
        known, references=references, test=_test_of(outlying), measured=_measured(store, output, dataset, domain)
    )


def fail_if_too_few(output: EncoderOutput, dataset: str, count: int) -> None:
    """Raise `NotEnoughData` for so few scored images of a reference that they cannot speak at 5 %."""
    if count >= LEAST_REFERENCES:
        return
    data = shlex.quote(dataset.removeprefix(FOLDER_PREFIX))
    raise NotEnoughData(
        f"The reference {dataset!r} has {count} scored images; at least {LEAST_REFERENCES} are needed; "
        f"run 'python -m jepa_core score --encoder {output.spec.name} --output {output.name} --data {data}' first."
    )


def _fitted_on(store: Store, output: EncoderOutput, domain: Domain, method: ScoringMethod) -> tuple[Domain, str]:
    """The images that the methods of a known set are fitted on, and the same in words."""
    if name := output.spec.training:
        training = load_domain(store, output, name, method)
        left = ~domain.among(set(training.table["digest"]))
        if len(training.table) >= LEAST_FIT and left.sum() >= LEAST_REFERENCES:
            return training, f"the {training.table['digest'].nunique()} images of {name}"
    # A digest is as good as a random number, and the same on every machine.
    order = domain.table["digest"].rank(method="first").to_numpy()
    half = domain.only(order <= np.ceil(len(order) / 2))
    return half, f"{len(half.table)} images of {domain.name} that were set aside for that"


def compared(domain: Domain) -> Float[ndarray, "n d"]:
    """What is compared with disturbed copies, of each image of a domain; NaN where it is not known."""
    return np.hstack([domain.fingerprints("sizes"), domain.fingerprints("visible")])


def _disturbed(store: Store, output: EncoderOutput, training: Domain) -> Disturbances | None:
    copies = disturbances.load(store, output, training.table["digest"].tolist())
    clean = compared(training)
    clean = clean[~np.isnan(clean).any(axis=1)]
    if len(clean) < disturbances.LEAST or any(values.shape[1] != clean.shape[1] for values in copies.values()):
        return None
    try:
        return Disturbances(clean, copies)
    except NotEnoughData:
        return None


def _test_of(outlying: dict[str, ndarray]) -> CombinedTest | None:
    """The test by the methods that know at least half of the references, on those that all of them know."""
    asked = {name: values for name, values in outlying.items() if name in WEIGHTS and np.isfinite(values).mean() >= 0.5}
    for name, other in INSTEAD.items():
        if name not in asked and other in outlying and np.isfinite(outlying[other]).mean() >= 0.5:
            asked[other] = outlying[other]
    whole = np.all([np.isfinite(values) for values in asked.values()], axis=0)
    return (
        CombinedTest({name: values[whole] for name, values in asked.items()})
        if whole.sum() >= LEAST_REFERENCES
        else None
    )


def _measured(store: Store, output: EncoderOutput, dataset: str, domain: Domain) -> Measured | None:
    try:
        found = measure.load(store, output.spec, registry.get_dataset(dataset), domain.table)
    except NotEnoughData:
        return None
    return found if len(found) >= LEAST_REFERENCES else None


# --- what the store lacks ---------------------------------------------------------------------------------------------


def load_complete(
    store: Store,
    output: EncoderOutput,
    dataset: DatasetSpec,
    method: ScoringMethod | None = None,
    label: str | None = None,
    progress: Progress = silent,
    cancelled: Cancelled = never,
    *,
    copies: bool = True,
) -> KnownSet:
    """`load_known`, after putting into the store what it lacks (`complete`), which takes a while for a new set.

    Without `copies` no disturbed copies are made: they take 2,700 forward passes, once. The encoder is loaded if
    something is lacking. Errors: as of `load_known`.
    """
    known = load_known(store, output, dataset.name, method, label)
    complete(store, output, dataset, known, method or ScoringMethod(), progress, cancelled, copies=copies)
    return load_known(store, output, dataset.name, method, label)


def complete(
    store: Store,
    output: EncoderOutput,
    dataset: DatasetSpec,
    known: KnownSet,
    method: ScoringMethod,
    progress: Progress = silent,
    cancelled: Cancelled = never,
    *,
    copies: bool = True,
) -> None:
    """Put into the store what it lacks of a known set, as far as its pictures are at hand: `load_known` finds it then.

    Forward passes and measures of its images and of those that methods are fitted on, and disturbed copies of these.
    What cannot be kept now, for want of room, say, is not weighed.
    """
    # None for a training set whose pictures nobody here can open: a folder of somebody else's, say.
    fitted_on = {**registry.list_datasets(), dataset.name: dataset}.get(known.fitted_set)
    with suppress(StoreError):
        for one in (dataset,) if fitted_on is dataset else (dataset, fitted_on):
            if one and not one.listed:
                _look_and_measure(store, output, one, method, progress, cancelled)
        seen = known.fitted.seen
        if not copies or not fitted_on or fitted_on.listed or len(seen) < disturbances.LEAST or cancelled():
            return
        if disturbances.load(store, output, seen):
            return
        names = {member.name for member in store.members(fitted_on.name) if member.digest in seen}
        items = [item for item in fitted_on.items() if item.name in names]
        if made := disturbances.make(output, items, progress, cancelled):
            disturbances.keep(store, output, seen, made)


def _look_and_measure(
    store: Store,
    output: EncoderOutput,
    dataset: DatasetSpec,
    method: ScoringMethod,
    progress: Progress,
    cancelled: Cancelled,
) -> None:
    table = stored_scores(store, output, dataset.name, method)  # all classes, which methods are fitted on
    digests = table["digest"].tolist()
    lacking = set(digests) - sketches.measured(store, sizes_space(output), digests)
    if lacking:
        names = set(table["name"][table["digest"].isin(lacking)])
        items = [item for item in dataset.items() if item.name in names]
        run = ImageRun(store, output, dataset.name, items, whole=False, progress=progress, cancelled=cancelled)
        look_at_missing(run)
    for family in (measure.VISIBLE, measure.CONFOUNDS):
        measure.measure_missing(store, output.spec, dataset, table, progress, cancelled, family)
