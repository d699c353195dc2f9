"""Folders of images: which files they hold and in what order, and whether this server may read them.

Where `$JEPA_DATA_ROOTS` is set, only its folders and what lies in them may be read, once symbolic links are resolved.
"""

import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from jepa_core import files, images
from jepa_core.config import data_roots
from jepa_core.errors import DatasetError
from jepa_core.files import expanded
from jepa_core.keys import make_key


def resolve(path: str) -> Path | None:
    """The absolute path with links and "~" resolved, or None for what can be no path."""
    if not path.strip():
        return None
    try:
        # Not Path.resolve: it raises for a loop of links, which is only a folder that does not exist.
        return Path(os.path.realpath(expanded(path)))
    except (ValueError, OSError):  # a zero byte, a name too long
        return None


def _roots() -> tuple[Path, ...] | None:
    """The folders that may be read; None where all may be."""
    named = data_roots()
    return None if named is None else tuple(root for part in named if (root := resolve(part)) is not None)


def _is_allowed(path: Path, roots: tuple[Path, ...] | None) -> bool:
    return roots is None or any(path.is_relative_to(root) for root in roots)


def is_allowed(path: Path) -> bool:
    """Whether this server may read a resolved path."""
    return _is_allowed(path, _roots())


def check_allowed(path: Path, given: str) -> None:
    """Raise `DatasetError` for a resolved path that this server may not read.

    The sentence has what was `given`, and roots as their owner wrote them: where links lead, and whether anything is
    there, is not for visitors.
    """
    roots = _roots()
    if _is_allowed(path, roots):
        return
    if not roots:
        raise DatasetError(
            f"The folder {given!r} may not be read: JEPA_DATA_ROOTS is set but names no folder; only the bundled "
            f"datasets are accepted; choose one, or set the variable to folders with {os.pathsep!r} between them."
        )
    raise DatasetError(
        f"The folder {given!r} is outside what this server may read; a folder in "
        f"{' or '.join(data_roots() or ())} is accepted; choose one there."
    )


def as_named(path: Path) -> Path:
    """A resolved path that may be read, by the name that its server has for it.

    At home that is the path itself. Where there are roots, what visitors see begins as the owner wrote the root, and
    not with where that lies once links are resolved. It is made absolute, since results are kept by it.
    """
    for written in data_roots() or ():
        root = resolve(written)
        if root is not None and path.is_relative_to(root):
            return Path(os.path.abspath(expanded(written))) / path.relative_to(root)  # noqa: PTH100
    return path


def image_files(root: Path) -> list[Path]:
    """Every image file at or below `root`, class by class, "2.png" before "10.png".

    Hidden files and folders, and links that lead outside what may be read, are left out.
    """
    return sorted(_find_images(root), key=lambda path: _order(root, path))


def _find_images(root: Path) -> Iterator[Path]:
    """Each folder is entered once, however many links lead to it."""
    roots, real_root = _roots(), Path(os.path.realpath(root))
    entered = {real_root}
    waiting = [(root, real_root)]  # as it was reached, and as it is
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
            elif path.suffix.lower() in images.SUFFIXES and (real or entry).is_file():
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
    check_allowed(Path(os.path.realpath(path)), str(path))


def read_file(path: Path) -> bytes:
    """The bytes of a listed file; `DatasetError` where they are gone, or are not those of a file that may be read."""
    check_still_allowed(path)
    try:
        return files.read_file(path)
    except OSError as error:
        raise DatasetError(
            f"The image {path} cannot be read ({error.strerror}); a file that was there when the folder was listed is "
            "accepted; open the folder again."
        ) from error
