"""Work on the images of a dataset that it has not been done on: read, looked up, computed in batches, stored.

What a scoring run does with images, fully or for estimates, is a `Work` that goes through here. Resumable: what is
stored is not done again, and what is in flight when it is stopped is lost, no more.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from jepa_core import images
from jepa_core.datasets.spec import Item
from jepa_core.errors import JepaError
from jepa_core.progress import Cancelled, Progress, never, silent
from jepa_core.scoring.batches import Named, Work, score_pictures
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ScoringMethod
from jepa_core.store.records import Member

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


class MemberBook(Protocol):
    """Where a run records which images its dataset has: the store, or parts that are put into it later."""

    def members(self, dataset: str) -> list[Member]:
        """The recorded images of a dataset, in order."""

    def put_members(self, dataset: str, members: Iterable[Member]) -> None:
        """Record images; a name that is there already gets its new digest."""

    def forget_members(self, dataset: str, names: Iterable[str]) -> None:
        """Forget images that a dataset no longer has."""


Book = TypeVar("Book", bound=MemberBook)


def block_size(work: Work) -> int:
    """How many images of a work are read and looked up together: whole batches."""
    return work.size * max(1, _BLOCK // work.size)


@dataclass(frozen=True, eq=False)
class ImageRun(Generic[Book]):
    """Images of a dataset, an encoder output, and who is told of what is done with them.

    Attributes:
        store: where results are looked up and kept.
        output: of a loaded encoder.
        dataset: the dataset's name, under which the items are recorded as members.
        items: which images; unreadable ones are reported in the summary and the run goes on.
        method: fully or estimated, and the precision; an open one is decided by the dataset.
        whole: whether `items` is the whole dataset, so that recorded members that are not among them are gone.
        progress: called with (done, total) after each batch.
        cancelled: asked before each batch.
    """

    store: Book
    output: EncoderOutput
    dataset: str
    items: Sequence[Item]
    method: ScoringMethod = field(default_factory=ScoringMethod)
    whole: bool = True
    progress: Progress = silent
    cancelled: Cancelled = never

    def do(self, work: Work, known: Callable[[Sequence[str]], set[str]], put: Callable[[list], None]) -> RunSummary:
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
        block = block_size(work)
        for first in range(0, len(self.items), block):
            if self.cancelled():
                break
            names, missing = _unknown(self.store, known, self.dataset, self.items[first : first + block], summary)
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


def _unknown(
    store: MemberBook,
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
