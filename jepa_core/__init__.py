"""JEPA-SCORE: read the density of its data out of a self-supervised encoder.

    from jepa_core import score_images
    score_images(["a.png", "b.jpg"], encoder="digits")

The public names below are imported when first used, since torch takes seconds to import.
"""

from importlib import import_module

__version__ = "0.2.0"  # what the wheel is called, too

_HOMES = {
    "check_images": "jepa_core.check.check_images",
    "get_dataset": "jepa_core.datasets.registry",
    "list_datasets": "jepa_core.datasets.registry",
    "list_encoders": "jepa_core.encoders.registry",
    "load_encoder": "jepa_core.encoders.registry",
    "score_dataset": "jepa_core.analysis.score_dataset",
    "score_histogram": "jepa_core.figures.histogram",
    "score_images": "jepa_core.scoring.score_images",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
