"""The picture behind a score: its bytes, and the crop that was scored, made once and kept in the store."""

import json
from contextlib import suppress

from jepa_core import images
from jepa_core.errors import DatasetError, StoreError
from jepa_core.items import DatasetSpec
from jepa_core.records import Member
from jepa_core.store import Store


def read_member(dataset: DatasetSpec, member: Member) -> bytes:
    """The bytes of a recorded image, only if they are those that were scored.

    A folder may have changed since: the image is looked up by its name, and its digest is compared.
    Raises `DatasetError` where it is gone or another picture now.
    """
    item = dataset.item(member.position) if member.position < len(dataset) else None
    if item is None or item.name != member.name:
        item = next((other for other in dataset.items() if other.name == member.name), None)
    if item is None:
        raise DatasetError(f"{member.name} is not in {dataset.title} any more; score the dataset again.")
    data = item.read()
    if images.digest(data) != member.digest:
        raise DatasetError(
            f"{member.name} is not the picture that was scored (its bytes changed); score the dataset again to see it."
        )
    return data


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
    data = read_member(dataset, member)
    png = images.to_png(images.crop(images.decode(data, name=member.name).image, json.loads(transform)))
    with suppress(StoreError):  # a full disk costs the next visit some time, not this one its picture
        store.put_crop(transform, member.digest, png)
    return png
