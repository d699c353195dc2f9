"""Names of classes: those of folders, and words for the WordNet ids (n01608432) that ImageNet names its classes by."""

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from jepa_core.datasets.folders import readable
from jepa_core.datasets.spec import NO_CLASS

_WORDNET_ID = re.compile(r"n\d{8}")


@lru_cache(maxsize=1)
def _lemmas() -> dict[str, str]:
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-22k")
    return {name: info.label_name_to_description(name) for name in info.label_names()}


def in_words(label: str) -> str:
    """The first word for a WordNet id ("kite" for n01608432); another label, or an unknown id, as it is."""
    if not _WORDNET_ID.fullmatch(label):
        return label
    return _lemmas().get(label, label).split(",")[0].strip()


def all_in_words(labels: Sequence[str]) -> tuple[str, ...]:
    """`in_words` of classes. Two of one word are kept apart by their ids, as the two cranes of ImageNet are."""
    return kept_apart(labels, [in_words(label) for label in labels])


def kept_apart(labels: Sequence[str], shorter: Sequence[str]) -> tuple[str, ...]:
    """Shorter names of different classes. Where one stands for several, or is another's whole name, both are given.

    >>> kept_apart(["a_b", "a b", "c_d"], ["a b", "a b", "c d"])
    ('a b (a_b)', 'a b', 'c d')
    """
    counts = Counter(shorter)
    apart = tuple(
        f"{short} ({label})" if counts[short] > 1 and short != label else short
        for label, short in zip(labels, shorter, strict=True)
    )
    return apart if len(set(apart)) == len(set(labels)) else tuple(labels)


def folder_classes(names: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The class of each picture of a folder or archive: the first folder of its name, in words."""
    return labels_in_words([readable(parts[0]) if len(parts) > 1 else NO_CLASS for parts in names])


def labels_in_words(labels: Sequence[str]) -> tuple[str, ...]:
    """The classes of pictures, each in words."""
    different = tuple(dict.fromkeys(labels))
    words = dict(zip(different, all_in_words(different), strict=True))
    return tuple(words[label] for label in labels)
