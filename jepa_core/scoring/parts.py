"""Scoring on many machines: each writes finished rows as parts, without a store, and `merge` puts them into one.

The same images come together in the same batches as in a run on one machine, so the rows are the same. A process that
is killed loses at most one batch, or what it computed in ten seconds; what is in the files is not computed again.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import jepa_core
from jepa_core.datasets.spec import DatasetSpec, Item
from jepa_core.encoders.registry import get_spec
from jepa_core.errors import JepaError, TableError, UnknownName
from jepa_core.keys import make_key
from jepa_core.progress import Cancelled, Progress, never, silent
from jepa_core.scoring import looks, pool, rank_findings
from jepa_core.scoring.batches import exact_work
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.image_run import ImageRun, RunSummary, block_size
from jepa_core.scoring.method import ScoringMethod
from jepa_core.store.parts import Listing, Part, PartFolder
from jepa_core.store.records import Member, Result, ResultConfig
from jepa_core.store.result_tables import ResultTable
from jepa_core.store.results import Store

WRITTEN_AFTER = 10.0
"""Seconds of work in one file: many small files cost more than what a kill may lose."""


def check_method(method: ScoringMethod) -> None:
    """Raise `JepaError` for a method that parts cannot be scored by on their own."""
    if method.name != "exact":
        raise JepaError(
            "Estimates were asked for in parts, but they are made from full scores of the whole set; --exact is "
            "accepted with --part and --on; score the parts fully, or estimate on one machine."
        )
    if method.precision == "auto":
        raise JepaError(
            "Precision auto was asked for in parts, each of which might find another one good enough; fp32, bf16 and "
            "tf32 are accepted with --part and --on; choose one."
        )


def listing_of(dataset: DatasetSpec, output: EncoderOutput, whole: bool = True) -> Listing:
    """What parts of a dataset say that they are parts of; `whole` unless only some of its pictures are scored."""
    stamp = make_key(jepa_core.__version__, dataset.fingerprint)
    return Listing(dataset.name, output.spec.name, len(dataset) if whole else 0, stamp)


def share(count: int, part: int, of: int, batch: int) -> range:
    """The places, from 0, of the images of one part: the `part`-th of `of` stretches, widened to whole batches.

    Stretches, since neighbours lie in the same folder or archive, which so one machine opens. A batch that two of them
    share is computed by both, so that the batches are those of one machine, and no image is left out where machines
    make batches of different sizes.

    >>> share(100, 2, 3, batch=10), share(100, 2, 3, batch=32), share(2, 1, 3, batch=1)
    (range(30, 70), range(32, 96), range(0, 0))
    """
    first, end = count * (part - 1) // of, count * part // of
    if first == end:
        return range(0)
    return range(first // batch * batch, min(count, -(-end // batch) * batch))


class _PartWriter:
    """What a run records, in place of a store: it goes into part files a few seconds' work at a time."""

    def __init__(self, folder: PartFolder, output: EncoderOutput, precision: str, listing: Listing) -> None:
        self.folder, self.listing, self.config = folder, listing, output.config(precision)
        self.known = folder.known(self.config, listing)
        found = pool.shipped(output)
        self.directions = None if found is None else found.directions
        self._spaces = (
            looks.sizes_space(output),
            "" if self.directions is None else looks.pivots_space(output, precision, self.directions),
        )
        self._members: dict[str, Member] = {}
        self._results: list[Result] = []
        self._written = time.monotonic()

    def members(self, _dataset: str) -> list[Member]:
        """None: what a dataset no longer has is found when parts are merged."""
        return []

    def forget_members(self, _dataset: str, names: Iterable[str]) -> None:
        """Forget images that could not be read."""
        for name in names:
            self._members.pop(name, None)

    def put_members(self, _dataset: str, members: Iterable[Member]) -> None:
        """Record images, to be written with their results."""
        new = {one.name: one for one in members}
        self._members |= {name: one for name, one in new.items() if not self.known.is_written(one)}

    def done(self, digests: Sequence[str]) -> set[str]:
        """Which of the images have a result."""
        return self.known.digests.intersection(digests)

    def put(self, results: list[Result]) -> None:
        """Keep results, and write once there is enough."""
        self._results += results
        self.known.digests |= {result.digest for result in results}
        if time.monotonic() - self._written > WRITTEN_AFTER:
            self._write([one for one in self._members.values() if one.digest in self.known.digests])

    def flush(self) -> None:
        """Write all there is, also of images that got no result."""
        self._write(list(self._members.values()))

    def _write(self, members: list[Member]) -> None:
        if members:
            rows = [(self.listing.dataset, one) for one in members]
            self.folder.write(ResultTable(self.config, rows, self._results, *self._spaces), self.listing)
        self.known.members |= {one.name: one for one in members}
        for one in members:
            del self._members[one.name]
        self._results = []
        self._written = time.monotonic()


