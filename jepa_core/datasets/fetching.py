"""One file of a server to the disk: what a cut download left is gone on with, and nothing is used before its checksum.

While it arrives the file is called NAME.part. A lost connection is taken up again at once, a stopped or killed download
with the next call, by asking for the rest alone (HTTP's Range).
"""

import errno
import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from jepa_core.errors import DatasetError
from jepa_core.progress import Cancelled, Progress

if TYPE_CHECKING:
    import ssl

    import httpx2

_PAUSES = (0.5, 2.0)  # seconds before a server is asked again that sent nothing
_TIMEOUT = 15.0  # seconds of silence
_SPARE = 64 * 2**20  # bytes of the disk that stay free
_ROOM = 2.2  # what a download needs in all, packed and unpacked, in its own size


class Stopped(Exception):
    """Nobody waits for the download any more."""


@dataclass(frozen=True)
class Source:
    """A file on one server or several, with the checksum that it must have ("md5", hexadecimal digits)."""

    urls: Sequence[str]
    checksum: tuple[str, str]  # of the file; ("", "") where none is known
    headers: Mapping[str, str] = field(default_factory=dict)
    size: int | None = None  # bytes, where they are known; else its server is asked

    @property
    def name(self) -> str:
        """What it is called in sentences."""
        return self.urls[0]


def length(source: Source) -> int | None:
    """Bytes of a file, as the first server that answers says; None where none says so. `DatasetError` as `fetch`."""
    if source.size is not None:
        return source.size
    with _client(source) as client, _in_words(source):
        for url in source.urls[:-1]:
            found = _asked(client, url, quietly=True)
            if found is not None:
                return found
        return _asked(client, source.urls[-1], quietly=False)


def _asked(client: "httpx2.Client", url: str, quietly: bool) -> int | None:
    import httpx2

    try:
        answer = client.head(url)
    except httpx2.TransportError:
        if quietly:
            return None
        raise
    said = answer.headers.get("Content-Length") if answer.status_code == 200 else None
    return int(said) if said and said.isdigit() else None


def check_room(size: int, folder: Path, title: str, arrived: int = 0) -> None:
    """`DatasetError` where the disk of a folder has no room for a download of so many bytes and what it becomes."""
    while not folder.exists():
        folder = folder.parent
    free, needed = shutil.disk_usage(folder).free, _ROOM * size - arrived + _SPARE
    if free < needed:
        raise DatasetError(
            f"{title} needs {needed / 1e9:.1f} GB on the disk while it is unpacked, and {free / 1e9:.1f} GB are free "
            f"in {folder}; a disk with room is accepted; make room, or set JEPA_CACHE (HF_HOME for the hub's sets) to "
            "another disk."
        )


def fetch_all(
    files: Sequence[tuple[Source, Path]], folder: Path, title: str, progress: Progress, cancelled: Cancelled
) -> None:
    """Several files to their paths, after a look whether the disk of `folder` has room; `progress` counts all bytes.

    Errors: those of `check_room` and `fetch`.
    """
    missing = [(source, path) for source, path in files if not path.exists()]
    sizes = {path: length(source) or 0 for source, path in missing}
    here = sum(path.stat().st_size for _source, path in files if path.exists())
    partly = sum(_arrived(path) for path in sizes)
    check_room(sum(sizes.values()) + here, folder, title, here + partly)
    total, done = sum(sizes.values()) + here, here
    progress(done + partly, total)
    for source, path in missing:
        fetch(source, path, _from(progress, done, total), cancelled)
        done += path.stat().st_size


def _from(progress: Progress, before: int, total: int) -> Callable[[int], None]:
    """Tell of the bytes of one file after those of others."""
    return lambda arrived: progress(before + arrived, max(total, before + arrived))


def _arrived(path: Path) -> int:
    part = path.with_name(f"{path.name}.part")
    return part.stat().st_size if part.exists() else 0


