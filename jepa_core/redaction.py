"""What is told of an error, and to whom: a server's owner may know where things lie on it, its visitors may not."""

import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from jepa_core.config import ROOT, cache_dir, hosted
from jepa_core.errors import EncoderError, JepaError, StoreError, TableError

# Control characters, invisible ones that format (the direction of writing, say), lone surrogates, line separators.
_OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def visible(text: str) -> str:
    r"""Text with what a terminal would obey, or not show, written out.

    >>> visible("a\x1b[2J.png\n"), visible("grün\u202egnp.exe")
    ('a\\x1b[2J.png\\n', 'grün\\u202egnp.exe')
    """
    if text.isprintable():
        return text
    return "".join(_written(letter) if unicodedata.category(letter) in _OBEYED else letter for letter in text)


def _written(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def unforeseen(error: Exception) -> str:
    """An error that no sentence was made for: its type, and what it says, which may be anything, to the owner alone."""
    return type(error).__name__ if hosted() else f"{type(error).__name__}: {error}"


def told(error: JepaError) -> str:
    """The sentence of an error."""
    # What other kinds say of paths is what the visitor typed, which is echoed as it was.
    own = isinstance(error, StoreError | TableError | EncoderError)
    return for_visitors(str(error)) if own else str(error)


def for_visitors(sentence: str) -> str:
    """A sentence on what is the server's own, without the paths of its folders where it has visitors."""
    if hosted():
        for path, name in _own_folders():
            sentence = re.sub(rf"{re.escape(path)}(?![\\w-])", name, sentence)
    return sentence


def _own_folders() -> Iterator[tuple[str, str]]:
    """Where the server keeps what is its own, and what that is called; the innermost first."""
    named = (
        (cache_dir(), "the cache folder"),
        (ROOT, "the explorer's folder"),
        (Path(sys.prefix), "the explorer's Python"),
        (Path(os.path.expanduser("~")), "the server's home"),  # noqa: PTH111
    )
    for folder, name in named:
        for path in {str(folder), os.path.realpath(folder)} - {os.sep}:
            yield path, name
