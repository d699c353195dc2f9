"""Files: written so that a reader sees the old one or the new one, never half of one, and what killed writers leave;
asked after and read so that no name can do worse than not be there.
"""

import errno
import hashlib
import os
import re
import shutil
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_AT_ONCE = getattr(os, "O_NONBLOCK", 0)  # Windows has no such pipes
# A partial file says who writes it, so that it can be removed once that process is gone: machine, process, thread.
_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
_PARTIAL = re.compile(r"(?:\.|jepa-score-).*jepa-([0-9a-f]{8})-(\d+)-.*", re.DOTALL)
_OLDER = re.compile(r"\.(?:store|export|weights)\.(\d+)\.(?:sqlite|json)(?:-journal|-wal|-shm)?")  # of former versions
_STEM = 40  # characters of a name that its partial keeps, which must not become too long for the disk
_WAIT = 5.0  # seconds for another process at the same work in a folder


def _mark() -> str:
    return f"jepa-{_HOST}-{os.getpid()}-{threading.get_native_id()}"


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a new file in the same folder and rename it to `path`; an error leaves `path` as it was."""
    sweep(path.parent)
    # The suffix stays last: writers choose the format by it.
    partial = path.with_name(f".{path.stem[:_STEM]}.{_mark()}-{path.suffix}")
    try:
        write(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_asset(path: Path) -> str:
    """A text that a page shows; empty for one that is gone, which costs the page a drawing and nothing else."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def temporary_prefix() -> str:
    """How the names of this program's temporary folders begin, by which `sweep` knows them."""
    return f"jepa-score-{_mark()}-"


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is removed at the end, or by the next program after this one was killed."""
    sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=temporary_prefix()) as made:
        yield Path(made)


def sweep(folder: Path, depth: int = 0) -> None:
    """Remove what processes that are gone left half written in a folder, and so many levels below it."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        with suppress(OSError):
            is_folder = entry.is_dir(follow_symlinks=False)
            if _is_left(entry):
                shutil.rmtree(entry.path) if is_folder else os.unlink(entry.path)  # noqa: PTH108 (an entry, not a Path)
            elif depth and is_folder:
                sweep(Path(entry.path), depth - 1)


def _is_left(entry: os.DirEntry) -> bool:
    # By the name first: of thousands of files on a disk of the network nobody asks when each was written.
    if found := _PARTIAL.fullmatch(entry.name):
        return found[1] == _HOST and not _alive(int(found[2]))
    if found := _OLDER.fullmatch(entry.name):  # which did not say of which machine
        return not _alive(int(found[1])) and time.time() - entry.stat(follow_symlinks=False).st_mtime > 3600
    return False


def _alive(process: int) -> bool:
    if os.name == "nt":  # where the question would end the process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is somebody else's
        return True
    return True


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Have no other process inside this block for the same folder, where the system can say so."""
    handle = None
    try:
        with suppress(ImportError, OSError):  # Windows, or a disk of the network
            import fcntl

            handle = os.open(folder, os.O_RDONLY)
            deadline = time.monotonic() + _WAIT
            while time.monotonic() < deadline:
                with suppress(BlockingIOError):
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                time.sleep(0.01)
        yield
    finally:
        if handle is not None:
            os.close(handle)


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
