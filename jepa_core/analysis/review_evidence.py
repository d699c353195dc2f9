"""What a review of a set knows of each of its pictures; what is missing takes a forward pass and a look at its pixels.

Full scores and spectra are used where the store has them, and nothing here computes any.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from jepa_core import images
from jepa_core.analysis import picture_facts
from jepa_core.analysis.picture_facts import Facts
from jepa_core.confounds import image_stats, measure
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.decoding.sandbox import DecodingCancelled
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import JepaError
from jepa_core.jacobian import spectrum
from jepa_core.progress import Cancelled, Progress, never, silent
from jepa_core.scoring import looks
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.forward_pass import look_at_missing, looked_at
from jepa_core.scoring.image_run import ImageRun
from jepa_core.store import sketches
from jepa_core.store.crops import read_member
from jepa_core.store.records import Member
from jepa_core.store.results import Store

_BLOCK = 64  # pictures looked at before what was found is written


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known of the n pictures of a set.

    `sizes` (n, layers), `embeddings` (n, K) and `measures` (n, `image_stats.MEASURES`) are there for all of them.
    `scores` (n) and `spectra` (n, rank; logarithms) are NaN where there is no full score.
    """

    members: list[Member]
    sizes: Float[ndarray, "n layers"]
    embeddings: Float[ndarray, "n k"]
    measures: Float[ndarray, "n measures"]
    facts: list[Facts]
    scores: Float[ndarray, "n"]
    spectra: Float[ndarray, "n rank"]

    def __len__(self) -> int:
        return len(self.members)

    @property
    def labels(self) -> ndarray:
        """The class of each picture."""
        return np.array([member.label for member in self.members], dtype=object)

    @property
    def scored(self) -> ndarray:
        """Which pictures have a full score."""
        return np.isfinite(self.scores)

    def only(self, places: ndarray) -> "Evidence":
        """The pictures at some places, in that order."""
        chosen = np.arange(len(self))[places]
        arrays = {name: getattr(self, name)[chosen] for name in _ARRAYS}
        members, facts = ([listed[place] for place in chosen] for listed in (self.members, self.facts))
        return replace(self, members=members, facts=facts, **arrays)

    def labelled(self, labels: Iterable[str]) -> "Evidence":
        """The same pictures with other classes."""
        given = [replace(member, label=label) for member, label in zip(self.members, labels, strict=True)]
        return replace(self, members=given)


_ARRAYS = ("sizes", "embeddings", "measures", "scores", "spectra")


def joined(parts: Sequence[Evidence]) -> Evidence:
    """Several sets as one, in their order."""
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
    members = [member for part in parts for member in part.members]
    return Evidence(members=members, facts=[one for part in parts for one in part.facts], **arrays)


# --- what the store has -----------------------------------------------------------------------------------------------


def load(store: Store, output: EncoderOutput, members: Sequence[Member]) -> Evidence:
    """The evidence of images for which the store has all but scores; the others are left out."""
    digests = [member.digest for member in members]
    found = {
        "sizes": store.measures(looks.sizes_space(output), digests),
        "measures": store.measures(measure.space_of(output.spec.transform), digests),
        "facts": store.measures(picture_facts.SPACE, digests),
    }
    embedded = store.there_in("embeddings", output.space, digests)
    kept = [
        member
        for member in members
        if member.digest in embedded and all(member.digest in one for one in found.values())
    ]
    digests = [member.digest for member in kept]
    spectra = store.spectra(output.config(), digests)
    rank = output.rank.rank
    nothing = np.full(output.k, np.nan, dtype=np.float32)
    singular = np.stack([spectra.get(digest, nothing) for digest in digests]) if kept else np.empty((0, output.k))
    return Evidence(
        members=kept,
        sizes=_rows(found["sizes"], digests),
        embeddings=store.embeddings(output.space, digests) if kept else np.empty((0, output.k)),
        measures=_rows(found["measures"], digests),
        facts=[picture_facts.read(found["facts"][digest]) for digest in digests],
        scores=np.asarray(spectrum.jepa_score(singular, rank), dtype=np.float64),
        spectra=np.log(np.maximum(singular[:, :rank], np.finfo(np.float32).tiny)),
    )


