"""Where things are on this machine."""

import os
from pathlib import Path

import platformdirs

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "assets"


def cache_dir() -> Path:
    """The folder for results and for encoders a person trains: `$JEPA_CACHE`, else the platform's user cache folder.

    Nothing is created here; whoever writes creates it, so that a read-only machine can still read.
    """
    given = os.environ.get("JEPA_CACHE")
    return Path(given).expanduser() if given else platformdirs.user_cache_path("jepa-score-explorer")


def hosted() -> bool:
    """Whether the server is for visitors (`$JEPA_DATA_ROOTS` is set), who may not do all that its owner may."""
    return bool(os.environ.get("JEPA_DATA_ROOTS"))
