"""What an encoder can tell from what it knows, and what it cannot: said beforehand, from its own benchmark.

`benchmarks/verdicts.py --write` measures it, on pictures that neither the encoder nor a method has seen.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from jepa_core.config import ASSETS
from jepa_core.encoders.spec import EncoderSpec
from jepa_core.wording import listed

PATH = ASSETS / "verdicts.json"
MOST, FEW = 0.8, 0.2
"""From which share of the pictures of a kind on it is told, and up to which it is not; in between, in part."""


@dataclass(frozen=True)
class TrackRecord:
    """Shares (0 to 1) that are called: of foreign sets by their titles, by the encoder alone; of disturbances."""

    foreign: dict[str, float]
    disturbed: dict[str, float]

    @property
    def sentences(self) -> list[str]:
        """What it can tell, and what it cannot."""
        found = [
            _said(self.foreign, "Foreign sets, by its layers, embedding and score alone:"),
            _said(self.disturbed, "Disturbances of pictures that it knows:"),
        ]
        return [sentence for sentence in found if sentence]


def track_record(spec: EncoderSpec) -> TrackRecord | None:
    """What was measured of an encoder; None where nobody has."""
    found = _all(PATH, PATH.stat().st_mtime_ns if PATH.exists() else 0).get(spec.name)
    return TrackRecord(**found) if found else None


def write(name: str, record: TrackRecord) -> None:
    """Put an encoder's record among those that ship, in the place of an earlier one."""
    found = dict(_all(PATH, PATH.stat().st_mtime_ns if PATH.exists() else 0))
    found[name] = {"foreign": record.foreign, "disturbed": record.disturbed}
    PATH.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n", encoding="utf-8")


@lru_cache(maxsize=2)
def _all(path: Path, changed: int) -> dict[str, dict[str, dict[str, float]]]:
    return json.loads(path.read_text(encoding="utf-8")) if changed else {}


def _said(shares: dict[str, float], who: str) -> str:
    """One sentence, "" for no shares."""
    parts = {
        "tells": [name for name, share in shares.items() if share >= MOST],
        "in part": [name for name, share in shares.items() if FEW < share < MOST],
        "hardly": [name for name, share in shares.items() if share <= FEW],
    }
    said = [f"{start} {listed(names)}" for start, names in parts.items() if names]
    return f"{who} {'; '.join(said)}." if said else ""