def with_scores(evidence: Evidence, table: pd.DataFrame) -> Evidence:
    """The same pictures with the scores of a score table, which may have estimates; missing ones stay as they are."""
    known = dict(zip(table["digest"], table["jepa_score"], strict=True))
    found = [known.get(member.digest, score) for member, score in zip(evidence.members, evidence.scores, strict=True)]
    return replace(evidence, scores=np.array(found, dtype=np.float64))


def _rows(found: dict[str, ndarray], digests: Sequence[str]) -> ndarray:
    return np.stack([found[digest] for digest in digests]) if digests else np.empty((0, 1))


def missing(store: Store, output: EncoderOutput, dataset: DatasetSpec) -> int:
    """Of how many images of a dataset the store lacks evidence, those that it does not know among them."""
    digests = [member.digest for member in store.members(dataset.name)]
    known = looked_at(store, output, digests)
    for space in (measure.space_of(output.spec.transform), picture_facts.SPACE):
        known &= sketches.measured(store, space, digests)
    return max(0, len(dataset) - sum(digest in known for digest in digests))


# --- what is missing --------------------------------------------------------------------------------------------------


@dataclass
class Gathered:
    """What gathering could not: `failed` are (name, sentence) of pictures that cannot be read."""

    failed: list[tuple[str, str]] = field(default_factory=list)
    cancelled: bool = False


def gather(
    store: Store,
    output: EncoderOutput,
    dataset: DatasetSpec,
    progress: Progress = silent,
    cancelled: Cancelled = never,
) -> Gathered:
    """Have the store know all evidence but scores of a dataset: a forward pass and a look at the pixels of each image.

    `output` is of a loaded encoder.
    """
    run = ImageRun(store, output, dataset.name, list(dataset.items()), progress=progress, cancelled=cancelled)
    done = look_at_missing(run)
    if done.cancelled:
        return Gathered(done.failed, cancelled=True)
    inspected = inspect(store, dataset, store.members(dataset.name), output.spec, progress, cancelled)
    known = {name for name, _why in done.failed}
    failed = done.failed + [(name, why) for name, why in inspected.failed if name not in known]
    return Gathered(failed, inspected.cancelled)


def inspect(
    store: Store,
    dataset: DatasetSpec,
    members: Sequence[Member],
    spec: EncoderSpec | None = None,
    progress: Progress = silent,
    cancelled: Cancelled = never,
) -> Gathered:
    """Look at the pixels of images: their facts and, with an encoder's `spec`, the plain measures of its crop."""
    spaces = [picture_facts.SPACE] + ([measure.space_of(spec.transform)] if spec else [])
    digests = [member.digest for member in members]
    known = set.intersection(*(sketches.measured(store, space, digests) for space in spaces)) if members else set()
    left = list({member.digest: member for member in members if member.digest not in known}.values())
    gathered = Gathered()
    for first in range(0, len(left), _BLOCK):
        found: list[dict[str, ndarray]] = [{} for _space in spaces]
        for member in left[first : first + _BLOCK]:
            if cancelled():
                break
            try:
                picture = images.decode(read_member(dataset, member), member.name, cancelled).image
                found[0][member.digest] = picture_facts.look_at(picture)
                if spec:
                    found[1][member.digest] = image_stats.measured(picture, spec.data_config)
            except DecodingCancelled:
                break
            except JepaError as error:
                gathered.failed.append((member.name, str(error)))
        with store.transaction():
            for space, rows in zip(spaces, found, strict=True):
                store.put_measures(space, rows)
        if cancelled():
            gathered.cancelled = True
            break
        progress(min(first + _BLOCK, len(left)), len(left))
    return gathered


def inspected(
    store: Store, dataset: DatasetSpec, progress: Progress = silent, cancelled: Cancelled = never
) -> tuple[list[Member], list[Facts]]:
    """The pictures of a dataset, as they are now, and their facts: to hold another set against, without an encoder."""
    members = []
    for item in dataset.items():
        if cancelled():
            break
        try:
            members.append(Member(item.name, item.position, item.label, item.digest))
        except JepaError:  # a file that is gone or cannot be read is no copy of anything
            continue
    inspect(store, dataset, members, None, progress, cancelled)
    found = store.measures(picture_facts.SPACE, [member.digest for member in members])
    members = [member for member in members if member.digest in found]
    return members, [picture_facts.read(found[member.digest]) for member in members]
