"""Words on a page: names and sentences from outside, shown as they are."""

import re


def plain(text: str) -> str:
    """Escape what Streamlit would read as Markdown, mathematics, an icon or a link.

    File, class and folder names are anyone's text: without this, a link to the explorer could put pictures from
    elsewhere on its pages.
    """
    return re.sub(r"([\\`*_\[\]#$~:<>|])", r"\\\1", text)


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


def percent_place(percentile: float) -> str:
    """A percentile in a caption.

    >>> percent_place(42.4)
    'percentile 42'
    """
    return f"percentile {place(percentile)}"
