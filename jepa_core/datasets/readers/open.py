"""Opening a dataset that is not bundled with the reader that knows its format.

`open_named` takes "torchvision:SET/SPLIT" and "hub:OWNER/NAME/SPLIT?class=COLUMN", `open_file` a ZIP or tar of images,
a WebDataset shard or Galaxy10's HDF5 file, `open_pattern` several shards. Pictures are read one by one when they are
asked for.
"""

from pathlib import Path

from jepa_core.config import hosted
from jepa_core.datasets import folders
from jepa_core.datasets.readers import archives, file_types, shards
from jepa_core.datasets.readers.names import PREFIXES, TORCHVISION
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.errors import DatasetError


def open_named(name: str) -> DatasetSpec:
    """The dataset of a name with one of `PREFIXES`. Errors: those of its reader.

    Where the server has visitors, `DatasetError`: nothing is downloaded for them, and no token of the server is used.
    """
    if hosted():
        raise DatasetError(
            f"{name!r} was given, but this server downloads nothing for its visitors; a bundled dataset or a folder of "
            "its own is accepted; choose one."
        )
    # Each reader imports a large library, for which a bundled dataset need not wait.
    if name.startswith(TORCHVISION):
        from jepa_core.datasets.readers import torchvision as torchvision_sets

        return torchvision_sets.open_set(name)
    from jepa_core.datasets.readers import huggingface

    return huggingface.open_hub(name)


def open_file(path: Path) -> DatasetSpec | None:
    """The dataset in a file: an archive of images, a shard, an HDF5 file, by its first bytes; None for others."""
    kind = file_types.kind_of(path)
    if kind == file_types.HDF5:
        from jepa_core.datasets.readers import galaxy10

        return galaxy10.open_galaxy(path)
    return archives.open_archive(path) if kind else None


def is_long(name: str) -> bool:
    """Whether opening a dataset of that name may take long: it is downloaded, or its shards are gone through."""
    return name.startswith(PREFIXES) or shards.is_pattern(name)


def open_pattern(pattern: str) -> DatasetSpec:
    """All archives that a pattern names. Errors: those of `shards.expand` and `archives.open_archives`."""
    whole = folders.resolve(pattern)
    return archives.open_shards(shards.expand(pattern), str(whole and folders.as_named(whole)))
