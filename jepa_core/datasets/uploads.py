"""Pictures that a visitor hands over: files and ZIPs of files in memory, limited, and forgotten when asked.

The limits are on the pictures of one session, and on those of all sessions together.

Nothing here touches the disk, so where an entry of a ZIP says it lies leads nowhere. What cannot be taken is one
sentence each, and takes nothing else with it.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import Any
from uuid import uuid4
from weakref import WeakSet

from jepa_core.datasets.folders import readable
from jepa_core.datasets.readers import archive_contents, archives, zip_files
from jepa_core.datasets.readers.decompression import TooLarge, TooMany, reason
from jepa_core.decoding import file_headers
from jepa_core.decoding.decode import FORMATS
from jepa_core.errors import DatasetError

MOST_PICTURES = 300
MOST_PICTURE_BYTES = 64 * 2**20  # bytes of one picture
MOST_SESSION_BYTES = 256 * 2**20  # bytes of all pictures
MOST_SERVER_BYTES = 2**30  # bytes of the pictures of all sessions of this server
ENTRIES = 5000  # of one ZIP
RATIO = 200  # bytes that one of a ZIP may become; a picture that is worth looking at never comes near it
_SMALL = 2**20  # bytes below which a ratio says nothing: a blank page packs well
_NAMED = 3  # names in a sentence about many files


_every: "WeakSet[Uploads]" = WeakSet()  # the pictures of all sessions
_counting = Lock()


def held_by_everyone() -> int:
    """Bytes of the pictures of all sessions."""
    return sum(one.size for one in list(_every))


@dataclass(eq=False)
class Uploads:
    """The pictures of one session, as (name, bytes) in `pictures`, and what could not be taken in `refused`.

    `token` is another one for every set of pictures: whatever is computed of them is known by it, and no other
    session's. `found` keeps that for as long as the pictures; `chosen` is the place of the one that is looked at.
    """

    pictures: list[tuple[str, bytes]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    chosen: int | None = None
    token: str = field(default_factory=lambda: uuid4().hex)

    def __post_init__(self) -> None:
        _every.add(self)

    def __bool__(self) -> bool:
        return bool(self.pictures or self.refused)

    @property
    def size(self) -> int:
        """Bytes of all pictures."""
        return sum(len(data) for _name, data in self.pictures)

    def take(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Add files, unpacking ZIPs, as far as the limits allow. The sentences are those of this time alone."""
        self.refused = []
        over = crowded = 0
        for given in files:
            for name, data in self._opened(*given):
                if len(self.pictures) >= MOST_PICTURES or self.size + len(data) > MOST_SESSION_BYTES:
                    over += 1
                elif not self._hold(name, data):
                    crowded += 1
        if crowded:
            self.refused.append(
                f"Not taken: {crowded}. The pictures of all who use this server may have "
                f"{MOST_SERVER_BYTES // 2**20} MB together, and they are used up; "
                "give fewer, or try again when others have left."
            )
        if over:
            self.refused.append(
                f"Not taken: {over}. Up to {MOST_PICTURES} pictures with {MOST_SESSION_BYTES // 2**20} MB together are "
                "accepted; forget those that are here, then give the rest."
            )
        self._renew()

    def _hold(self, name: str, data: bytes) -> bool:
        with _counting:  # two sessions at once could both take the last place
            fits = held_by_everyone() + len(data) <= MOST_SERVER_BYTES
            if fits:
                self.pictures.append((name, data))
        return fits

    def forget(self) -> None:
        """Drop the pictures and all that was found of them."""
        self.pictures, self.refused = [], []
        self._renew()

    def _renew(self) -> None:
        self.found.clear()
        self.chosen = None
        self.token = uuid4().hex

    def _opened(self, name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
        if not data.startswith(b"PK"):
            yield name, data
            return
        try:
            yield from self._unpacked(name, data)
        except archives.READ_ERRORS as error:
            why = (str(error) or type(error).__name__).splitlines()[0]
            self.refused.append(f"{name} is a ZIP that cannot be read ({why}); a whole one is accepted; make it again.")

    def _unpacked(self, name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
        file = io.BytesIO(data)
        try:
            found = zip_files.contents(file, 4 * ENTRIES)  # folders and what a Mac adds are entries, too
            many = sum(not archive_contents.is_hidden(one) for one in (*found.files, *found.links))
        except TooMany as error:
            many = error.count
        if many > ENTRIES:
            self.refused.append(f"{name} has {many} files; up to {ENTRIES} are accepted; divide it into several.")
            return
        others = [one for one in found.files if not (archive_contents.is_hidden(one) or file_headers.is_picture(one))]
        places = {one: place for place, one in enumerate((*found.files, *found.links))}
        pictures = archive_contents.listed(found, "")
        self._tell_others(name, others, bool(pictures.found))
        for why in dict.fromkeys(found.left_out.values()):
            names = [one for one, reason in found.left_out.items() if reason == why]
            self.refused.append(f"Left out of {name}, since they are {why}: {len(names)} ({_first(names)}).")
        inside = [("/".join(parts), place) for parts, place in zip(pictures.parts, pictures.found, strict=True)]
        for entry, place in sorted(inside, key=lambda one: places.get(one[0], len(places))):
            entry = readable(entry)
            # They are counted by who asks; unpacking them would cost memory for nothing.
            if len(self.pictures) >= MOST_PICTURES:
                yield entry, b""
                continue
            try:
                yield entry, _read(file, place)
            except DatasetError as error:
                self.refused.append(f"{entry} in {name} {error}")

    def _tell_others(self, name: str, others: list[str], pictures: bool) -> None:
        accepted = ", ".join(FORMATS)
        if not pictures:
            self.refused.append(f"{name} has no pictures; a ZIP of {accepted} files is accepted; choose another.")
        elif others:
            self.refused.append(f"Left out of {name}, since they are not {accepted}: {len(others)} ({_first(others)}).")


def _first(names: list[str]) -> str:
    return ", ".join(readable(one) for one in names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _read(file: io.BytesIO, place: zip_files.Place) -> bytes:
    """An entry's bytes. What its header says of its size is not believed: no more than the limit is unpacked."""
    most = min(MOST_PICTURE_BYTES, max(_SMALL, RATIO * place.packed))
    try:
        return zip_files.read(file, place, most)
    except TooLarge as error:
        if most == MOST_PICTURE_BYTES:
            what = f"is larger than {MOST_PICTURE_BYTES // 2**20} MB, the most that is accepted; make it smaller."
        else:
            what = f"grows more than {RATIO}-fold when unpacked, which is not accepted; save it as PNG or JPEG."
        raise DatasetError(what) from error
    except archives.READ_ERRORS as error:
        raise DatasetError(f"cannot be read ({reason(error)}); leave it out, or make the ZIP again.") from error
