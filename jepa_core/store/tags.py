"""Words that a person gave to images of a dataset ("drop", "keep", "review" or any other), kept until they are removed.

A tag belongs to a dataset and a digest: a file that is renamed keeps it, and one that is written anew is another image.
"""

from collections.abc import Iterable

from jepa_core.errors import JepaError
from jepa_core.store.results import Store
from jepa_core.store.schema import insert, summed

SUGGESTED = ("drop", "keep", "review")
"""Tags that are offered; any other is accepted, too."""
LONGEST = 40
"""Letters of a tag, at most."""


def check(tag: str) -> str:
    """The tag without what stands around it; `JepaError` for what is none."""
    cleaned = " ".join(tag.split())
    if not cleaned or len(cleaned) > LONGEST or not cleaned.isprintable() or "," in cleaned:
        raise JepaError(
            f"The tag {tag[: LONGEST + 1]!r} was given; 1 to {LONGEST} letters without a comma are accepted, such as "
            "'drop'; choose another word."
        )
    return cleaned


def add(store: Store, dataset: str, digests: Iterable[str], tag: str) -> None:
    """Tag images of a dataset; those that have the tag already keep it. Raises `JepaError` for what is no tag."""
    tag = check(tag)
    with store.transaction() as cursor:
        cursor.executemany(insert("tags"), [summed(dataset, digest, tag) for digest in digests])


def remove(store: Store, dataset: str, digests: Iterable[str], tag: str) -> None:
    """Take a tag from images of a dataset."""
    with store.transaction() as cursor:
        cursor.executemany(
            "DELETE FROM tags WHERE dataset = ? AND digest = ? AND tag = ?",
            [(dataset, digest, tag) for digest in digests],
        )


def of(store: Store, dataset: str) -> dict[str, tuple[str, ...]]:
    """The tags of a dataset's images by digest, each image's in the order of the alphabet."""
    rows = store.select("SELECT dataset, digest, tag, crc FROM tags WHERE dataset = ? ORDER BY digest, tag", dataset)
    found: dict[str, tuple[str, ...]] = {}
    for _dataset, digest, tag in store.whole("tags", rows):
        found[digest] = (*found.get(digest, ()), tag)
    return found
