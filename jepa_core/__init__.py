"""JEPA-SCORE: read the density of its data out of a self-supervised encoder.

    from jepa_core import score_images
    score_images(["a.png", "b.jpg"], encoder="digits")

The public names below are imported when first used, since torch takes seconds to import.
"""

import os
from importlib import import_module

# Before torch is imported. Its threads wait for each other awake, so where another program has a core, each small
# product waits for the scheduler. Asleep they cost a small encoder 15 % of its speed on two quiet cores, and make it
# ten times as fast where one of them is busy.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

_HOMES = {
    "list_datasets": "jepa_core.datasets",
    "list_encoders": "jepa_core.encoders",
    "load_encoder": "jepa_core.encoders",
    "score_images": "jepa_core.scoring",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
