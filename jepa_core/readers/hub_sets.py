"""Datasets of the Hugging Face hub with a column of images, or parquet files like theirs: "hub:OWNER/NAME/SPLIT".

"hub:OWNER/NAME/CONFIG/SPLIT" names one of several configurations. The `datasets` library downloads into its ordinary
cache and reads pictures one by one from its tables.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import datasets as hub
from datasets.exceptions import DatasetNotFoundError

from jepa_core import folders
from jepa_core.errors import DatasetError
from jepa_core.items import NO_CLASS, DatasetSpec
from jepa_core.readers import HUB
from jepa_core.readers.words import all_in_words

hub.disable_progress_bars()


def open_hub(name: str) -> DatasetSpec:
    """A dataset of the hub, downloaded if it is not here.

    Raises `DatasetError` for a name that is not complete, a set that is not there, gated, unreachable or damaged, and
    one without a column of images.
    """
    parts = name.removeprefix(HUB).split("/")
    if len(parts) not in (3, 4) or not all(parts):
        raise DatasetError(
            f"{name!r} was given; hub:OWNER/NAME/SPLIT or hub:OWNER/NAME/CONFIG/SPLIT is accepted, as in "
            "hub:ylecun/mnist/test; name the split."
        )
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
            f"The dataset {name} cannot be opened ({why}); one of the hub's, or one in its cache, is accepted; check "
            "the names of its configuration and split, and the network."
        ) from error
    return from_table(table, name, f"{repository} ({split})", f"A dataset of the hub: {repository}.")


def from_table(table: hub.Dataset, name: str, title: str, description: str) -> DatasetSpec:
    """The spec of a table with a column of images; `DatasetError` without one."""
    pictures = next((column for column, kind in table.features.items() if isinstance(kind, hub.Image)), None)
    if pictures is None:
        raise DatasetError(
            f"{title} has no column of images, only {', '.join(table.features)}; a dataset with one is accepted; "
            "choose another."
        )
    classes, labels = _classes(table)
    undecoded = table.select_columns([pictures]).cast_column(pictures, hub.Image(decode=False))
    return DatasetSpec(
        name=name,
        title=title,
        description=f"{description} {len(table)} pictures, read by the datasets library.",
        source="hub",
        licence=table.info.license or "as its page on the hub says",
        held_out=True,
        classes=classes,
        size=len(table),
        label_of=labels.__getitem__,
        name_of=partial(_name, title),
        reader_of=partial(_reader, undecoded, pictures),
        fingerprint=table._fingerprint,
    )


# Where no column is declared to hold classes, the first of these names that there is does.
_CLASS_COLUMNS = ("label", "class_name", "class", "cls", "labels", "wnid")


def _classes(table: hub.Dataset) -> tuple[tuple[str, ...], Sequence[str]]:
    """The names of the classes, and that of each picture."""
    column = next((name for name, kind in table.features.items() if isinstance(kind, hub.ClassLabel)), None)
    column = column or next((name for name in _CLASS_COLUMNS if name in table.features), None)
    if column is None:
        return (NO_CLASS,), (NO_CLASS,) * len(table)
    kind, values = table.features[column], table[column]
    if isinstance(kind, hub.ClassLabel):
        # ImageNet's names on the hub list all words for a class: the first stands for them.
        names = all_in_words(tuple(name.split(",")[0].strip() for name in kind.names))
        labels = tuple(names[value] if value is not None and value >= 0 else NO_CLASS for value in values)
        return tuple(dict.fromkeys([*names, *labels])), labels
    found = tuple(NO_CLASS if value is None else str(value) for value in values)
    different = tuple(dict.fromkeys(found))
    words = dict(zip(different, all_in_words(different), strict=True))
    return tuple(words.values()), tuple(words[label] for label in found)


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
