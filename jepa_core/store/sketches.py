"""What the store keeps of estimates: they themselves, what they were made by, looks at images, and precisions."""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray

from jepa_core.images import digest as digest_of
from jepa_core.store.records import Estimate, Look, Member, ResultConfig
from jepa_core.store.results import MEMBER, Store
from jepa_core.store.salvage import is_told
from jepa_core.store.schema import insert, sound, summed

if TYPE_CHECKING:
    from jepa_core.jacobian.engine import Precision


def put_looks(store: Store, space: str, sizes_space: str, looks: Iterable[Look]) -> None:
    """Keep what forward passes gave, in one transaction: embeddings, and the sizes of the layers."""
    found = list(looks)
    with store.transaction() as cursor:
        cursor.executemany(
            insert("embeddings"),
            [summed(space, look.digest, np.ascontiguousarray(look.embedding, dtype="<f4").tobytes()) for look in found],
        )
        store.put_measures(sizes_space, {look.digest: look.sizes for look in found})


def measured(store: Store, space: str, digests: Sequence[str]) -> set[str]:
    """Which of the images have measures in a space: nothing else of them is read."""
    return store.there_in("measures", space, digests)


def scored_with_measures(store: Store, config: ResultConfig, space: str, most: int) -> list[str]:
    """Digests of images that have a result of a config and measures in a space: `most` of them, in their own order.

    A digest is random, so these are a random sample, and the same one again.
    """
    rows = store.select(
        "SELECT results.digest FROM results JOIN measures ON measures.digest = results.digest "
        "WHERE config = (SELECT id FROM configs WHERE key = ?) AND space = ? ORDER BY results.digest LIMIT ?",
        config.key,
        space,
        most,
    )
    return [digest for (digest,) in rows]


def put_estimates(store: Store, config: ResultConfig, estimates: Iterable[Estimate]) -> None:
    """Write estimates in one transaction, in the place of earlier ones."""
    with store.transaction() as cursor:
        number = store.config_id(cursor, config)
        cursor.executemany(
            insert("estimates", replace=True),
            [
                summed(number, e.digest, e.score, e.low, e.high, int(e.far), e.squared_norm, e.seconds, e.device)
                for e in estimates
            ],
        )


def estimates(store: Store, config: ResultConfig, dataset: str) -> list[tuple[Member, Estimate]]:
    """The estimates of a config on the recorded images of a dataset, in order."""
    joined = store.select(
        f"SELECT {MEMBER}, config, estimates.digest, score, low, high, far, squared_norm, seconds, device, "
        "estimates.crc FROM members JOIN estimates ON estimates.digest = members.digest "
        "WHERE dataset = ? AND config = (SELECT id FROM configs WHERE key = ?) ORDER BY position",
        dataset,
        config.key,
    )
    members = store.whole_members(row[:6] for row in joined)
    found = store.whole("estimates", (row[6:] for row in joined))
    return [
        (member, Estimate(digest, score, low, high, bool(far), norm, seconds, device))
        for member, (_config, digest, score, low, high, far, norm, seconds, device) in zip(members, found, strict=True)
    ]


def put_arrays(store: Store, key: str, arrays: Mapping[str, ndarray]) -> None:
    """Keep small arrays under the key of what they were made for, in the place of earlier ones."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    data = buffer.getvalue()
    with store.transaction() as cursor:
        cursor.execute("INSERT OR REPLACE INTO calibrations VALUES (?, ?, ?)", (key, digest_of(data)[:16], data))


def arrays(store: Store, key: str) -> dict[str, ndarray] | None:
    """The arrays kept under a key, or None. Raises `StoreError` where they are not what was written."""
    rows = store.select("SELECT key, id, arrays FROM calibrations WHERE key = ?", key)
    if not rows:
        return None
    if not is_told("calibrations", rows[0]):
        raise store.suspect("a calibration is not what was written")
    with np.load(io.BytesIO(rows[0][2]), allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


def calibration_id(store: Store, key: str) -> str | None:
    """The id of what is kept under a key: the estimates of earlier versions name it."""
    rows = store.select("SELECT id FROM calibrations WHERE key = ?", key)
    return rows[0][0] if rows else None


def put_precision(store: Store, key: str, precision: str, agreement: float) -> None:
    """Keep which precision was found good enough, and the Spearman correlation that said so."""
    with store.transaction() as cursor:
        cursor.execute("INSERT OR REPLACE INTO precisions VALUES (?, ?, ?)", (key, precision, agreement))


def precision(store: Store, key: str) -> "tuple[Precision, float] | None":
    """The precision kept under a key, and its Spearman correlation with float32, or None."""
    rows = store.select("SELECT precision, agreement FROM precisions WHERE key = ?", key)
    return rows[0] if rows and sound("precisions", (key, *rows[0])) else None
