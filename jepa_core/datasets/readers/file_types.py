"""What a file is, by its first bytes: a name may end with anything."""

import re
import tarfile
from pathlib import Path

from jepa_core.datasets.readers import decompression
from jepa_core.errors import DatasetError

ZIP, TAR, HDF5 = "ZIP", "tar", "HDF5"
_NAMED = re.compile(r"\.(zip|cbz|cbt|tgz|tbz2?|txz|tzst|tar(\.\w+)?)$", re.IGNORECASE)
_ZIP_STARTS = (b"PK\3\4", b"PK\5\6", b"PK\7\x08", b"PK00")
_HDF5_START = b"\x89HDF\r\n\x1a\n"
_OTHERS = {b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "RAR"}


def named_like_archive(name: str) -> bool:
    """Whether a name ends like that of a ZIP or tar."""
    return bool(_NAMED.search(name))


def kind_of(path: Path) -> str | None:
    """`ZIP`, `TAR` or `HDF5`, or None for a file that is none and is not named like one.

    A damaged file, whose first bytes say nothing, is what its name says. Raises `DatasetError` for a file that may not
    be read, and for archives of other kinds.
    """
    try:
        with path.open("rb") as file:
            head = file.read(tarfile.BLOCKSIZE)
            file.seek(0)
            stream = decompression.unpacked(file, head)
            first = _first_of(stream) if stream is not None else head
    except OSError as error:
        raise DatasetError(
            f"The file {path} cannot be read ({error.strerror}); one that this user may read is accepted; see who may."
        ) from error
    other = next((kind for start, kind in _OTHERS.items() if head.startswith(start)), None)
    if other:
        raise DatasetError(
            f"{path} is a {other} archive; a ZIP or tar of images is accepted; unpack it, or pack it so."
        )
    if head.startswith(_ZIP_STARTS):
        return ZIP
    if _is_tar(first):
        return TAR
    if _is_hdf5(path) or path.suffix.lower() in (".h5", ".hdf5"):
        return HDF5
    if not named_like_archive(path.name):
        return None
    return ZIP if path.suffix.lower() in (".zip", ".cbz") else TAR


def _first_of(stream: decompression.Packed) -> bytes:
    try:
        return stream.read(tarfile.BLOCKSIZE)
    except decompression.READ_ERRORS:
        return b""


def _is_tar(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


def _is_hdf5(path: Path) -> bool:
    """Its signature may stand behind a block of the writer's own, of 512 bytes times a power of two."""
    with path.open("rb") as file:
        size, start = path.stat().st_size, 0
        while start < size:
            file.seek(start)
            if file.read(len(_HDF5_START)) == _HDF5_START:
                return True
            start = max(512, 2 * start)
    return False
