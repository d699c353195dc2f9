"""Galaxy10 DECaLS: an HDF5 file with `images` (n, height, width, 3) and `ans`, the classes' numbers.

Leung and Bovy, https://github.com/henrysky/Galaxy10: Galaxy10_DECals.h5, 17,736 galaxies of 256 x 256 px.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py

from jepa_core import images
from jepa_core.datasets import folders
from jepa_core.datasets.readers import archives, decompression, hdf5
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.errors import DatasetError

CLASSES = (
    "disturbed",
    "merging",
    "round smooth",
    "in-between round smooth",
    "cigar-shaped smooth",
    "barred spiral",
    "unbarred tight spiral",
    "unbarred loose spiral",
    "edge-on without bulge",
    "edge-on with bulge",
)


def open_galaxy(path: Path) -> DatasetSpec:
    """The galaxies of such a file; `DatasetError` for one that is damaged or holds something else."""
    try:
        with h5py.File(path) as file:
            pictures, classes = _own(file, "images"), _own(file, "ans")
            shape = pictures.shape
            if len(shape) != 4 or shape[3] != 3 or classes.shape != shape[:1] or shape[0] > archives.most():
                raise _unreadable(path, f"images {shape}, ans {classes.shape}")
            hdf5.check(pictures, (1, *shape[1:]), archives.largest())
            hdf5.check(classes, classes.shape, archives.largest())
            labels = hdf5.read(classes, (slice(0, shape[0]),))
    except decompression.READ_ERRORS as error:
        raise _unreadable(path, decompression.reason(error)) from error
    if not set(labels.tolist()) <= set(range(len(CLASSES))):
        raise _unreadable(path, f"ans up to {labels.max()}")
    named = tuple(CLASSES[int(label)] for label in labels)
    return DatasetSpec(
        name=str(path),
        title="Galaxy10 DECaLS",
        description=f"Photographed galaxies in ten classes by their shape, {shape[2]} x {shape[1]} px.",
        source="Galaxy10",
        licence="MIT (Leung and Bovy; DESI Legacy Imaging Surveys)",
        held_out=True,
        classes=CLASSES,
        size=len(named),
        label_of=named.__getitem__,
        name_of=_name,
        reader_of=partial(_reader, path),
        fingerprint=folders.fingerprint([path]),
    )


def _own(file: h5py.File, name: str) -> h5py.Dataset:
    """A dataset whose numbers are in this very file: HDF5 can also name other files, which may not be ours to read."""
    found = file[name] if isinstance(file.get(name, getlink=True), h5py.HardLink) else None
    if not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
        raise KeyError(f"{name!r} is not in it")
    return found


def _name(position: int) -> str:
    return f"galaxy10/{position}"


def _reader(path: Path, position: int) -> Callable[[], bytes]:
    return partial(_read, path, position)


def _read(path: Path, position: int) -> bytes:
    folders.check_still_allowed(path)
    try:
        with h5py.File(path) as file:
            pictures = _own(file, "images")
            here = (slice(position, position + 1), *(slice(0, size) for size in pictures.shape[1:]))
            return images.ppm_of(hdf5.read(pictures, here)[0], f"{_name(position)} in {path}")
    except decompression.READ_ERRORS as error:
        raise _unreadable(path, decompression.reason(error)) from error


def _unreadable(path: Path, why: str) -> DatasetError:
    return DatasetError(
        f"The file {path} cannot be read as Galaxy10 ({why}); an HDF5 file with 'images' (n, height, width, 3) and "
        "'ans' (n numbers from 0 to 9) is accepted; download Galaxy10_DECals.h5 again."
    )
