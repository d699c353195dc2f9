"""The datasets of one's own that were opened once, by the names that were typed: offered again until forgotten.

They lie in `own-datasets.json` of the cache folder. A server with visitors remembers nothing: what one visitor opened
is not the others' to know.
"""

import json
from contextlib import suppress

from jepa_core import files
from jepa_core.config import cache_dir, hosted

MOST = 50  # the youngest are kept


def names() -> dict[str, str]:
    """Name -> title of each, the one opened last first."""
    if hosted():
        return {}
    try:
        found = json.loads(files.read_file(cache_dir() / "own-datasets.json"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: title for name, title in found.items() if isinstance(name, str) and isinstance(title, str)}


def remember(name: str, title: str) -> None:
    """Put a dataset first. Where the cache folder cannot be written nothing is remembered."""
    known = names()
    if hosted() or next(iter(known.items()), None) == (name, title):
        return
    others = [entry for entry in known.items() if entry[0] != name]
    _write(dict([(name, title), *others][:MOST]))


def forget(name: str) -> None:
    """Offer a dataset no more; its files and its scores stay."""
    _write({one: title for one, title in names().items() if one != name})


def _write(known: dict[str, str]) -> None:
    path = cache_dir() / "own-datasets.json"
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.replace_file(path, lambda to: to.write_text(json.dumps(known, indent=2), encoding="utf-8"))
