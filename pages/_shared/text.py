"""Words on a page: names and sentences from outside, shown as they are."""

import re

from jepa_core.redaction import visible


def escaped(text: str) -> str:
    """Escape what Streamlit would read as Markdown, mathematics, an icon or a link.

    File, class and folder names are anyone's text: without this, a link to the explorer could put pictures from
    elsewhere on its pages, or turn its writing around.
    """
    return re.sub(r"([\\`*_\[\]#$~:<>|])", r"\\\1", visible(text))


def counted(count: int, noun: str) -> str:
    """A number and its noun.

    >>> counted(1, "image"), counted(2, "image"), counted(2, "MB")
    ('1 image', '2 images', '2 MB')
    """
    return f"{count} {noun}" if count == 1 or noun.isupper() else f"{count} {noun}s"


def place(percentile: float) -> str:
    """A percentile as a number; with a decimal near the ends, where rounding would claim what is not so.

    >>> place(0.3), place(42.4)
    ('0.3', '42')
    """
    return f"{percentile:.1f}" if percentile < 1 or percentile > 99 else f"{percentile:.0f}"


def percentile_in_words(percentile: float) -> str:
    """A percentile in a caption.

    >>> percentile_in_words(42.4)
    'percentile 42'
    """
    return f"percentile {place(percentile)}"


def rank_in_words(percentile: float, position: int, count: int, where: str) -> str:
    """A sentence on the place of an image that is at a position (from 0) of `count` by score.

    >>> rank_in_words(0.5, 0, 100, "digits"), rank_in_words(30.0, 29, 100, "digits")
    ('The least likely of digits', 'Less likely than 70 % of digits')
    >>> rank_in_words(99.2, 98, 100, "digits")
    'More likely than 99.2 % of digits'
    """
    if position in (0, count - 1):
        return f"The {'most' if position else 'least'} likely of {where}"
    share, word = (100 - percentile, "Less") if percentile <= 50 else (percentile, "More")
    return (
        f"{word} likely than {share:.1f} % of {where}" if share > 99 else f"{word} likely than {share:.0f} % of {where}"
    )


def in_bytes(size: int) -> str:
    """A number of bytes, in words."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"