def fetch(source: Source, path: Path, arrived: Callable[[int], None], cancelled: Cancelled) -> None:
    """A file to `path`, unless it is there. `arrived` is told how many bytes are there, each time that some have come.

    Raises `Stopped` once `cancelled` says so, and `DatasetError` where no server can be reached or gives it, for a file
    that is not what its checksum says (which is removed), and for a full disk.
    """
    from huggingface_hub.utils import WeakFileLock

    if path.exists():
        return
    part = path.with_name(f"{path.name}.part")
    with _in_words(source):
        path.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(part.with_name(f"{path.name}.lock")):
            if path.exists():  # another process was faster
                return
            _receive(source, part, arrived, cancelled)
            _check(source, part)
            part.replace(path)
    part.with_name(f"{path.name}.lock").unlink(missing_ok=True)


def _receive(source: Source, part: Path, arrived: Callable[[int], None], cancelled: Cancelled) -> None:
    """All of a file, from the first server that gives it."""
    import httpx2

    with _client(source) as client, part.open("ab") as file:
        for url in source.urls:
            pauses = iter(_PAUSES)
            while True:
                before = file.tell()
                try:
                    _stream(client, url, file, arrived, cancelled)
                    return
                except httpx2.TransportError:
                    if file.tell() > before:
                        pauses = iter(_PAUSES)
                    elif not _wait(next(pauses, None), cancelled):
                        if url == source.urls[-1]:
                            raise
                        break
                except httpx2.HTTPStatusError:
                    if url == source.urls[-1]:
                        raise
                    break


def _wait(seconds: float | None, cancelled: Cancelled) -> bool:
    """Wait before the next try; False where there is none."""
    if seconds is None:
        return False
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if cancelled():
            raise Stopped
        time.sleep(0.05)
    return True


def _stream(
    client: "httpx2.Client", url: str, file: BinaryIO, arrived: Callable[[int], None], cancelled: Cancelled
) -> None:
    """What is missing of a file, appended to it."""
    start = file.tell()
    with client.stream("GET", url, headers={"Range": f"bytes={start}-"} if start else {}) as answer:
        if start and answer.status_code == 416:  # there is no more: its checksum tells whether it is whole
            return
        answer.raise_for_status()
        begins = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
        if answer.status_code != 206 or begins is None or int(begins[1]) != start:
            file.seek(0)
            file.truncate()  # the server sends all of it
        arrived(file.tell())
        for content in answer.iter_raw():
            if cancelled():
                raise Stopped
            file.write(content)
            arrived(file.tell())


def _check(source: Source, part: Path) -> None:
    kind, expected = source.checksum
    if not kind:
        return
    with part.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
    if found != expected:
        part.unlink()
        raise DatasetError(
            f"The file {source.name} arrived damaged: its {kind.upper()} sum is not what is published; only an "
            "undamaged file is accepted, so it was removed; download it again."
        )


def _client(source: Source) -> "httpx2.Client":
    import httpx2

    headers = {"Accept-Encoding": "identity", "User-Agent": "jepa-score-explorer"} | dict(source.headers)
    return httpx2.Client(headers=headers, follow_redirects=True, timeout=_TIMEOUT, verify=_certificates())


@lru_cache(maxsize=1)
def _certificates() -> "ssl.SSLContext":
    """Read once: they take a tenth of a second."""
    import httpx2

    return httpx2.create_ssl_context()


@contextmanager
def _in_words(source: Source) -> Iterator[None]:
    """What can go wrong on the way, as one sentence."""
    import httpx2

    try:
        yield
    except httpx2.HTTPStatusError as error:
        raise DatasetError(
            f"The server of {source.name} answered {error.response.status_code}; an answer of 200 is accepted; try "
            "again later."
        ) from error
    except httpx2.HTTPError as error:
        raise DatasetError(
            f"The server {urlsplit(source.name).netloc} cannot be reached for {source.name}; a machine with a network "
            "is accepted; connect it and try again. What has arrived is kept."
        ) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise DatasetError(
            f"{source.name} cannot be written ({'the disk is full' if full else error.strerror or error}); a folder "
            "with room for it is accepted; make room and try again. What has arrived is kept."
        ) from error
