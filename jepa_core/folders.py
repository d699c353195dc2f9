"""Folders of images: which files they hold and in what order, and whether this server may read them.

Where `$JEPA_DATA_ROOTS` is set, only its folders and what lies in them may be read, once symbolic links are resolved.
"""

import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from jepa_core import headers
from jepa_core.config import data_roots
from jepa_core.errors import DatasetError
from jepa_core.keys import make_key


def resolve(path: str) -> Path | None:
    """The absolute path with links and "~" resolved, or None for what can be no path."""
    if not path.strip():
        return None
    try:
        # Not Path.resolve and Path.expanduser: they raise for a loop of links and an unknown user, and both are only
        # folders that do not exist.
        return Path(os.path.realpath(os.path.expanduser(path)))  # noqa: PTH111
    except (ValueError, OSError):  # a zero byte, a name too long
        return None


def _roots() -> tuple[Path, ...] | None:
    """The folders that may be read; None where all may be."""
    named = data_roots()
    return None if named is None else tuple(root for part in named if (root := resolve(part)) is not None)


def _is_allowed(path: Path, roots: tuple[Path, ...] | None) -> bool:
    return roots is None or any(path.is_relative_to(root) for root in roots)


def check_allowed(path: Path) -> None:
    """Raise `DatasetError` for a resolved path that this server may not read."""
    roots = _roots()
    if _is_allowed(path, roots):
        return
    if not roots:
        raise DatasetError(
            f"The folder {path} may not be read: JEPA_DATA_ROOTS is set but names no folder; only the bundled datasets "
            f"are accepted; choose one, or set the variable to folders with {os.pathsep!r} between them."
        )
    raise DatasetError(
        f"The folder {path} is outside what this server may read; a folder in "
        f"{' or '.join(map(str, roots))} is accepted; choose one there."
    )


def image_files(root: Path) -> tuple[list[Path], list[Path]]:
    """The image files at or below `root`, and the files that look like pictures but are none that can be read.

    Class by class, "2.png" before "10.png". An ending decides what is taken for a picture; a file without one looks
    like a picture where its first bytes do. Hidden files and folders, and links that lead outside what may be read,
    are passed over.
    """
    pictures: list[Path] = []
    left_out: list[Path] = []
    for path in _find_files(root):
        if headers.is_picture(path.name):
            pictures.append(path)
        elif headers.is_unread(path.name) or (not path.suffix and headers.kind_of(_start(path))):
            left_out.append(path)
    return tuple(sorted(found, key=lambda path: _order(root, path)) for found in (pictures, left_out))  # type: ignore[return-value]


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(headers.SNIFFED)
    except OSError:
        return b""


def _find_files(root: Path) -> Iterator[Path]:
    """Each folder is entered once, however many links lead to it."""
    roots = _roots()
    entered = {root}
    waiting = [(root, root)]  # as it was reached, and as it is
    while waiting:
        folder, real_folder = waiting.pop()
        allowed = _is_allowed(real_folder, roots)
        for entry in _visible(folder):
            path, real = folder / entry.name, None
            # Only a link can lead elsewhere; to resolve each of ten thousand files would take seconds.
            if entry.is_symlink():
                real = Path(os.path.realpath(path))
            elif entry.is_dir():
                real = real_folder / entry.name
            if not (_is_allowed(real, roots) if real else allowed):
                continue
            if real and real.is_dir():
                if real not in entered:
                    entered.add(real)
                    waiting.append((path, real))
            elif (real or entry).is_file():
                yield path


def _visible(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return sorted((one for one in entries if not one.name.startswith(".")), key=lambda one: one.name)
    except OSError:  # a folder that may not be opened holds nothing for us
        return []


def _order(root: Path, path: Path) -> tuple[bool, list[tuple[tuple[str, int, str], ...]]]:
    """Class by class, those without one last."""
    parts = below(root, path)
    return len(parts) == 1, [*map(_natural_folder, parts[:-1]), _natural(parts[-1])]


def below(root: Path, path: Path) -> tuple[str, ...]:
    """The parts of a path below the folder in which it was found; `Path.relative_to` takes five times as long."""
    return path.parts[len(root.parts) :]


def _natural(text: str) -> tuple[tuple[str, int, str], ...]:
    pieces = re.findall(r"([^0-9]*)([0-9]*)", text)
    # The piece itself last, so that "1" and "01" keep one order on each machine.
    return tuple((word.casefold(), int(number or -1), word + number) for word, number in pieces)


_natural_folder = lru_cache(maxsize=1024)(_natural)  # a folder's name comes with each of its files


def fingerprint(paths: Sequence[Path]) -> str:
    """Another one after a file was added, removed or written."""
    return make_key(*(part for path in paths for part in _stamp(path)))


def _stamp(path: Path) -> tuple[str, int, int]:
    """What changes when a file is written anew; a file that is gone by now has no size and no time."""
    try:
        status = path.stat()
    except OSError:
        return readable(str(path)), 0, 0
    return readable(str(path)), status.st_size, status.st_mtime_ns


def readable(text: str) -> str:
    r"""A file name as text, for pages and tables. Bytes that are no text are written as "\udce9": files stay apart."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def check_still_allowed(path: Path) -> None:
    """`check_allowed` of where a path leads now: since it was listed, a link may have taken its place."""
    check_allowed(Path(os.path.realpath(path)))


def read_file(path: Path) -> bytes:
    """The bytes of a listed file; `DatasetError` where they are gone, or are not those of a file that may be read."""
    check_still_allowed(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"The image {path} cannot be read ({error.strerror}); a file that was there when the folder was listed is "
            "accepted; open the folder again."
        ) from error
