"""Words on a page: names and sentences from outside, shown as they are."""

import re

from jepa_core import wording
from jepa_core.redaction import visible
from jepa_core.wording import counted as counted


def escaped(text: str) -> str:
    """Escape what Streamlit would read as Markdown, mathematics, an icon or a link.

    File, class and folder names are anyone's text: without this, a link to the explorer could put pictures from
    elsewhere on its pages, or turn its writing around.
    """
    return re.sub(r"([\\`*_\[\]#$~:<>|])", r"\\\1", visible(text))


def percentile_in_words(percentile: float) -> str:
    """A percentile in a caption.

    >>> percentile_in_words(42.4)
    'percentile 42'
    """
    return f"percentile {wording.percentile(percentile)}"


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
    return f"{word} likely than {wording.percentile(share)} % of {where}"
