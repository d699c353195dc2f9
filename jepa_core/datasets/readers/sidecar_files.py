"""The files beside a picture that name its class, as in WebDataset shards: KEY.cls, KEY.json or KEY.txt of KEY.jpg.

KEY is a picture's name without its ending, or as WebDataset has it, up to the first dot: a sample may hold several
pictures, and its files need not lie together.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

MOST_SIDECAR_BYTES = 2**20  # bytes of such a file
_KINDS = (".cls", ".txt", ".json")  # the first that there is counts
_LONGEST_CLASS = 200  # characters
_LONGEST_TEXT = 60  # characters of a .txt that could be a class
# Files with the name of a class in each line, for marks that are numbers.
_NAMES = ("classes.txt", "classnames.txt", "class_names.txt", "labels.txt")


class Mark(NamedTuple):
    """What such a file says: "" for nothing that could be a class."""

    text: str
    wrong: str = ""  # what is wrong with it


def is_mark(name: str, size: int) -> bool:
    """Whether a file may name a class."""
    return name.lower().endswith(_KINDS) and size <= MOST_SIDECAR_BYTES


def read_mark(name: str, data: bytes) -> Mark:
    """What a file says, by its name and bytes."""
    text = data.decode("utf-8", "backslashreplace").strip().removeprefix("\ufeff")
    if name.lower().endswith(".json"):
        return _from_json(text)
    if name.lower().endswith(".cls"):
        return Mark(text if len(text) <= _LONGEST_CLASS else "")
    return Mark(text if _is_list_of_names(name) else text[: _LONGEST_TEXT + 1])


def _from_json(text: str) -> Mark:
    if not text.startswith("{"):
        return Mark("")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Mark("", str(error) or type(error).__name__)
    said = found.get("label", found.get("cls"))
    plain = isinstance(said, str | int | float)
    return Mark(str(said).strip() if plain and len(str(said)) <= _LONGEST_CLASS else "")


def _is_list_of_names(name: str) -> bool:
    return PurePosixPath(name).name.lower() in _NAMES


class Marks:
    """The marks of an archive, found by the pictures beside which they lie."""

    def __init__(self, marks: Mapping[str, Mark], top: str) -> None:
        self._beside: dict[str, dict[str, Mark]] = {}
        start = len(top) + 1 if top else 0
        below = {name[start:]: mark for name, mark in marks.items()}
        for name, mark in below.items():
            key, _, kind = name.rpartition(".")
            self._beside.setdefault(key, {})[f".{kind.lower()}"] = mark
        lists = [mark.text for name, mark in below.items() if "/" not in name and _is_list_of_names(name)]
        self.names = tuple(line.strip() for line in lists[0].splitlines()) if len(lists) == 1 else ()

    def of(self, parts: Sequence[str]) -> dict[str, Mark]:
        """The marks of a picture by their kinds. Raises ValueError for one that is damaged."""
        if not self._beside:
            return {}
        name = "/".join(parts)
        folder = name[: len(name) - len(parts[-1])]
        for key in (name.rpartition(".")[0], folder + parts[-1].partition(".")[0]):
            if found := self._beside.get(key):
                wrong = next((mark.wrong for mark in found.values() if mark.wrong), "")
                if wrong:
                    raise ValueError(wrong)
                return found
        return {}


def labels(found: Sequence[dict[str, Mark]], classless: Sequence[bool], names: Sequence[str]) -> list[str]:
    """The class that its marks give each picture of a dataset; "" where they give none.

    A .cls and a "label" or "cls" in a .json always do. A .txt does where the picture lies in no folder (`classless`)
    and the dataset's are no captions: each is one line of at most 60 characters, and they are single words or there are
    half as many different ones as pictures or fewer. `names` are those of the classes whose marks are numbers.
    """
    texts = [marks[".txt"].text for marks, alone in zip(found, classless, strict=True) if alone and ".txt" in marks]
    kinds = _KINDS if _are_classes(texts) else (".cls", ".json")
    given = [
        next(
            (marks[kind].text for kind in kinds if kind in marks and (kind != ".txt" or alone) and marks[kind].text), ""
        )
        for marks, alone in zip(found, classless, strict=True)
    ]
    numbers = {label for label in given if label}
    known = len(set(names)) == len(names) and all(label.isdecimal() and int(label) < len(names) for label in numbers)
    return [names[int(label)] if label else "" for label in given] if names and known else given


def _are_classes(texts: Sequence[str]) -> bool:
    different = set(texts)
    if any(len(text) > _LONGEST_TEXT or "\n" in text for text in different):
        return False
    return all(len(text.split()) == 1 for text in different) or 2 * len(different) <= len(texts)
