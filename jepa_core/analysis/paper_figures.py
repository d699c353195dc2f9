"""The paper's studies on any encoders and datasets at hand: its figures 1, 3 and 7 (arXiv 2510.05949).

Each first says what is missing and about how long that takes; scoring goes through the store, so a study that was
stopped goes on where it was, and one that was done costs nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from PIL import Image

from jepa_core import images
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.encoders.registry import Encoder
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import DatasetError, NotEnoughData
from jepa_core.progress import Cancelled, Progress, never, silent
from jepa_core.scoring import method as scoring_method
from jepa_core.scoring.method import Way
from jepa_core.store.crops import read_member, scored_crop
from jepa_core.store.records import Member
from jepa_core.store.results import Store

ENDS = 5  # pictures of each end, as in the paper


@dataclass(frozen=True)
class Subject:
    """One output of an encoder, which a study looks at."""

    spec: EncoderSpec
    output: str

    def __str__(self) -> str:
        return f"{self.spec.name}, {self.output}"


def missing(store: Store, subject: Subject, dataset: DatasetSpec, way: Way, label: str | None = None) -> int:
    """How many images (of a class) have no score yet."""
    known = scoring_method.scored(
        store, subject.spec, subject.output, dataset.name, scoring_method.possible(way, dataset)
    )
    return sum(item.name not in known for item in dataset.items(label))


def score(
    store: Store,
    encoder: Encoder,
    subject: Subject,
    dataset: DatasetSpec,
    way: Way,
    label: str | None = None,
    progress: Progress = silent,
    cancelled: Cancelled = never,
) -> None:
    """Score what is missing of a dataset, or of a class of it."""
    items = list(dataset.items(label))
    way = scoring_method.possible(way, dataset)
    way, _reason = scoring_method.decide(store, encoder, subject.output, dataset.name, items, way, cancelled)
    scoring_method.score(
        store,
        encoder,
        subject.output,
        dataset.name,
        items,
        way,
        whole=label is None,
        progress=progress,
        cancelled=cancelled,
    )


def table(store: Store, subject: Subject, dataset: DatasetSpec, way: Way, label: str | None = None) -> pd.DataFrame:
    """The stored scores of a dataset (or a class), least likely first; `NotEnoughData` if there are none."""
    found = scoring_method.scores(
        store, subject.spec, subject.output, dataset.name, scoring_method.possible(way, dataset)
    )
    if label is not None:
        found = found[found["label"] == label]
    if found.empty:
        raise NotEnoughData(
            f"{dataset.title} has no scores for {subject}; at least one image that can be read is needed; score it "
            "first."
        )
    return found.sort_values("jepa_score", kind="stable")


def ends(found: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The least and the most likely images of a sorted table, `ENDS` of each or half of what there is."""
    count = min(ENDS, len(found) // 2)
    return found.iloc[:count], found.iloc[len(found) - count :]


def pictures(store: Store, subject: Subject, dataset: DatasetSpec, found: pd.DataFrame) -> list[Image.Image]:
    """The crops that an encoder scored of a table's rows; `DatasetError` for a listed dataset."""
    if dataset.listed:
        raise DatasetError(
            f"The pictures of {dataset.title} are not bundled; a dataset whose pictures are here is accepted; give the "
            "folder that holds them."
        )
    crops = [scored_crop(store, subject.spec.transform, dataset, member) for member in _members(found)]
    return [images.decode(crop).image for crop in crops]


def picture(dataset: DatasetSpec, found: pd.DataFrame) -> Image.Image:
    """The first row's whole picture."""
    return images.decode(read_member(dataset, _members(found)[0])).image


def _members(found: pd.DataFrame) -> list[Member]:
    return [
        Member(name, int(position), label, digest)
        for name, position, label, digest in found[["name", "position", "label", "digest"]].itertuples(index=False)
    ]


def drawn_at_random(found: pd.DataFrame, count: int, seed: int = 0) -> pd.DataFrame:
    """Rows by a stated seed, for comparison with the ends."""
    order = np.random.default_rng(seed).permutation(len(found))[:count]
    return found.iloc[np.sort(order)]


def subjects(specs: Sequence[EncoderSpec], output: str | None) -> Iterator[Subject]:
    """Each encoder's output of that name, or its default where it has none or for None."""
    for spec in specs:
        yield Subject(spec, output if output in spec.outputs else spec.default_output)


def seconds_to_score(subjects: Sequence[Subject], counts: Sequence[int], device: str) -> float:
    """About how long full scores of so many images of each take on a device, which is measured for it."""
    from jepa_core.encoders import cost  # imports torch, for which a page must not wait

    return sum(
        count * cost.seconds_an_image(subject.spec, subject.output, device)
        for subject, count in zip(subjects, counts, strict=True)
    )