class PartScorer:
    """Scores pictures fully into parts: an encoder is loaded, and its products traced, once for all of them.

    `batch` is how many are computed together.
    """

    def __init__(self, folder: PartFolder, output: EncoderOutput, method: ScoringMethod, listing: Listing) -> None:
        check_method(method)
        self._output, self._method, self._listing = output, method, listing
        self._writer = _PartWriter(folder, output, method.decided, listing)
        self._work = exact_work(output, method.decided, directions=self._writer.directions)
        self.batch = self._work.size

    def score(self, items: Sequence[Item], progress: Progress = silent, cancelled: Cancelled = never) -> RunSummary:
        """Score pictures, whose first one begins a batch. What comes of them is written when this returns or raises."""
        summary = RunSummary()
        summary.tell(self._work.note)
        block, start = block_size(self._work), time.perf_counter()
        progress(0, len(items))
        try:
            for first in range(0, len(items), block):
                if cancelled():
                    break
                self._score_block(items[first : first + block], summary, cancelled)
                progress(summary.done, len(items))
        finally:
            self._writer.flush()
        summary.cancelled = summary.done < len(items)
        summary.seconds = time.perf_counter() - start
        return summary

    def _score_block(self, items: Sequence[Item], summary: RunSummary, cancelled: Cancelled) -> None:
        left = [item for item in items if not self._writer.known.has(item)]
        run = ImageRun(
            self._writer, self._output, self._listing.dataset, left, self._method, whole=False, cancelled=cancelled
        )
        found = run.do(self._work, self._writer.done, self._writer.put)
        summary.scored += found.scored
        summary.reused += found.reused + len(items) - len(left)
        summary.failed += found.failed


# --- into the store ---------------------------------------------------------------------------------------------------


@dataclass
class MergedParts:
    """What came of merging: files that were read, full scores that were new, damaged files, and other sentences."""

    parts: int = 0
    new: int = 0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cancelled: bool = False

    def in_words(self) -> str:
        """One sentence."""
        stopped = " It was stopped; what had arrived stays." if self.cancelled else ""
        return f"{self.parts} parts were read, {self.new} full scores were new.{stopped}"


def merge_parts(
    store: Store, folder: PartFolder, progress: Progress = silent, cancelled: Cancelled = never
) -> MergedParts:
    """Put all parts of a folder into the store, as a run there would have; doing it again changes nothing.

    A file that is damaged is left out and told. Where parts name an image differently, the last written one counts.
    Images that a dataset no longer has are forgotten once the parts of its last listing have all that it listed.
    """
    merged, seen = MergedParts(), _Seen()
    paths = folder.paths()
    for number, path in enumerate(paths):
        progress(number, len(paths))
        if cancelled():
            merged.cancelled = True
            return merged
        try:
            part = folder.read(path)
        except TableError as error:
            merged.problems.append(str(error))
            continue
        merged.new += _put(store, part.table)
        merged.parts += 1
        seen.note(part)
    seen.put(store)
    progress(len(paths), len(paths))
    for config, listing in seen.listings.values():
        merged.notes += filter(None, (_found_of_rank(store, config, listing), _coverage(store, config, listing)))
    return merged


def _put(store: Store, table: ResultTable) -> int:
    """Put the results of a part into the store; how many were new. What is there already stays as it is."""
    digests = [result.digest for result in table.results]
    with store.transaction():
        new = len(set(digests) - store.done(table.config, digests))
        store.put(table.config, table.results)
        for name, space in (("sizes", table.sizes_space), ("pivots", table.pivots_space)):
            there = store.there_in("measures", space, digests) if space else set(digests)
            left = {result.digest: getattr(result, name) for result in table.results if result.digest not in there}
            store.put_measures(space, left)
    return new


class _Seen:
    """The members that parts name, each by the last that was written, and what they are parts of."""

    def __init__(self) -> None:
        self.listings: dict[tuple[str, str], tuple[ResultConfig, Listing]] = {}
        self._last: dict[str, tuple[float, Listing]] = {}  # by dataset
        self._members: dict[str, dict[str, tuple[float, str, Member]]] = {}

    def note(self, part: Part) -> None:
        for dataset, member in part.table.members:
            named = self._members.setdefault(dataset, {})
            if member.name not in named or named[member.name][0] <= part.written:
                named[member.name] = (part.written, part.listing.stamp, member)
        dataset = part.listing.dataset
        if dataset not in self._last or self._last[dataset][0] <= part.written:
            self._last[dataset] = (part.written, part.listing)
        self.listings[part.table.config.key, dataset] = (part.table.config, part.listing)

    def put(self, store: Store) -> None:
        for dataset, named in self._members.items():
            _written, listing = self._last[dataset]
            current = {name for name, (_written, stamp, _member) in named.items() if stamp == listing.stamp}
            complete = listing.size and len(current) == listing.size
            with store.transaction():
                store.put_members(
                    dataset,
                    [one for name, (_when, _stamp, one) in named.items() if not complete or name in current],
                )
                if complete:
                    there = [member.name for member in store.members(dataset)]
                    store.forget_members(dataset, [name for name in there if name not in current])


def _found_of_rank(store: Store, config: ResultConfig, listing: Listing) -> str:
    """What the first images show of the rank, as after a run: with less than float32, nothing."""
    try:
        output = EncoderOutput(get_spec(listing.encoder), config.output)
    except UnknownName:  # an encoder that is not here
        return ""
    if config.precision != "fp32" or output.config() != config:
        return ""
    return rank_findings.confirm(store, output, listing.dataset)


def _coverage(store: Store, config: ResultConfig, listing: Listing) -> str:
    scored = len(store.scored(config, listing.dataset))
    of = f" of {listing.size}" if listing.size else ""
    left = " The same 'score --part' and 'merge' add the others." if scored < listing.size else ""
    return (
        f"{scored}{of} images of {listing.dataset} have full scores by {listing.encoder}, {config.output} "
        f"({config.precision}).{left}"
    )
