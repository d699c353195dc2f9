"""Names of classes as words: ImageNet's folders and columns name them by WordNet ids such as n01608432."""

import re
from functools import lru_cache

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


def all_in_words(labels: tuple[str, ...]) -> tuple[str, ...]:
    """`in_words` of classes. Two of one word are kept apart by their ids, as the two cranes of ImageNet are."""
    words = [in_words(label) for label in labels]
    return tuple(
        f"{word} ({label})" if words.count(word) > 1 and word != label else word
        for word, label in zip(words, labels, strict=True)
    )
