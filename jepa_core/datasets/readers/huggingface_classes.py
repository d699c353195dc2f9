"""The classes of a table of the hub: which column says them, and what each picture's is."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import datasets as hub

from jepa_core.datasets.readers.names import CLASS
from jepa_core.datasets.readers.wordnet import all_in_words
from jepa_core.datasets.spec import NO_CLASS
from jepa_core.errors import DatasetError

# Columns that say classes though they are not declared to, the likeliest first.
_NAMES = ("label", "fine_label", "class_name", "class", "cls", "labels", "category", "wnid")
_COARSE = ("coarse", "super")
_LISTS = (hub.Sequence, hub.List, hub.LargeList, list)
_JOINED = " + "


class Classes(NamedTuple):
    """The classes of a table in order, that of each picture, and what is to be said of them."""

    classes: tuple[str, ...]
    labels: Sequence[str]
    remarks: str  # sentences, where there is something to be said


def of_table(table: hub.Dataset, column: str | None, title: str) -> Classes:
    """The classes that a column says, or the likeliest one; `DatasetError` for a column that says none.

    The likeliest is "label", then one that is declared to hold classes before one that is only named like it: the fine
    one, then one called class before the others, then the one with most classes. Coarse ones come last.
    """
    able = class_columns(table)
    if column is not None and column not in able:
        if column in table.features and _says_classes(table.features[column]):
            able = [column, *able]
        else:
            choice = f"{', '.join(able)} {'is' if len(able) == 1 else 'are'} accepted" if able else "it has none"
            raise DatasetError(
                f"{title} has no column of classes {column!r}; {choice}; name another behind {CLASS}, or none."
            )
    if not able:
        return Classes((NO_CLASS,), (NO_CLASS,) * len(table), "None of its columns says classes.")
    chosen = column or able[0]
    classes, labels = _named(_inner(table.features[chosen]), table[chosen])
    return Classes(classes, labels, _remarks(table, chosen, [one for one in able if one != chosen], labels))


def class_columns(table: hub.Dataset) -> list[str]:
    """The columns that say classes, the likeliest first."""
    able = [
        name
        for name, kind in table.features.items()
        if isinstance(_inner(kind), hub.ClassLabel) or (name.lower() in _NAMES and _says_classes(kind))
    ]
    return sorted(able, key=lambda name: _unlikely(name, _inner(table.features[name])))


def _unlikely(name: str, kind: Any) -> tuple:
    lower = name.lower()
    declared = isinstance(kind, hub.ClassLabel)
    return (
        lower != "label",
        any(word in lower for word in _COARSE),
        not declared,
        "fine" not in lower,
        "class" not in lower,
        -kind.num_classes if declared else _NAMES.index(lower) if lower in _NAMES else len(_NAMES),
    )


def _inner(kind: Any) -> Any:
    """What lists of a kind hold, however deep."""
    while isinstance(kind, _LISTS):
        kind = kind[0] if isinstance(kind, list) else kind.feature
    return kind


def _says_classes(kind: Any) -> bool:
    kind = _inner(kind)
    if isinstance(kind, hub.ClassLabel):
        return True
    return isinstance(kind, hub.Value) and kind.dtype.startswith(("int", "uint", "bool", "string", "large_string"))


def _named(kind: Any, values: Sequence[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the classes, whole, and that of each picture."""
    if isinstance(kind, hub.ClassLabel):
        counts = Counter(kind.names)
        apart = [f"{name} [{number}]" if counts[name] > 1 else name for number, name in enumerate(kind.names)]
        names = all_in_words(apart)
        labels = tuple(_label(value, names) for value in values)
        return tuple(dict.fromkeys([*names, *labels])), labels
    labels = tuple(_label(value, ()) for value in values)
    different = tuple(dict.fromkeys(labels))
    words = dict(zip(different, all_in_words(different), strict=True))
    return tuple(words.values()), tuple(words[label] for label in labels)


def _label(value: Any, names: Sequence[str]) -> str:
    """One picture's class. Of several the names are joined; a negative number is none, as the library has it."""
    if value is None or value == "":
        return NO_CLASS
    if isinstance(value, list | tuple) or hasattr(value, "tolist"):
        inside = [_label(one, names) for one in value]
        return _JOINED.join(one for one in inside if one != NO_CLASS) or NO_CLASS
    if not names:
        return str(value)
    return NO_CLASS if value < 0 else names[value] if value < len(names) else str(value)


def _remarks(table: hub.Dataset, chosen: str, others: Sequence[str], labels: Sequence[str]) -> str:
    said = []
    if others:
        said.append(f"{CLASS}COLUMN behind its name takes another column: {', '.join(map(repr, others))}.")
    if isinstance(table.features[chosen], _LISTS):
        said.append(f"Pictures of several classes have them joined by {_JOINED.strip()!r}.")
    if without := sum(label == NO_CLASS for label in labels):
        said.append(f"{without} have no class.")
    return " ".join([f"Its classes are the column {chosen!r}.", *said]) if said else ""
