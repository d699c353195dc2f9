"""What an archive holds, as the folder it was made of: names cleaned, links followed, the top folder found."""

import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from jepa_core.datasets import folders
from jepa_core.datasets.readers.file_types import named_like_archive
from jepa_core.datasets.readers.sidecar_files import Mark
from jepa_core.decoding import file_headers

LONGEST = 4096  # characters of a name; no file system takes more
_DEEPEST = 128  # folders in one name
_MOST_FOLDERS = 100_000  # of an archive with links between folders
_MOST_STEPS = 2_000_000  # on the way from all links to what they lead to
_MOST_LINKS = 40  # on the way from one, as in Linux
_ODD = re.compile(r"\\|^\w:/|(^|/)\.{0,2}(/|$)")
_DRIVE = re.compile(r"^/*(\?/)?[A-Za-z]:/")
_HIDDEN = re.compile(r"(^|/)(\.|__MACOSX(/|$))")
_SIDE_FILE = re.compile(r"(^|/)(thumbs\.db|desktop\.ini)$", re.IGNORECASE)


@dataclass
class Contents:
    """The entries of one archive by their names, of two with one name the last."""

    files: dict[str, Any] = field(default_factory=dict)  # where each lies, as the format's reader knows it
    links: dict[str, str] = field(default_factory=dict)  # where each leads, as it says
    folders: set[str] = field(default_factory=set)  # that have an entry of their own
    marks: dict[str, Mark] = field(default_factory=dict)  # by the name of the file
    said: dict[Mark, Mark] = field(default_factory=dict)  # each of the marks once
    left_out: dict[str, str] = field(default_factory=dict)  # why a picture cannot be had
    twice: list[str] = field(default_factory=list)  # names that came again
    absolute: bool = False  # whether names begin with that of a disk or its root
    dotted: bool = False  # whether names begin with "./"
    lowest: str = ""  # the first and the last of the names that tell where the top is
    highest: str = ""
    depths: tuple[int, int] = (0, 0)  # in how few and how many folders they lie

    def name(self, given: str) -> str:
        """An entry's name as `cleaned` has it."""
        if not _ODD.search(given):
            return given
        name, kind = cleaned(given)
        self.absolute |= kind == "absolute"
        self.dotted |= kind == "dotted"
        return name

    def add_folder(self, given: str) -> None:
        """A folder that has an entry of its own."""
        self.folders.add(self.name(given).rstrip("/"))

    def add_file(self, name: str, place: Any) -> None:
        """A file by its clean name."""
        if not self._fits(name):
            return
        if name in self.files or name in self.links:
            self.twice.append(name)
        self.links.pop(name, None)
        self.left_out.pop(name, None)
        self.files[name] = place

    def add_mark(self, name: str, mark: Mark) -> None:
        """What a file says that may name a class; equal ones are kept once."""
        self.marks[name] = self.said.setdefault(mark, mark)

    def sniff(self, name: str, start: Callable[[], bytes]) -> None:
        """Note a file without an ending that looks like a picture, by its first bytes."""
        if "." not in name.rpartition("/")[2] and not is_hidden(name) and file_headers.kind_of(start()):
            self.left_out[name] = "without an ending"

    def add_link(self, name: str, target: str) -> None:
        """A symbolic link by its clean name."""
        if not self._fits(name):
            return
        self.files.pop(name, None)
        self.links[name] = target[: LONGEST + 1]

    def leave_out(self, name: str, why: str) -> None:
        """An entry that cannot be had; it is told if it looks like a picture."""
        self.files.pop(name, None)
        if _looks_like_picture(name) and not is_hidden(name):
            self.left_out[name] = why

    def _fits(self, name: str) -> bool:
        if len(name) <= LONGEST and name.count("/") < _DEEPEST:
            return True
        self.left_out[name[:100] + "..."] = "longer than a name may be"
        return False

    def finish(self) -> None:
        """Once all entries are here: note where they lie, and forget those that are no pictures and none leads to."""
        names = list(filter(_counts, chain(self.files, self.links, (f"{name}/" for name in self.folders if name))))
        if names:
            self.lowest, self.highest = min(names), max(names)
            depths = [name.count("/") for name in names]
            self.depths = min(depths), max(depths)
        for name in filter(named_like_archive, self.files):
            if not is_hidden(name):
                self.left_out[name] = "archives inside it"
        if not self.links:
            self.files = {name: place for name, place in self.files.items() if _looks_like_picture(name)}


def cleaned(given: str) -> tuple[str, str]:
    r"""A name as the parts of a path below the archive's top, "/" between them, and what it began with.

    >>> cleaned(r"C:\set\.\1.png"), cleaned("./a/../b.png"), cleaned("../../x")
    (('set/1.png', 'absolute'), ('b.png', 'dotted'), ('x', ''))
    """
    clean = given.replace("\\", "/")
    shorter = _DRIVE.sub("/", clean)
    parts: list[str] = []
    for part in shorter.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts), "absolute" if shorter.startswith("/") else "dotted" if clean.startswith("./") else ""


