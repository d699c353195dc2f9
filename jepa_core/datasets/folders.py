"""Folders of images: which files they hold and in what order, and whether this server may read them.

Where `$JEPA_DATA_ROOTS` is set, only its folders and what lies in them may be read, once symbolic links are resolved.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from jepa_core import files
from jepa_core.config import data_roots
from jepa_core.decoding import file_headers
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


class Child(NamedTuple):
    """What lies in a folder, on the disk or in an archive."""

    name: str
    at: Any  # where it can be read; None for a link that leads nowhere, or where it may not
    folder: Any = None  # which folder it is, however it was reached; None for a file


class Listed(NamedTuple):
    """The pictures of a folder in order, by the parts of their names below it, and what was left out."""

    parts: list[tuple[str, ...]]
    found: list[Any]  # where each can be read
    left_out: list[str]


def walk(
    root: Any,
    children: Callable[[Any, Any], Iterable[Child]],
    start: Callable[[Any], bytes] = lambda _at: b"",
    folder: Any = None,
) -> Listed:
    """Every picture at or below `root`, class by class, "2.png" before "10.png": the rule for folders and archives.

    `children` is given `at` and `folder` of a folder, `start` gives a file's first bytes; `folder` is which one the
    root is, itself for None. Hidden files and folders are no part of it. Each folder is entered once, however many
    links lead to it. An ending decides what is taken for a picture; a file without one looks like a picture where its
    first bytes do. What looks like one but cannot be read is left out, and so is a link that leads nowhere, or where
    it may not.
    """
    pictures: list[tuple[tuple[str, ...], Any]] = []
    left_out: list[str] = []
    entered = {folder or root}
    waiting: list[tuple[tuple[str, ...], Any, Any]] = [((), root, folder or root)]
    while waiting:
        above, at, folder = waiting.pop()
        for child in children(at, folder):
            parts = (*above, *split(child.name))
            if any(map(is_hidden, parts)):
                continue
            if child.folder is not None:
                if child.folder not in entered:
                    entered.add(child.folder)
                    waiting.append((parts, child.at, child.folder))
            elif file_headers.is_picture(child.name) and child.at is not None:
                pictures.append((parts, child.at))
            elif _looks_like_picture(child, start):
                left_out.append(readable("/".join(parts)))
    return in_order(pictures, left_out)


def _looks_like_picture(child: Child, start: Callable[[Any], bytes]) -> bool:
    """Whether a file that is not taken for a picture looks like one, or may be a link to one."""
    if file_headers.is_picture(child.name) or file_headers.is_unread(child.name):
        return True
    return "." not in child.name and (child.at is None or bool(file_headers.kind_of(start(child.at))))


def in_order(pictures: list[tuple[tuple[str, ...], Any]], left_out: list[str]) -> Listed:
    """Pictures, by the parts of their names and where each can be read, in the order of a dataset."""
    pictures.sort(key=lambda picture: _order(picture[0]))
    return Listed([parts for parts, _at in pictures], [at for _parts, at in pictures], sorted(left_out))


def is_hidden(name: str) -> bool:
    """Such as .DS_Store, and the __MACOSX that a Mac adds to its archives."""
    return name.startswith(".") or name == "__MACOSX"


def split(name: str) -> tuple[str, ...]:
    """A name as parts: a backslash separates, since whoever unpacks an archive of Windows may have left it there."""
    return tuple(part for part in name.split("\\") if part) if "\\" in name else (name,)


def images_in(root: Path) -> Listed:
    """The pictures at or below a folder of the disk, by their paths."""
    roots = _roots()
    return walk(root, lambda at, folder: _children(at, folder, roots), _start, Path(os.path.realpath(root)))


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(file_headers.SNIFFED)
    except OSError:
        return b""


def _children(at: Path, folder: Path, roots: tuple[Path, ...] | None) -> Iterator[Child]:
    allowed = _is_allowed(folder, roots)
    for entry in _visible(at):
        path = at / entry.name
        # Only a link can lead elsewhere; to resolve each of ten thousand files would take seconds.
        if entry.is_symlink():
            real = Path(os.path.realpath(path))
            if _is_allowed(real, roots) and files.is_dir(real):
                yield Child(entry.name, path, real)
            else:
                yield Child(entry.name, path if _is_allowed(real, roots) and files.is_file(real) else None)
        elif allowed and entry.is_dir():
            yield Child(entry.name, path, folder / entry.name)
        elif allowed and entry.is_file():
            yield Child(entry.name, path)


def _visible(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return sorted((one for one in entries if not is_hidden(one.name)), key=lambda one: one.name)
    except OSError:  # a folder that may not be opened holds nothing for us
        return []


def _order(parts: tuple[str, ...]) -> tuple[bool, list[tuple[tuple[str, int, str], ...]]]:
    """Class by class, those without one last."""
    return len(parts) == 1, [*map(_natural_folder, parts[:-1]), _natural(parts[-1])]


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
