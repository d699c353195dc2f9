"""What can go wrong, as one sentence a person can act on.

Every message says what was given, what is accepted, and what to do. Pages print it as it is, the terminal prints it on
one line, and nothing else of the program is lost.
"""

from collections.abc import Iterable


class JepaError(Exception):
    """Base of every error that is told to a person. `str(error)` is the whole sentence."""


class UnknownName(JepaError):
    """A name that no registry knows."""

    def __init__(self, kind: str, given: str, known: Iterable[str], hint: str = "") -> None:
        tail = f" {hint}" if hint else ""
        super().__init__(f"Unknown {kind}: {given!r}. Must be one of: {', '.join(known)}.{tail}")


class BadImage(JepaError):
    """Bytes that cannot be turned into a picture safely."""


class DatasetError(JepaError):
    """A dataset that cannot be listed or read."""


class EncoderError(JepaError):
    """An encoder that cannot be loaded, or cannot take the input it was given."""


class OutOfMemory(JepaError):
    """A computation that does not fit into memory even in the smallest steps."""


class StoreError(JepaError):
    """A store of results that cannot be opened, read or written."""


class LockedStore(StoreError):
    """A store that another program keeps for itself; it was waited for."""


class TableError(JepaError):
    """A shipped score table that cannot be read."""


class NotEnoughData(JepaError):
    """A statistic asked of fewer values than it needs."""


class NotAllowed(JepaError):
    """What a server that has visitors leaves to its owner."""
