"""Datasets that are not bundled, by the readers of the libraries that know their formats.

`open_named` takes what follows `get_dataset`: "torchvision:SET/SPLIT", "hub:OWNER/NAME/SPLIT", a ZIP or tar of images,
WebDataset shards, Galaxy10's HDF5 file. Pictures are read one by one when they are asked for.
"""

from pathlib import Path

from jepa_core.items import DatasetSpec

TORCHVISION = "torchvision:"
HUB = "hub:"
PREFIXES = (TORCHVISION, HUB)
EXAMPLES = ("torchvision:mnist/test", "torchvision:cifar-10/test", "torchvision:svhn/test", "torchvision:dtd/test")


def open_named(name: str) -> DatasetSpec:
    """The dataset of a name with one of `PREFIXES`. Errors: those of its reader."""
    # Each reader imports a large library, for which a bundled dataset need not wait.
    if name.startswith(TORCHVISION):
        from jepa_core.readers import torchvision_sets

        return torchvision_sets.open_set(name)
    from jepa_core.readers import hub_sets

    return hub_sets.open_hub(name)


def open_file(path: Path) -> DatasetSpec | None:
    """The dataset in a file: an archive of images, a shard, an HDF5 file; None for other files."""
    if path.suffix in (".h5", ".hdf5"):
        from jepa_core.readers import galaxy

        return galaxy.open_galaxy(path)
    if path.suffix == ".zip" or ".tar" in path.suffixes or path.suffix in (".tgz", ".tar"):
        from jepa_core.readers import archives

        return archives.open_archive(path)
    return None
