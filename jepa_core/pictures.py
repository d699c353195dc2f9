"""The picture to show beside a score: the crop that was scored, made once and kept in the store."""

import json

from jepa_core import images
from jepa_core.datasets import DatasetSpec
from jepa_core.errors import DatasetError
from jepa_core.records import Member
from jepa_core.store import Store


def scored_crop(store: Store, transform: str, dataset: DatasetSpec, member: Member) -> bytes:
    """PNG of the crop of a dataset's image under a transform.

    Args:
        store: keeps the crop for the next time.
        transform: canonical JSON of an encoder's data config.
        dataset: the dataset.
        member: the image's place in it.

    Raises `JepaError` where the picture cannot be read, or is not the one that was scored any more.
    """
    kept = store.crop(transform, member.digest)
    if kept is not None:
        return kept
    data = dataset.item(member.position).read()
    if images.digest(data) != member.digest:
        raise DatasetError(
            f"{member.name} is not the picture that was scored (its bytes changed); score the dataset again to see it."
        )
    crop = images.crop(images.decode(data, name=member.name).image, json.loads(transform))
    png = images.to_png(crop)
    store.put_crop(transform, member.digest, png)
    return png
