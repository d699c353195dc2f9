"""Where things are on this machine."""

import os
from pathlib import Path

import platformdirs

from jepa_core.errors import NotAllowed
from jepa_core.files import expanded

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = _PACKAGE / "_explorer"  # where pyproject.toml has the wheel put them
ROOT = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent
"""Where `app.py`, `pages/` and `assets/` are: above this package in a checkout, in a folder of it when installed."""
ASSETS = ROOT / "assets"


def cache_dir() -> Path:
    """The folder for results and for encoders a person trains: `$JEPA_CACHE`, else the platform's user cache folder.

    Nothing is created here; whoever writes creates it, so that a read-only machine can still read.
    """
    given = os.environ.get("JEPA_CACHE")
    return expanded(given) if given else platformdirs.user_cache_path("jepa-score-explorer")


def data_roots() -> tuple[str, ...] | None:
    """The folders that may be read, as `$JEPA_DATA_ROOTS` names them; None where all may be.

    A variable that names no folder, such as " ", is a mistake of the one who meant to confine: it opens nothing.
    """
    given = os.environ.get("JEPA_DATA_ROOTS")
    if not given:
        return None
    return tuple(part for part in given.split(os.pathsep) if part.strip())


def hosted() -> bool:
    """Whether the server is for visitors (`$JEPA_DATA_ROOTS` is set), who may not do all that its owner may.

    What is decided by it: which folders may be read (`jepa_core.datasets.folders`), whether anything is downloaded
    (`jepa_core.encoders.download`, `jepa_core.datasets.readers`), whose jobs one sees (`jepa_core.jobs`), and
    `check_owner`.
    """
    return data_roots() is not None


def check_owner(deed: str) -> None:
    """Raise `NotAllowed` for what only the owner of a server may do, where it is for visitors."""
    if hosted():
        raise NotAllowed(
            f"This server was asked to {deed}, which its visitors may not (JEPA_DATA_ROOTS is set); looking at what is "
            "there is accepted; its owner can do it where the variable is not set."
        )
