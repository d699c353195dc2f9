"""Numbers of an HDF5 file within limits: its library unpacks whatever a chunk holds, which may be gigabytes."""

import io
import itertools
import math

import h5py
import numpy as np

from jepa_core.datasets.readers import decompression

_GZIP, _SHUFFLE, _CHECKSUM = 1, 2, 3
_MOST_CHUNKS = 50_000  # that are read at once
_SPARE = 64  # bytes by which a chunk may be longer than its numbers


def check(numbers: h5py.Dataset, shape: tuple[int, ...], most: int) -> None:
    """Raise ValueError where reading that many numbers takes more than `most` bytes, by what the file says of them."""
    each = numbers.dtype.itemsize
    if numbers.dtype.kind not in "biuf" or each > 8:
        raise ValueError(f"{numbers.name} holds {numbers.dtype}")
    chunk = numbers.chunks or shape
    if math.prod(shape) * each > most or math.prod(chunk) * each > most:
        raise ValueError(
            f"{numbers.name} takes {max(math.prod(shape), math.prod(chunk)) * each / 2**20:.0f} MiB at once"
        )
    if math.prod(-(-size // part) for size, part in zip(shape, chunk, strict=True)) > _MOST_CHUNKS:
        raise ValueError(f"{numbers.name} lies in more than {_MOST_CHUNKS} chunks")
    filters = _filters(numbers)
    behind = filters[filters.index(_GZIP) + 1 :] if _GZIP in filters else []
    if not set(filters) <= {_GZIP, _SHUFFLE, _CHECKSUM} or not set(behind) <= {_CHECKSUM}:
        raise ValueError(f"{numbers.name} is packed in another way than by gzip")


def read(numbers: h5py.Dataset, here: tuple[slice, ...]) -> np.ndarray:
    """Numbers that `check` found no fault with. Raises ValueError for a chunk that becomes more than it should."""
    if numbers.chunks and _GZIP in _filters(numbers):
        steps = [
            range(part.start // size * size, part.stop, size) for part, size in zip(here, numbers.chunks, strict=True)
        ]
        for corner in itertools.product(*steps):
            _check_chunk(numbers, corner)
    return np.asarray(numbers[here])


def _filters(numbers: h5py.Dataset) -> list[int]:
    plan = numbers.id.get_create_plist()
    return [plan.get_filter(number)[0] for number in range(plan.get_nfilters())]


def _check_chunk(numbers: h5py.Dataset, corner: tuple[int, ...]) -> None:
    info = numbers.id.get_chunk_info_by_coord(corner)
    most = math.prod(numbers.chunks) * numbers.dtype.itemsize + _SPARE
    if not info.size or info.byte_offset is None or info.filter_mask >> _filters(numbers).index(_GZIP) & 1:
        return
    if info.size > 2 * most:  # gzip makes nothing longer but by its header
        raise ValueError(f"a chunk of {numbers.name} is larger than what it holds")
    _, packed = numbers.id.read_direct_chunk(corner)
    stream = decompression.Unpacked(io.BytesIO(packed), decompression.zipped)
    if len(stream.read(most + 1)) > most:
        raise ValueError(f"a chunk of {numbers.name} becomes more than it holds")
