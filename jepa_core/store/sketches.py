"""What the store keeps of sketches: estimates, the calibrations that made them, and chosen precisions."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jepa_core.jacobian.sketch import Calibration
from jepa_core.store.records import Estimate, Member, ResultConfig
from jepa_core.store.results import MEMBER, Store
from jepa_core.store.salvage import is_told
from jepa_core.store.schema import insert, sound, summed

if TYPE_CHECKING:
    from jepa_core.jacobian.engine import Precision


def put_estimates(store: Store, config: ResultConfig, estimates: Iterable[Estimate]) -> None:
    """Write estimates and their embeddings in one transaction. One that is there already stays as it is."""
    found = list(estimates)
    with store.transaction() as cursor:
        number = store.config_id(cursor, config)
        cursor.executemany(
            insert("estimates"),
            [
                summed(number, e.digest, e.score, e.low, e.high, int(e.far), e.squared_norm, e.seconds, e.device)
                for e in found
            ],
        )
        cursor.executemany(
            insert("embeddings"),
            [summed(config.space, e.digest, np.ascontiguousarray(e.embedding, dtype="<f4").tobytes()) for e in found],
        )


def estimates(store: Store, config: ResultConfig, dataset: str) -> list[tuple[Member, Estimate]]:
    """The estimates of a config on the recorded images of a dataset, in order, without their embeddings."""
    joined = store.select(
        f"SELECT {MEMBER}, config, estimates.digest, score, low, high, far, squared_norm, seconds, device, "
        "estimates.crc FROM members JOIN estimates ON estimates.digest = members.digest "
        "WHERE dataset = ? AND config = (SELECT id FROM configs WHERE key = ?) ORDER BY position",
        dataset,
        config.key,
    )
    members = store.whole_members(row[:6] for row in joined)
    found = store.whole("estimates", (row[6:] for row in joined))
    none = np.empty(0, dtype=np.float32)
    return [
        (member, Estimate(digest, score, low, high, bool(far), none, norm, seconds, device))
        for member, (_config, digest, score, low, high, far, norm, seconds, device) in zip(members, found, strict=True)
    ]


def estimated(store: Store, config: ResultConfig, digests: Sequence[str]) -> set[str]:
    """Which of the images have an estimate."""
    return store.there("estimates", config, digests)


def far_off(store: Store, config: ResultConfig, dataset: str) -> set[str]:
    """The names of a dataset's images that are too far from the calibration images for their estimates."""
    rows = store.select(
        "SELECT name FROM members JOIN estimates ON estimates.digest = members.digest "
        "WHERE dataset = ? AND config = (SELECT id FROM configs WHERE key = ?) AND far",
        dataset,
        config.key,
    )
    return {name for (name,) in rows}


def put_calibration(store: Store, key: str, calibration: Calibration) -> None:
    """Keep a calibration under the key of what it was asked for."""
    with store.transaction() as cursor:
        cursor.execute(
            "INSERT OR REPLACE INTO calibrations VALUES (?, ?, ?)", (key, calibration.id, calibration.to_bytes())
        )


def calibration(store: Store, key: str) -> Calibration | None:
    """The calibration kept under a key, or None. Raises `StoreError` where it is not what was written."""
    rows = store.select("SELECT key, id, arrays FROM calibrations WHERE key = ?", key)
    if not rows:
        return None
    if not is_told("calibrations", rows[0]):
        raise store.suspect("a calibration is not what was written")
    return Calibration.from_bytes(rows[0][2])


def put_precision(store: Store, key: str, precision: str, agreement: float) -> None:
    """Keep which precision was found good enough, and the Spearman correlation that said so."""
    with store.transaction() as cursor:
        cursor.execute("INSERT OR REPLACE INTO precisions VALUES (?, ?, ?)", (key, precision, agreement))


def precision(store: Store, key: str) -> "tuple[Precision, float] | None":
    """The precision kept under a key, and its Spearman correlation with float32, or None."""
    rows = store.select("SELECT precision, agreement FROM precisions WHERE key = ?", key)
    return rows[0] if rows and sound("precisions", (key, *rows[0])) else None
