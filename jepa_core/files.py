"""Writing a file so that a reader sees the old one or the new one, never half of one."""

import os
from collections.abc import Callable
from pathlib import Path


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a new file in the same folder and rename it to `path`; an error leaves `path` as it was."""
    # The suffix stays last: writers choose the format by it. The process id keeps two writers apart.
    partial = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
