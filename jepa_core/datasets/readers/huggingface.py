"""Datasets of the Hugging Face hub with a column of images, or parquet files like theirs: "hub:OWNER/NAME/SPLIT".

"hub:OWNER/NAME/CONFIG/SPLIT" names one of several configurations, "?class=COLUMN" behind it the column of the classes
where there are several. The `datasets` library downloads into its ordinary
cache and reads pictures one by one from its tables.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import datasets as hub
from datasets.exceptions import DatasetNotFoundError

from jepa_core.datasets import catalog, folders
from jepa_core.datasets.readers import hub_files, huggingface_classes
from jepa_core.datasets.readers.archives import open_archive
from jepa_core.datasets.readers.names import CLASS, HUB
from jepa_core.datasets.spec import DatasetSpec
from jepa_core.errors import DatasetError

hub.disable_progress_bars()


def open_hub(name: str) -> DatasetSpec:
    """A dataset of the hub, downloaded if it is not here.

    Raises `DatasetError` for a name that is not complete, a set that is not there, gated, unreachable or damaged, one
    without a column of images, and a class column that it lacks.
    """
    whole, asked, column = name.partition(CLASS)
    parts = whole.removeprefix(HUB).split("/")
    if len(parts) not in (3, 4) or not all(parts) or (asked and not column):
        raise DatasetError(
            f"{name!r} was given; hub:OWNER/NAME/SPLIT or hub:OWNER/NAME/CONFIG/SPLIT is accepted, as in "
            f"hub:ylecun/mnist/test, with {CLASS}COLUMN behind it for another column of classes; name the split."
        )
    if catalog.is_offered(whole):
        return _offered(whole, column or None, name)
    repository, config, split = "/".join(parts[:2]), parts[2] if len(parts) == 4 else None, parts[-1]
    try:
        table = hub.load_dataset(repository, config, split=split)
    except DatasetNotFoundError as error:
        gated = "is gated: accept its terms on the hub, then run 'hf auth login'"
        raise DatasetError(
            f"The dataset {repository} {gated if 'gated' in str(error) else 'is not there'}; a public dataset, or one "
            "that your token may read, is accepted; check the name."
        ) from error
    except Exception as error:  # whatever a library meets on a network and in files
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DatasetError(
            f"The dataset {whole} cannot be opened ({why}); one of the hub's, or one in its cache, is accepted; check "
            "the names of its configuration and split, and the network."
        ) from error
    return from_table(table, name, f"{repository} ({split})", f"A dataset of the hub: {repository}.", column or None)


def _offered(whole: str, column: str | None, name: str) -> DatasetSpec:
    """A set of the catalog, whose files were fetched by ourselves."""
    from jepa_core.datasets import download  # above this module: it fetches for all readers

    entry, split = catalog.find(whole)
    title = catalog.title_of(entry, split)
    try:
        if not download.is_here(whole):
            download.download(whole)
        paths = hub_files.where(whole)
        if hub_files.parsed(whole).file:
            found = open_archive(paths[0])
            licence = entry.licence or "not stated"
            return replace(found, name=name, title=title, description=entry.description, source="hub", licence=licence)
        found = from_table(hub_files.table_of(paths), name, title, entry.description, column)
        return replace(found, licence=entry.licence or found.licence)
    except DatasetError:
        raise
    except Exception as error:  # whatever the library meets in its files
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DatasetError(
            f"{title} cannot be opened ({why}); its whole files in the hub's cache are accepted; remove "
            f"{', '.join(map(str, hub_files.where(whole))) or 'them'} to download them again."
        ) from error


def from_table(table: hub.Dataset, name: str, title: str, description: str, column: str | None = None) -> DatasetSpec:
    """The spec of a table with a column of images, and its classes from `column`, else from `class_columns`' first.

    Raises `DatasetError` for a table without images, and for a column of classes that it lacks.
    """
    pictures = next((one for one, kind in table.features.items() if isinstance(kind, hub.Image)), None)
    if pictures is None:
        raise DatasetError(
            f"{title} has no column of images, only {', '.join(table.features)}; a dataset with one is accepted; "
            "choose another."
        )
    found = huggingface_classes.of_table(table, column, title)
    undecoded = table.select_columns([pictures]).cast_column(pictures, hub.Image(decode=False))
    return DatasetSpec(
        name=name,
        title=title,
        description=f"{description} {len(table)} pictures, read by the datasets library.",
        source="hub",
        licence=table.info.license or "as its page on the hub says",
        held_out=True,
        classes=found.classes,
        size=len(table),
        label_of=found.labels.__getitem__,
        name_of=partial(_name, title),
        reader_of=partial(_reader, undecoded, pictures),
        fingerprint=table._fingerprint,
        remarks=found.remarks,
    )


def _name(title: str, position: int) -> str:
    return f"{title}/{position}"


def _reader(table: Any, column: str, position: int) -> Callable[[], bytes]:
    return partial(_read, table, column, position)


def _read(table: Any, column: str, position: int) -> bytes:
    found = table[position][column] or {}
    if found.get("bytes"):
        return found["bytes"]
    if found.get("path"):
        return folders.read_file(Path(found["path"]))
    raise DatasetError(
        f"Picture {position} of the dataset is empty; one with bytes or a file is accepted; leave this one out."
    )