def is_hidden(name: str) -> bool:
    """Whether a clean name is, or lies in, what `folders.is_hidden` calls so."""
    return bool(_HIDDEN.search(name))


def _looks_like_picture(name: str) -> bool:
    return file_headers.is_picture(name) or file_headers.is_unread(name)


def _counts(name: str) -> bool:
    """Whether it tells where the top is, as what systems add by themselves does not."""
    return not _HIDDEN.search(name) and not _SIDE_FILE.search(name)


def top_of(archives: Sequence[Contents], file_names: Sequence[str]) -> str:
    """The folder that all archives were made of, as far as it can be known; "" for the archives' top.

    That is the folder which has an entry of its own and holds all others: "set" of `tar cf x.tar set`, "." of `tar cf
    x.tar .`. Where folders have no entries, one that holds all is taken for it if it holds folders, or if the archives
    are named like it: what is packed file by file is mostly a set of classes. `file_names` are those of the archives.
    """
    some = [archive for archive in archives if archive.highest]
    if not some or any("" in archive.folders for archive in some):
        return ""
    ends = min(archive.lowest for archive in some), max(archive.highest for archive in some)
    common = os.path.commonprefix(ends).rpartition("/")[0]  # noqa: RUF071 (cut to whole parts behind it)
    if not common or any(common in archive.folders for archive in some):
        return common
    if any(archive.dotted for archive in some):
        return ""
    top = common if all(archive.absolute for archive in some) else common.partition("/")[0]
    above, _, last = top.rpartition("/")
    flat = all(set(archive.depths) == {top.count("/") + 1} for archive in some)
    like_it = all(name.startswith(f"{last}.") or name == last for name in file_names)
    return above if flat and not like_it else top


def listed(archive: Contents, top: str) -> folders.Listed:
    """The pictures below the folder `top` in order, by the same rule as those of a folder on the disk."""
    found = folders.walk(top, _Tree(archive, top).children) if archive.links else _without_links(archive, top)
    start = len(top) + 1 if top else 0
    others = [folders.readable(name[start:]) for name in archive.left_out]
    return found._replace(left_out=sorted({*found.left_out, *others}))


def _without_links(archive: Contents, top: str) -> folders.Listed:
    """As `folders.walk`, which need not look for what each name leads to here."""
    start = len(top) + 1 if top else 0
    pictures: list[tuple[tuple[str, ...], Any]] = []
    left_out: list[str] = []
    for name, place in archive.files.items():
        if _HIDDEN.search(name):
            continue
        if file_headers.is_picture(name):
            pictures.append((tuple(name[start:].split("/")), place))
        elif _looks_like_picture(name):
            left_out.append(folders.readable(name[start:]))
    return folders.in_order(pictures, left_out)


class _Tree:
    """An archive's folders, by which a link can be followed to another entry."""

    def __init__(self, archive: Contents, top: str) -> None:
        self._archive, self._top = archive, top
        self._steps = 0
        self._inside: dict[str, set[str]] = {"": set()}
        for name in chain(archive.files, archive.links, archive.folders):
            self._enter(name)

    def _enter(self, name: str) -> None:
        if name in self._archive.folders:
            self._inside.setdefault(name, set())
        while name:
            above, _, last = name.rpartition("/")
            known = above in self._inside
            self._inside.setdefault(above, set()).add(last)
            if known:
                return
            if len(self._inside) > _MOST_FOLDERS:
                raise ValueError(f"it has links, and more than {_MOST_FOLDERS} folders")
            name = above

    def children(self, _at: Any, folder: str) -> Iterator[folders.Child]:
        """What lies in a folder, with links followed."""
        for name in sorted(self._inside[folder]):
            path = f"{folder}/{name}" if folder else name
            real = self._resolved(path) if path in self._archive.links else path
            if real in self._inside:
                yield folders.Child(name, real, real)
            else:
                yield folders.Child(name, self._archive.files.get(real) if real else None)

    def _resolved(self, path: str) -> str | None:
        """The name of the entry that a link leads to in the end; None if it leads out of the archive, or nowhere."""
        waiting, done, links = deque(path.split("/")), list[str](), 0
        while waiting:
            self._steps += 1
            if self._steps > _MOST_STEPS:
                raise ValueError("its links lead too far")
            part = waiting.popleft()
            if part == ".." and not done:
                return None
            if part == "..":
                done.pop()
            elif part in ("", "."):
                continue
            elif (target := self._archive.links.get("/".join([*done, part]))) is None:
                done.append(part)
            else:
                target = target.replace("\\", "/")
                if target.startswith("/") or _DRIVE.match(target):
                    if not self._archive.absolute:
                        return None
                    target, done = _DRIVE.sub("", target), []
                links += 1
                if links > _MOST_LINKS or len(target) > LONGEST:
                    return None
                waiting.extendleft(reversed(target.split("/")))
        found = "/".join(done)
        return found if not self._top or found == self._top or found.startswith(f"{self._top}/") else None
