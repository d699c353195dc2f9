"""The picture behind a score: its bytes, and the crop that was scored, made once and kept in the store."""

import io
import json
from collections.abc import Iterable
from contextlib import suppress

from PIL import Image

from jepa_core import images
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.errors import DatasetError, JepaError, StoreError
from jepa_core.store.records import Member
from jepa_core.store.results import Store

THUMBNAIL = 160  # px


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
    kept = store.crops(transform, [member.digest]).get(member.digest)
    if kept is not None and _kept(kept) is not None:
        return kept
    png = images.to_png(_crop(transform, dataset, member))
    with suppress(StoreError):  # a full disk costs the next visit some time, not this one its picture
        store.put_crops(transform, {member.digest: png})
    return png


def thumbnails(
    store: Store, transform: str, dataset: DatasetSpec, members: Iterable[Member]
) -> dict[str, bytes | JepaError]:
    """`images.thumbnail` of the crops of many images, by digest, or why an image has none; as `scored_crop` otherwise.

    They are looked up and kept together, so that a page of them costs two statements and not two a picture.
    """
    made_by = f"thumbnail of {THUMBNAIL} px: {transform}"
    wanted = {member.digest: member for member in members}
    found: dict[str, bytes | JepaError] = dict(store.crops(made_by, list(wanted)))
    missing = [digest for digest in wanted if digest not in found]
    crops = store.crops(transform, missing)
    made: dict[str, bytes] = {}
    for digest in missing:
        try:
            picture = _kept(crops[digest]) if digest in crops else None
            made[digest] = images.thumbnail(picture or _crop(transform, dataset, wanted[digest]), THUMBNAIL)
        except JepaError as error:
            found[digest] = error
    if made:
        with suppress(StoreError):
            store.put_crops(made_by, made)
    return found | made


def _kept(png: bytes) -> Image.Image | None:
    """A picture of the store; None for one that is damaged, which is made again."""
    try:
        with Image.open(io.BytesIO(png)) as kept:
            return kept.copy()
    except Exception:  # whatever Pillow makes of damaged bytes
        return None


def _crop(transform: str, dataset: DatasetSpec, member: Member) -> Image.Image:
    data = read_member(dataset, member)
    return images.cropped(data, json.loads(transform), member.name).image
