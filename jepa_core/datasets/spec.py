"""What a dataset is: a named set of pictures (`DatasetSpec`) that gives its `Item`s without reading a pixel."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from jepa_core import images
from jepa_core.decoding import file_headers
from jepa_core.errors import DatasetError, UnknownName

NO_CLASS = "(no class)"  # of pictures without one, as those that lie directly in a folder beside its sub-folders


@dataclass(frozen=True)
class Item:
    """One picture of a dataset, not yet read."""

    position: int  # in its dataset, from 0
    label: str  # its class
    name: str  # to show: "galaxies/12", or a file's path relative to its folder
    read: Callable[[], bytes] = field(repr=False, compare=False)  # raises DatasetError where the bytes are gone
    listed_digest: str = ""  # of a listed dataset's picture: its digest is known without reading

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the bytes. Unless it is listed, this reads them; keep it rather than ask twice."""
        return self.listed_digest or images.digest(self.read())


@dataclass(frozen=True)
class DatasetSpec:
    """A set of pictures in a fixed order. Holds no pixels; all its functions can be pickled."""

    name: str  # what `get_dataset` takes
    title: str
    description: str
    source: str  # "drawn by code", "scikit-learn" or "folder"
    licence: str
    held_out: bool  # no bundled encoder was trained on it
    classes: tuple[str, ...]
    size: int
    label_of: Callable[[int], str] = field(repr=False, compare=False)
    name_of: Callable[[int], str] = field(repr=False, compare=False)
    reader_of: Callable[[int], Callable[[], bytes]] = field(repr=False, compare=False)
    fingerprint: str = ""  # of a folder: another one after a file was added, removed or written; "" for bundled sets
    digest_of: Callable[[int], str] | None = field(default=None, repr=False, compare=False)  # of a listed dataset
    noun: str = "class"  # what a class is called whose name is no word: "digit", so that "3" is "digit 3"
    at_hand: bool = True  # its pictures can be read; those of a listed dataset only where they were brought
    left_out: tuple[str, ...] = ()  # names of files that look like pictures but are none of this dataset
    remarks: str = ""  # sentences on how it was read, for whoever opens it

    def __len__(self) -> int:
        return self.size

    @property
    def listed(self) -> bool:
        """Whether it is known by its listing alone: no picture of it can be read."""
        return not self.at_hand

    def tell_left_out(self) -> str:
        """What is to be said of the files that were left out, and `remarks`; "" where there is nothing."""
        said = file_headers.left_out_in_words(self.left_out) if self.left_out else ""
        return " ".join(filter(None, (said, self.remarks)))

    def labels(self) -> tuple[str, ...]:
        """The names of the classes, in order."""
        return self.classes

    def class_title(self, label: str) -> str:
        """A class in words: its name, or what it is called and its number."""
        return label if any(letter.isalpha() for letter in label) else f"{self.noun} {label}"

    def item(self, position: int) -> Item:
        """The picture at a position from 0, else `DatasetError`."""
        if not 0 <= position < self.size:
            raise DatasetError(
                f"Dataset {self.name!r} has no picture {position}; 0 to {self.size - 1} is accepted; choose another."
            )
        digest = self.digest_of(position) if self.digest_of else ""
        return Item(position, self.label_of(position), self.name_of(position), self.reader_of(position), digest)

    def items(self, label: str | None = None) -> Iterator[Item]:
        """All pictures in order, or those of one class; `UnknownName` for a class it lacks. Nothing is read."""
        if label is not None and label not in self.classes:
            raise UnknownName(f"class of dataset {self.name!r}", label, self.classes)
        everything = (self.item(position) for position in range(self.size))
        return (item for item in everything if label is None or item.label == label)
