"""A scoring run: images x encoder output -> rows in the store. Resumable, and nothing is scored twice.

It adds the store, progress and cancelling to the work on batches (`jepa_core.scoring.batches`), decides what its method
leaves open, and puts a sketch together.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from jepa_core import images
from jepa_core.datasets.spec import DatasetSpec, Item
from jepa_core.errors import JepaError
from jepa_core.progress import Cancelled, Progress, never, silent
from jepa_core.scoring import precision, rank_findings, sketch
from jepa_core.scoring.batches import Grams, Named, Work, exact_work, score_pictures, sketch_work
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ScoringMethod
from jepa_core.scoring.stored import stored_scores
from jepa_core.stats.rank_correlation import spearman
from jepa_core.store import sketches
from jepa_core.store.records import Member
from jepa_core.store.results import Store

# About how many images are read and looked up together. Their scoring goes batch by batch.
_BLOCK = 64


@dataclass
class RunSummary:
    """What a run did: images scored now, known already (equal ones too), and failed as (name, sentence).

    `notes` are sentences on what it found that a person should know, each said once.
    """

    scored: int = 0
    reused: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    cancelled: bool = False
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """How many images are dealt with."""
        return self.scored + self.reused + len(self.failed)

    def tell(self, sentence: str) -> None:
        """Add a sentence to the notes, unless it is empty."""
        self.notes += [sentence] if sentence else []


@dataclass(frozen=True, eq=False)
class ScoringRun:
    """What is to be scored, how, and who is told of it. `score` does it.

    Attributes:
        store: where results are looked up and kept.
        output: of a loaded encoder.
        dataset: the dataset's name, under which the items are recorded as members.
        items: which images; unreadable ones are reported in the summary and the run goes on.
        method: fully or by a sketch, and the precision; an open one is decided by the dataset.
        whole: whether `items` is the whole dataset, so that recorded members that are not among them are gone.
        progress: called with (done, total) after each batch.
        cancelled: asked before each batch.
        reason: of a run that is `decided`, why it has its precision; "" where there is nothing to say.
    """

    store: Store
    output: EncoderOutput
    dataset: str
    items: Sequence[Item]
    method: ScoringMethod = field(default_factory=ScoringMethod)
    whole: bool = True
    progress: Progress = silent
    cancelled: Cancelled = never
    reason: str = ""

    @classmethod
    def of_dataset(
        cls,
        store: Store,
        output: EncoderOutput,
        dataset: DatasetSpec,
        method: ScoringMethod,
        label: str | None = None,
        progress: Progress = silent,
        cancelled: Cancelled = never,
    ) -> "ScoringRun":
        """The run over a dataset, or over a class of it, by the method that it allows."""
        method, items = method.for_dataset(dataset), list(dataset.items(label))
        return cls(store, output, dataset.name, items, method, label is None, progress, cancelled)

    def decided(self) -> "ScoringRun":
        """The run with a precision, and the reason for it; an open one may take scoring some images both ways.

        Where a person chose the precision, the reason is what is slow about it.
        """
        if self.method.precision != "auto":
            reason = self.reason or precision.slow_in_words(self.method.precision, self.output.loaded.device)
            return replace(self, reason=reason)
        chosen = precision.choose(self.store, self.output, self.dataset, self.items, self._agreement)
        return replace(self, method=replace(self.method, precision=chosen.precision), reason=chosen.reason)

    def score(self) -> RunSummary:
        """Score the images that the store lacks, after deciding what is open.

        Raises `NotEnoughData` for a sketch of a dataset that is too small to gain anything by it.
        """
        run = self.decided()
        return run._score_fully() if run.method.name == "exact" else run._estimate()

    def restricted_to(self, names: set[str]) -> "ScoringRun":
        """The run that scores only these of its images, and fully."""
        items = [item for item in self.items if item.name in names]
        return replace(self, items=items, method=replace(self.method, name="exact"), whole=False)

    def _agreement(self, items: Sequence[Item]) -> float | None:
        """Spearman's correlation of both precisions' scores; None where fewer than half of the images have both."""
        scores = []
        for each in (ScoringMethod(precision="fp32"), ScoringMethod(precision="bf16")):
            replace(self, items=items, method=each, whole=False, progress=silent).score()
            table = stored_scores(self.store, self.output, self.dataset, each)
            scores.append(table.set_index("name")["jepa_score"])
        common = scores[0].index.intersection(scores[1].index).intersection([item.name for item in items])
        if len(common) < len(items) // 2:
            return None
        return spearman(scores[0][common].to_numpy(), scores[1][common].to_numpy())

    def _score_fully(self) -> RunSummary:
        config = self.output.config(self.method.decided)
        summary = self._score_missing(
            exact_work(self.output, self.method.decided),
            known=lambda digests: self.store.done(config, digests),
            put=lambda results: self.store.put(config, results),
        )
        self._tell_rank(summary)
        return summary

    def _tell_rank(self, summary: RunSummary) -> None:
        if self.method.decided == "fp32":  # with less, noise hides what the rank leaves out
            summary.tell(rank_findings.confirm(self.store, self.output, self.dataset))

    def _estimate(self) -> RunSummary:
        """Estimates by a sketch; images with a full score keep it, images far off get one."""
        store, exact = self.store, self.output.config(self.method.decided)
        calibration = sketch.kept_calibration(store, self.output, self.dataset, self.method)
        if calibration is None:
            known = store.scored(exact, self.dataset)
            if all(item.name in known for item in self.items):  # nothing is left to estimate
                return replace(self, method=replace(self.method, name="exact"))._score_fully()
            full = self._full_grams()
            if full is None:
                return RunSummary(cancelled=True)
            calibration = sketch.calibrate(store, self.output, self.dataset, self.method, full)
        config = sketch.sketch_config(exact, calibration)
        summary = self._score_missing(
            sketch_work(self.output, calibration, self.method.decided),
            known=lambda digests: store.done(exact, digests) | sketches.estimated(store, config, digests),
            put=lambda found: sketches.put_estimates(store, config, found),
        )
        self._tell_rank(summary)
        far = self.restricted_to(sketches.far_off(store, config, self.dataset))
        if far.items:
            far.score()
        summary.cancelled |= self.cancelled()
        return summary

    def _full_grams(self) -> Grams | None:
        """Full Grams of the images to calibrate on, whose scores are stored; None if it was cancelled."""
        exact, full = self.output.config(self.method.decided), Grams([], [], [])
        chosen = replace(self, items=sketch.calibration_items(self.items, self.method.sketch), whole=False)
        chosen._score_missing(
            exact_work(self.output, self.method.decided, keep=full),
            known=lambda _digests: set(),  # Grams are not stored, so an image that has a score is computed again
            put=lambda results: self.store.put(exact, results),
        )
        if self.cancelled():
            return None
        self.progress(0, 0)  # what comes now has no steps
        return full

    def _score_missing(
        self, work: Work, known: Callable[[Sequence[str]], set[str]], put: Callable[[list], None]
    ) -> RunSummary:
        """Do the work on the images that are not `known`, by their digests, and `put` what comes of it."""
        summary = RunSummary()
        summary.tell(work.note)

        def keep(results: list) -> None:
            put(results)
            summary.scored += len(results)
            summary.reused += sum(len(names[result.digest]) - 1 for result in results)
            self.progress(summary.done, len(self.items))

        names: dict[str, list[str]] = {}  # digest -> the images of the block that have it
        if self.whole:
            listed = {item.name for item in self.items}
            gone = [member.name for member in self.store.members(self.dataset) if member.name not in listed]
            self.store.forget_members(self.dataset, gone)
        start = time.perf_counter()
        self.progress(0, len(self.items))
        block = work.size * max(1, _BLOCK // work.size)  # whole batches
        for first in range(0, len(self.items), block):
            if self.cancelled():
                break
            names, missing = _missing(self.store, known, self.dataset, self.items[first : first + block], summary)
            failed = dict(score_pictures(self.output.loaded, work, missing, keep, self.cancelled))
            summary.failed += [
                (name, failed[same[0]].replace(same[0], name))  # equal files fail for the same reason
                for same in names.values()
                if same[0] in failed
                for name in same
            ]
            self.progress(summary.done, len(self.items))
        summary.cancelled = summary.done < len(self.items)
        summary.seconds = time.perf_counter() - start
        return summary


def _missing(
    store: Store,
    known_of: Callable[[Sequence[str]], set[str]],
    dataset: str,
    block: Sequence[Item],
    summary: RunSummary,
) -> tuple[dict[str, list[str]], list[Named]]:
    """Read a block and record its images as members.

    Returns the names of the images without a result, by digest, and one (name, digest, bytes) for each such digest.
    """
    read: list[tuple[Item, str, bytes]] = []
    listed = known_of([item.listed_digest for item in block if item.listed_digest])
    for item in block:
        if item.listed_digest in listed:  # its picture need not be at hand
            read.append((item, item.listed_digest, b""))
            continue
        try:
            data = item.read()
        except JepaError as error:
            summary.failed.append((item.name, str(error)))
            if not item.listed_digest:  # else it is not gone, it never was here
                store.forget_members(dataset, [item.name])
        else:
            read.append((item, images.digest(data), data))
    store.put_members(dataset, [Member(item.name, item.position, item.label, digest) for item, digest, _data in read])
    known = known_of([digest for _item, digest, _data in read])
    names: dict[str, list[str]] = {}
    missing: list[Named] = []
    for item, digest, data in read:
        if digest in known:
            summary.reused += 1
            continue
        if digest not in names:
            missing.append((item.name, digest, data))
        names.setdefault(digest, []).append(item.name)
    return names, missing
