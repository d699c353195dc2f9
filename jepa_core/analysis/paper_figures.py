"""The paper's studies on any encoders and datasets at hand: its figures 1, 3 and 7 (arXiv 2510.05949).

Each first says what is missing and about how long that takes; scoring goes through the store, so a study that was
stopped goes on where it was, and one that was done costs nothing.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from PIL import Image

from jepa_core import images
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.errors import DatasetError, NotEnoughData
from jepa_core.scoring.encoder_output import EncoderOutput
from jepa_core.scoring.method import ScoringMethod
from jepa_core.scoring.stored import scored, stored_scores
from jepa_core.store.crops import read_member, scored_crop
from jepa_core.store.records import Member
from jepa_core.store.results import Store

IMAGES_PER_END = 5  # pictures of each end, as in the paper


def missing(
    store: Store, output: EncoderOutput, dataset: DatasetSpec, method: ScoringMethod, label: str | None = None
) -> int:
    """How many images (of a class) have no score yet."""
    known = scored(store, output, dataset.name, method.for_dataset(dataset))
    return sum(item.name not in known for item in dataset.items(label))


def table(
    store: Store, output: EncoderOutput, dataset: DatasetSpec, method: ScoringMethod, label: str | None = None
) -> pd.DataFrame:
    """The stored scores of a dataset (or a class), least likely first; `NotEnoughData` if there are none."""
    found = stored_scores(store, output, dataset.name, method.for_dataset(dataset))
    if label is not None:
        found = found[found["label"] == label]
    if found.empty:
        raise NotEnoughData(
            f"{dataset.title} has no scores for {output}; at least one image that can be read is needed; score it "
            "first."
        )
    return found.sort_values("jepa_score", kind="stable")


def ends(found: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The least and the most likely images of a sorted table, `IMAGES_PER_END` of each or half of what there is."""
    count = min(IMAGES_PER_END, len(found) // 2)
    return found.iloc[:count], found.iloc[len(found) - count :]


def pictures(store: Store, output: EncoderOutput, dataset: DatasetSpec, found: pd.DataFrame) -> list[Image.Image]:
    """The crops that an encoder scored of a table's rows; `DatasetError` for a listed dataset."""
    if dataset.listed:
        raise DatasetError(
            f"The pictures of {dataset.title} are not bundled; a dataset whose pictures are here is accepted; give the "
            "folder that holds them."
        )
    crops = [scored_crop(store, output.spec.transform, dataset, member) for member in _members(found)]
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


def outputs(specs: Sequence[EncoderSpec], name: str | None) -> Iterator[EncoderOutput]:
    """Each encoder's output of that name, or its default where it has none or for None."""
    for spec in specs:
        yield EncoderOutput.of(spec, name if name in spec.outputs else None)


def seconds_to_score(outputs: Sequence[EncoderOutput], counts: Sequence[int], device: str) -> float:
    """About how long full scores of so many images of each take on a device, which is measured for it."""
    from jepa_core.encoders import cost  # imports torch, for which a page must not wait

    return sum(
        count * cost.seconds_an_image(output.spec, output.name, device)
        for output, count in zip(outputs, counts, strict=True)
    )
