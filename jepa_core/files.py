"""Files: written so that a reader sees the old one or the new one, never half of one; asked after and read so that no
name can do worse than not be there.
"""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

_AT_ONCE = getattr(os, "O_NONBLOCK", 0)  # Windows has no such pipes


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a new file in the same folder and rename it to `path`; an error leaves `path` as it was."""
    # The suffix stays last: writers choose the format by it. The process id keeps two writers apart.
    partial = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def expanded(text: str) -> Path:
    """A path as it was typed, with "~" written out; `Path.expanduser` raises for a user that is not there."""
    return Path(os.path.expanduser(text))  # noqa: PTH111


def is_dir(path: Path) -> bool:
    """Whether a folder is there. `Path.is_dir` raises where a part is too long, or may not be entered."""
    return os.path.isdir(path)  # noqa: PTH112


def is_file(path: Path) -> bool:
    """Whether a file is there: no device, pipe or socket. It raises as little as `is_dir` does."""
    return os.path.isfile(path)  # noqa: PTH113


def exists(path: Path) -> bool:
    """Whether anything is there. It raises as little as `is_dir` does."""
    return os.path.exists(path)  # noqa: PTH110


def read_file(path: Path) -> bytes:
    """The bytes of a file; `OSError` for what is none, or is not there.

    A pipe would be waited for and a device such as /dev/zero never ends, also where they have taken the place of a file
    since it was listed. So what was opened is looked at before it is read, and opening waits for nobody.
    """
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | _AT_ONCE)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(errno.EINVAL, "It is a device, a pipe or a socket, and no file", str(path))
            return file.read()
    except ValueError as error:  # a zero byte
        raise OSError(errno.EINVAL, "No path has such a name", str(path)) from error
